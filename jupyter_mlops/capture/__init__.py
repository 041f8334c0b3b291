"""Capture: objects of a live Python become a snapshot that another Python can load. Needs no IPython."""

from jupyter_mlops.capture.reach import Overlay
from jupyter_mlops.capture.snapshot import Capture, capture

__all__ = ["Capture", "Overlay", "capture"]
