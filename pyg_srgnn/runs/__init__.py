"""The files of a run: finds, reads and compares them."""
