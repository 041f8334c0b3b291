"""Numbered steps, forward only: `versions/NNNN_what.py`."""
