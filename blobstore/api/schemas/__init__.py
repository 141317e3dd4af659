"""The shapes on the wire: JSON in, checked; JSON out. What goes out is made by hand, one function a shape."""
