"""Stable names for source files, in place of machine paths and temporary cell files.

A notebook's cell is compiled under a file name such as `/tmp/ipykernel_4711/123.py`; in a snapshot it
becomes `<cell 5>`, and its text travels along so that tracebacks in the scoring kernel show its lines.
"""

from __future__ import annotations

import linecache
import re
import sys
from pathlib import Path
from typing import Any

from jupyter_mlops.schema.snapshots import Source

_CELL = re.compile(r"<ipython-input-(\d+)-|.*[/\\]ipykernel_\d+[/\\]")


class Labels:
    """Gives each file name of code its label, and remembers the text of the user's own ones."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._numbers = _execution_counts()

    def label(self, filename: str) -> str:
        """The stable name of a source file.

        Parameters
        ----------
        filename:
            A code object's `co_filename`.
        """
        found = self._labels.get(filename)
        if found is None:
            found = self._labels[filename] = self._unique(self._choose(filename), filename)
        return found

    def sources(self) -> tuple[Source, ...]:
        """The text of every labelled file that is the user's, not a library's."""
        return tuple(Source(filename=label, text=text) for label, text in sorted(self._texts.items()))

    def _choose(self, filename: str) -> str:
        number = self._numbers.get(filename)
        match = _CELL.match(filename)
        if number is None and match is not None:
            number = int(match[1]) if match[1] else None
        if number is not None:
            return f"<cell {number}>"
        if match is not None:
            return "<cell>"
        if filename.startswith("<"):
            return filename
        return _library_label(filename) or f"<{Path(filename).name}>"

    def _unique(self, label: str, filename: str) -> str:
        if _library_label(filename):
            return label
        text = "".join(linecache.getlines(filename))
        if not text:
            return label
        candidate, count = label, 1
        while self._texts.get(candidate, text) != text:
            count += 1
            candidate = f"{label.removesuffix('>')} ({count})>"
        self._texts[candidate] = text
        return candidate


def _library_label(filename: str) -> str:
    """A library's file relative to where it is installed; empty for what is not installed."""
    path = Path(filename)
    for parent in path.parents:
        if parent.name in {"site-packages", "dist-packages"} or re.fullmatch(r"python3\.\d+", parent.name):
            return f"<{path.relative_to(parent).as_posix()}>"
    return ""


def _execution_counts() -> dict[str, int]:
    """IPython's own record of which cell was compiled under which file name, if IPython is running."""
    interactive = sys.modules.get("IPython.core.getipython")
    shell: Any = interactive.get_ipython() if interactive is not None else None
    return dict(getattr(getattr(shell, "compile", None), "_filename_map", {}))
