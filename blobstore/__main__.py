"""`python -m blobstore` is `blobstore`."""

from blobstore.cli import main

main(prog_name="blobstore")
