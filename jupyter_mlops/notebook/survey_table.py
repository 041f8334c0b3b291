"""What a survey looks like in a cell: text for terminals, a table for notebooks, both without widgets."""

from __future__ import annotations

from html import escape

from jupyter_mlops.capture import Survey, Variable
from jupyter_mlops.capture.table import bytes_text
from jupyter_mlops.notebook.display import CELL, MUTED, ROW, STYLE, TABLE

_HEADINGS = ("", "name", "type", "shape", "size", "reached", "to know")
_BAD = "color: var(--jp-error-color1, #d32f2f)"


class SurveyTable:
    """Shows a survey.

    Parameters
    ----------
    survey:
        The survey.
    """

    def __init__(self, survey: Survey) -> None:
        self.survey = survey

    def __repr__(self) -> str:
        return str(self.survey)

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='{CELL}; {MUTED}; font-weight: normal'>{name}</th>" for name in _HEADINGS)
        body = "".join(self._row(one) for one in self.survey.variables)
        missing = "".join(f"<div style='{_BAD}'>{escape(str(one))}</div>" for one in self.survey.missing())
        table = f"<table style='{TABLE}; margin: 0'><tr style='{ROW}'>{head}</tr>{body}</table>"
        return (
            f"<div style='{STYLE}'>{table}{missing}<div><strong>{escape(total_text(self.survey))}</strong></div></div>"
        )

    def _row(self, one: Variable) -> str:
        chosen = one.name in self.survey.selected
        style = "" if chosen else MUTED
        cells = ("✓" if chosen else "", one.name, one.type, one.shape, bytes_text(one.size), one.why)
        shown = "".join(f"<td style='{CELL}; {style}'>{escape(cell)}</td>" for cell in cells)
        notes = "<br>".join(escape(note) for note in notes_of(one))
        return f"<tr style='{ROW}'>{shown}<td style='{CELL}; {_BAD}'>{notes}</td></tr>"


def notes_of(one: Variable) -> list[str]:
    """What to know of a variable before it goes along, in a few words each."""
    notes = [one.problem.removeprefix(f"{one.name}: ")] if one.problem else []
    notes += [caution.text if caution.where == one.name else str(caution) for caution in one.cautions]
    if one.secret:
        notes.append("goes along only when it is chosen by name")
    return notes


def total_text(survey: Survey, names: list[str] | None = None) -> str:
    """How many variables a choice has and what they weigh.

    Parameters
    ----------
    survey:
        The survey.
    names:
        The choice; None for the survey's own.
    """
    count = len(survey.selected if names is None else names)
    return f"{count} of {len(survey.variables)} variables, {bytes_text(survey.total(names))}"
