"""Whether a converted model answers what the original answers, row by row and column by column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from jupyter_mlops.container import Parity

SHOWN_ROWS = 5


class ColumnParity(msgspec.Struct, frozen=True):
    """How one output column compares."""

    name: str
    differ: tuple[int, ...]
    """Places of the rows that differ beyond the tolerance."""
    largest: float | None
    """The largest difference of two numbers, relative to the larger, or absolute below 1; None for other values."""
    absolute: float = 0.0


class ParityReport:
    """The comparison of a model with its converted form; its repr is a small table.

    Parameters
    ----------
    title:
        What was compared.
    rows:
        How many rows.
    tolerance:
        Relative, and absolute for numbers below 1.
    columns:
        The outcome for each output column.
    """

    def __init__(self, title: str, rows: int, tolerance: float, columns: tuple[ColumnParity, ...]) -> None:
        self.title = title
        self.rows = rows
        self.tolerance = tolerance
        self.columns = columns

    @property
    def differ(self) -> tuple[int, ...]:
        """Places of the rows of which some column differs beyond the tolerance."""
        return tuple(sorted({row for column in self.columns for row in column.differ}))

    @property
    def holds(self) -> bool:
        """Whether every row agrees."""
        return not self.differ

    def wire(self) -> Parity:
        """The comparison in short, for the container's header."""
        return Parity(
            rows=self.rows,
            max_absolute=max((column.absolute for column in self.columns), default=0.0),
            max_relative=max((column.largest or 0.0 for column in self.columns), default=0.0),
            mismatched=len(self.differ),
            tolerance=self.tolerance,
        )

    def __repr__(self) -> str:
        table = [("column", "rows that differ", "largest difference")]
        table += [(one.name, f"{len(one.differ)} of {self.rows}", _figure(one.largest)) for one in self.columns[:12]]
        if len(self.columns) > len(table) - 1:
            table.append((f"and {len(self.columns) - len(table) + 1} more", f"{len(self.differ)} in all", ""))
        widths = [max(len(row[i]) for row in table) for i in range(3)]
        lines = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        note = f"  within {self.tolerance:g}, relatively; absolutely for numbers below 1"
        return "\n".join(line.rstrip() for line in [f"Parity: {self.title}, {self.rows} rows", *lines, note])


def _figure(largest: float | None) -> str:
    if largest is None:
        return "-"
    return "none" if largest == 0 else f"{largest:.1e}"


def compare(title: str, original: Mapping[str, Any], converted: Mapping[str, Any], tolerance: float) -> ParityReport:
    """Compare the answers of a model with those of its converted form.

    Parameters
    ----------
    title:
        What is compared, for the table's first line.
    original, converted:
        An array for each output column, by its name, of the same rows.
    tolerance:
        Relative, and absolute for numbers below 1.
    """
    import numpy as np

    columns = []
    rows = 0
    for name, theirs in converted.items():
        own = np.asarray(original[name])
        rows = len(own)
        if own.dtype.kind in "fiub" and np.asarray(theirs).dtype.kind in "fiub":
            one = _numbers(name, own.astype(float), np.asarray(theirs, dtype=float), tolerance)
        else:
            differ = np.flatnonzero(own.astype(str) != np.asarray(theirs).astype(str)).tolist()
            one = ColumnParity(name, tuple(differ), None)
        columns.append(one)
    return ParityReport(title, rows, tolerance, tuple(columns))


def _numbers(name: str, own: Any, theirs: Any, tolerance: float) -> ColumnParity:
    import numpy as np

    with np.errstate(invalid="ignore"):
        absolute = np.abs(own - theirs)
        relative = absolute / np.maximum(1.0, np.maximum(np.abs(own), np.abs(theirs)))
    same = (own == theirs) | (np.isnan(own) & np.isnan(theirs))
    absolute = np.where(same, 0.0, absolute)
    relative = np.where(same, 0.0, relative)
    differ = np.flatnonzero(~(relative <= tolerance))
    finite = relative[np.isfinite(relative)]
    return ColumnParity(
        name,
        tuple(differ.tolist()),
        float(finite.max(initial=0.0)),
        float(absolute[np.isfinite(absolute)].max(initial=0.0)),
    )
