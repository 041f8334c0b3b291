"""Capture: objects of a live Python become a snapshot that another Python can load. Needs no IPython.

`survey` looks at a namespace, `capture` takes a snapshot of it, `save` writes one to a folder and `restore` reads it.
"""

from jupyter_mlops.capture.reach import Overlay
from jupyter_mlops.capture.snapshot import Capture, capture
from jupyter_mlops.capture.store import Saved, restore, save
from jupyter_mlops.capture.surveying import survey
from jupyter_mlops.capture.surveys import Caution, Missing, Survey, Variable
from jupyter_mlops.environments import Difference, Differences, differences

__all__ = [
    "Capture",
    "Caution",
    "Difference",
    "Differences",
    "Missing",
    "Overlay",
    "Saved",
    "Survey",
    "Variable",
    "capture",
    "differences",
    "restore",
    "save",
    "survey",
]
