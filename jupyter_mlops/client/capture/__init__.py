"""Capture: objects of a live Python become a snapshot that another Python can load. Needs no IPython."""

from jupyter_mlops.client.capture.reach import Overlay
from jupyter_mlops.client.capture.snapshot import Capture, capture

__all__ = ["Capture", "Overlay", "capture"]
