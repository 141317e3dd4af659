"""Measurements, side by side in one run with the peers that are installed. `python -m bench`, or `make bench`."""
