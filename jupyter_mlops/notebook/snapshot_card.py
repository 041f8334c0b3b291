"""What the cells show of snapshots: one with all that it holds, and the list of them, as text and as HTML."""

from __future__ import annotations

from html import escape

from jupyter_mlops.client.snapshot import Snapshot
from jupyter_mlops.client.unpacked import told_differences
from jupyter_mlops.notebook.display import CELL, MUTED, ROW, STYLE, TABLE, size
from jupyter_mlops.schema.snapshots import Manifest


class SnapshotTable:
    """Shows snapshots.

    Parameters
    ----------
    found:
        The snapshots, oldest first.
    url:
        The server's address.
    """

    def __init__(self, found: list[Snapshot], url: str) -> None:
        self.snapshots = found
        self._url = url

    def __repr__(self) -> str:
        if not self.snapshots:
            return f"No snapshots at {self._url} yet: %snapshot NAME keeps what is in this kernel."
        rows = [_HEADINGS, *(_row(one) for one in self.snapshots)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )

    def _repr_html_(self) -> str:
        if not self.snapshots:
            return f"<div style='{STYLE}'>{escape(repr(self))}</div>"
        head = "".join(f"<th style='{CELL}; {MUTED}; font-weight: normal'>{name}</th>" for name in _HEADINGS)
        rows = ("".join(f"<td style='{CELL}'>{escape(cell)}</td>" for cell in _row(one)) for one in self.snapshots)
        body = "".join(f"<tr style='{ROW}'>{row}</tr>" for row in rows)
        return (
            f"<div style='{STYLE}'><table style='{TABLE}; margin: 0'><tr style='{ROW}'>{head}</tr>{body}</table></div>"
        )


class SnapshotCard:
    """Shows one snapshot.

    Parameters
    ----------
    snapshot:
        The snapshot.
    manifest:
        All that it holds, to be shown as a table; only the names without it.
    """

    def __init__(self, snapshot: Snapshot, manifest: Manifest | None = None) -> None:
        self.snapshot = snapshot
        self.manifest = manifest

    def __repr__(self) -> str:
        lines = [f"{self.snapshot.name}  ({self.snapshot.id})"]
        lines += [f"  {label + ':':<11}{value}" for label, value in self._facts()]
        return "\n".join([*lines, *self._lines()])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr style='{ROW}'><td style='{CELL}; {MUTED}'>{label}</td><td style='{CELL}'>{escape(value)}</td></tr>"
            for label, value in self._facts()
        )
        title = f"<strong>{escape(self.snapshot.name)}</strong> {escape(self.snapshot.id)}"
        facts = f"<div>{title}</div><table style='{TABLE}; margin: 0'>{rows}</table>"
        return f"<div style='{STYLE}'>{facts}{self._table()}{self._differing()}</div>"

    def _facts(self) -> list[tuple[str, str]]:
        one = self.snapshot
        return [
            ("taken", f"{one.created:%Y-%m-%d %H:%M:%S} UTC"),
            ("size", size(one.size)),
            ("variables", ", ".join(one.objects) or "none"),
            ("files", ", ".join(one.files) or "none"),
            *self._environment(),
            ("load", f"%snapshot load {one.id}"),
        ]

    def _environment(self) -> list[tuple[str, str]]:
        if self.manifest is None:
            return []
        found = self.manifest.environment
        where = [f"Python {found.python}", found.platform, *(f"{key} {value}" for key, value in found.packages.items())]
        return [("made with", ", ".join(filter(None, where)))]

    def _variables(self) -> list[tuple[str, ...]]:
        held = () if self.manifest is None else self.manifest.names
        return [(one.name, one.type, one.shape, size(one.size)) for one in held if one.kind != "module"]

    def _lines(self) -> list[str]:
        """The table as text, and what differs here."""
        found = self._variables()
        differing = told_differences(self.manifest.environment).splitlines() if self.manifest is not None else []
        if not found:
            return differing
        rows = [_VARIABLES, *found]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_VARIABLES))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return [lines[0], "-" * max(map(len, lines)), *lines[1:], *differing]

    def _table(self) -> str:
        found = self._variables()
        if not found:
            return ""
        head = "".join(f"<th style='{CELL}; {MUTED}; font-weight: normal'>{name}</th>" for name in _VARIABLES)
        rows = ("".join(f"<td style='{CELL}'>{escape(cell)}</td>" for cell in row) for row in found)
        body = "".join(f"<tr style='{ROW}'>{row}</tr>" for row in rows)
        return f"<table style='{TABLE}; margin: 6px 0 0 0'><tr style='{ROW}'>{head}</tr>{body}</table>"

    def _differing(self) -> str:
        told = "" if self.manifest is None else told_differences(self.manifest.environment)
        return f"<pre style='margin: 6px 0 0 0'>{escape(told)}</pre>" if told else ""


_HEADINGS = ("name", "id", "taken", "size", "variables", "files")
_VARIABLES = ("name", "type", "shape", "size")
_LISTED = 60


def _row(one: Snapshot) -> tuple[str, ...]:
    names = ", ".join(one.objects)
    shown = names if len(names) <= _LISTED else f"{names[: _LISTED - 3]}..."
    return (one.name, one.id, f"{one.created:%Y-%m-%d %H:%M}", size(one.size), shown, str(len(one.files)))
