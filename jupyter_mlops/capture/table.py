"""A survey as a table of text, for terminals and for notebooks without widgets."""

from __future__ import annotations

from jupyter_mlops.capture.surveys import Survey, Variable

WIDTHS = {"name": 24, "type": 22, "shape": 16, "size": 10, "reached": 40}
"""Characters that a column may have; longer ones are cut."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


def bytes_text(size: int | None) -> str:
    """A number of bytes as people write it, such as `1.4 MiB`; a question mark for None."""
    if size is None:
        return "?"
    value, unit = float(size), 0
    while value >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{size} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def table(survey: Survey) -> str:
    """Write a survey as text: a row a variable, the chosen ones marked, then what to know, then the total.

    Parameters
    ----------
    survey:
        The survey.
    """
    rows = [("", *WIDTHS)] + [_row(survey, one) for one in survey.variables]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    notes = [f"  {text}" for one in survey.variables for text in _notes(survey, one)]
    notes += [f"  {one}" for one in survey.missing()]
    count = len(survey.selected)
    total = f"{count} variable{'s' * (count != 1)} chosen (x), {bytes_text(survey.total())}"
    return "\n".join([*lines, *(["To know:", *notes] if notes else []), total])


def _row(survey: Survey, one: Variable) -> tuple[str, ...]:
    mark = "x" if one.name in survey.selected else "!" if one.problem or one.secret else ""
    cells = (one.name, one.type, one.shape, bytes_text(one.size), one.why)
    return (mark, *(_cut(cell, width) for cell, width in zip(cells, WIDTHS.values(), strict=True)))


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    size = list(WIDTHS).index("size") + 1
    padded = (
        cell.rjust(width) if index == size else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def _notes(survey: Survey, one: Variable) -> list[str]:
    notes = [one.problem] if one.problem else []
    for caution in one.cautions:
        left_out = caution.kind == "secret" and one.name not in survey.selected
        notes.append(f"{caution}{f'; left out unless kept (--keep {one.name})' if left_out else ''}")
    return notes


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
