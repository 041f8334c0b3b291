"""What a monitor shows of a batch, as HTML and as text: how far it is, its newest results, its errors, one row.

Everything that a user wrote is escaped and cut. Colours are Jupyter's own variables, with others where there are none.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from jupyter_mlops.client.batch_results import RowResult
from jupyter_mlops.notebook.display import MUTED
from jupyter_mlops.schema.batches import ENDED, BatchError, BatchProgress, BatchState

FONT = (
    "font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 13px; line-height: 1.5; "
    "color: var(--jp-ui-font-color1, inherit)"
)
GOOD = "var(--jp-success-color1, #388e3c)"
BAD = "var(--jp-error-color1, #d32f2f)"
BUSY = "var(--jp-brand-color1, #1976d2)"
HALTED = "var(--jp-warn-color1, #f57c00)"
KINDS_SHOWN = 6
"""Kinds of errors that are shown; the others are counted."""

_TRACK = "var(--jp-layout-color3, rgba(127, 127, 127, 0.25))"
_HEADING = f"{MUTED}; font-size: 12px; margin: 0 0 2px 0"
_CELL = "text-align: left; padding: 1px 16px 1px 0; vertical-align: top; background: none; white-space: nowrap"
_NUMBER = "text-align: right; font-variant-numeric: tabular-nums"
_WRAPPED = "white-space: normal; overflow-wrap: anywhere"
_TABLE = "border-collapse: collapse; color: inherit; font: inherit; margin: 0"
_PRE = (
    "font-family: var(--jp-code-font-family, monospace); font-size: 12px; line-height: 1.4; margin: 2px 0 6px 0; "
    "padding: 4px 8px; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 240px; overflow: auto; "
    "background: var(--jp-layout-color2, rgba(127, 127, 127, 0.1)); color: inherit; border-radius: 3px"
)
_COLOURS = {BatchState.COMPLETE: GOOD, BatchState.FAILED: BAD, BatchState.CANCELLED: HALTED}
_VALUE_LIMIT = 60
_INPUT_LIMIT = 300
_OUTPUTS_SHOWN = 6
_TEXT_LIMIT = 6000
_MINUTE, _HOUR = 60, 3600

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _INPUT_LIMIT


def summary(seen: BatchProgress, note: str = "") -> str:
    """How far a batch is, in one line of text."""
    parts = [f"{seen.name} {seen.version}, batch {seen.id}: {seen.state}", *_facts(seen)]
    return ", ".join(parts) + "".join(f"; {one}" for one in (seen.reason, note) if one)


def head(seen: BatchProgress, note: str = "") -> str:
    """The bar, what it counts, and what is wrong.

    Parameters
    ----------
    seen:
        How far the batch is.
    note:
        What is to be said of the connection.
    """
    colour = _COLOURS.get(seen.state, BUSY)
    title = (
        "<div style='display: flex; gap: 8px; align-items: baseline; flex-wrap: wrap'>"
        f"<strong style='font-size: 15px'>{escape(seen.name)}</strong><span>{escape(seen.version)}</span>"
        f"<span style='{MUTED}; font-size: 12px; overflow-wrap: anywhere'>batch {escape(seen.id)}</span>"
        f"<span style='margin-left: auto; font-weight: 600; color: {colour}'>{escape(seen.state)}</span></div>"
    )
    facts = " &nbsp;·&nbsp; ".join(
        f"<span style='color: {BAD}'>{escape(fact)}</span>" if fact.endswith(" failed") else escape(fact)
        for fact in _facts(seen)
    )
    lines = [
        f"<div style='color: {colour if seen.state in ENDED else HALTED}; overflow-wrap: anywhere'>{escape(text)}</div>"
        for text in (seen.reason, note)
        if text
    ]
    counted = f"<div style='font-variant-numeric: tabular-nums'>{facts}</div>"
    return f"<div style='{FONT}'>{title}{_bar(seen)}{counted}{''.join(lines)}</div>"


def newest(rows: Sequence[RowResult]) -> str:
    """The results that were recorded last, as a table."""
    if not rows:
        return ""
    names = list(rows[0].outputs)[:_OUTPUTS_SHOWN]
    body = []
    for row in rows:
        if row.success:
            cells = "".join(f"<td style='{_CELL}'>{escape(short(row.outputs.get(name)))}</td>" for name in names)
        else:
            said = (row.error.strip().splitlines() or ["failed"])[-1].strip()
            cells = (
                f"<td style='{_CELL}; color: {BAD}; {_WRAPPED}' "
                f"colspan='{max(1, len(names))}'>{escape(said[: 2 * _VALUE_LIMIT])}</td>"
            )
        took = f"{row.seconds * 1000:,.1f} ms" + (f", attempt {row.attempt}" if row.attempt > 1 else "")
        body.append(
            f"<tr style='background: none'><td style='{_CELL}; {_NUMBER}'>{row.index:,}</td>{cells}"
            f"<td style='{_CELL}; {_NUMBER}; {MUTED}'>{escape(took)}</td></tr>"
        )
    headings = [("row", _NUMBER), *((name, "") for name in names), ("took", _NUMBER)]
    return _section("Newest results", _table(headings, "".join(body)))


def kinds(errors: Sequence[BatchError]) -> str:
    """The kinds of errors, as a table."""
    if not errors:
        return ""
    body = "".join(
        f"<tr style='background: none'><td style='{_CELL}; {_NUMBER}'>{one.count:,}</td>"
        f"<td style='{_CELL}; color: {BAD}; {_WRAPPED}'>{escape(one.message)}</td>"
        f"<td style='{_CELL}; {_NUMBER}'>{one.first:,}</td></tr>"
        for one in errors[:KINDS_SHOWN]
    )
    shown = _table([("rows", _NUMBER), ("error", ""), ("first", _NUMBER)], body)
    return _section("Errors", shown + more_kinds(errors))


def kind(one: BatchError) -> str:
    """One kind of errors, in a line."""
    return (
        f"<div style='{FONT}; line-height: 1.4; overflow-wrap: anywhere'>"
        f"<span style='font-variant-numeric: tabular-nums'>{one.count:,} rows: </span>"
        f"<span style='color: {BAD}'>{escape(one.message)}</span></div>"
    )


def more_kinds(errors: Sequence[BatchError]) -> str:
    """How many kinds of errors are not shown."""
    left = len(errors) - KINDS_SHOWN
    return f"<div style='{FONT}; {MUTED}'>and {left} more kinds: see job.failed()</div>" if left > 0 else ""


def row_detail(row: RowResult, inputs: Mapping[str, Any], files: Iterable[str]) -> str:
    """One row: its inputs, why it failed, and what it printed.

    Parameters
    ----------
    row:
        Its result.
    inputs:
        Its inputs.
    files:
        Names of the artifacts that it wrote.
    """
    given = "".join(
        f"<tr style='background: none'><td style='{_CELL}; {MUTED}'>{escape(str(name))}</td>"
        f"<td style='{_CELL}; {_WRAPPED}'>{escape(short(value, _INPUT_LIMIT))}</td></tr>"
        for name, value in inputs.items()
    )
    parts = [heading(f"Row {row.index:,}"), f"<table style='{_TABLE}; margin: 0 0 6px 0'>{given}</table>"]
    for name, text in (("error", row.error), ("console", row.console_output)):
        if text.strip():
            parts += [heading(name), f"<pre style='{_PRE}'>{escape(_tail(text))}</pre>"]
    names = ", ".join(files)
    if names:
        parts.append(f"<div style='{MUTED}'>artifacts: {escape(names[:_TEXT_LIMIT])}</div>")
    return f"<div style='{FONT}'>{''.join(parts)}</div>"


def heading(text: str) -> str:
    """A small heading."""
    return f"<div style='{_HEADING}'>{escape(text)}</div>"


def text_block(text: str) -> str:
    """Text as it is, in a box."""
    return f"<pre style='{_PRE}'>{escape(text)}</pre>"


def table_of(rows: Sequence[Sequence[str]]) -> str:
    """A small table whose first row are names."""
    first, *others = rows
    body = "".join(
        "<tr style='background: none'>" + "".join(f"<td style='{_CELL}'>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in others
    )
    return _table([(name, "") for name in first], body)


def short(value: Any, limit: int = _VALUE_LIMIT) -> str:
    """A value in a few words."""
    match value:
        case None:
            return "-"
        case bool():
            return str(value)
        case float():
            return f"{value:.6g}"
        case str():
            text = value
        case _ if hasattr(value, "columns") and hasattr(value, "iloc"):
            return f"DataFrame, {len(value)} rows"
        case _ if hasattr(value, "tolist"):
            text = f"array {'x'.join(map(str, value.shape))}: {_short.repr(value.reshape(-1)[:8].tolist())}"
        case _:
            text = _short.repr(value)
    text = " ".join(text[: 4 * limit].split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def time_text(seconds: float) -> str:
    """A time span for people."""
    if seconds < 10:  # noqa: PLR2004  # so that a digit behind the point tells something
        return f"{seconds:.1f} s"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"


def _facts(seen: BatchProgress) -> list[str]:
    facts = [f"{seen.completed:,} of {seen.total:,} rows"]
    facts += [f"{seen.failed:,} failed"] if seen.failed else []
    facts += [f"{seen.attempts:,} tried again"] if seen.attempts else []
    facts += [f"{seen.artifacts:,} artifacts"] if seen.artifacts else []
    if seen.state in ENDED:
        return [*facts, f"{time_text(seen.seconds)} of work"]
    facts += [f"{seen.running:,} running"] if seen.running else []
    facts += [f"{seen.rate:,.0f} rows/s" if seen.rate >= 10 else f"{seen.rate:.1f} rows/s"] if seen.rate else []  # noqa: PLR2004
    facts += [f"{time_text(seen.seconds_left)} left"] if seen.seconds_left is not None else []
    return facts


def _bar(seen: BatchProgress) -> str:
    total = max(seen.total, 1)
    good, running = seen.completed - seen.failed, min(seen.running, seen.total - seen.completed)
    parts = "".join(
        f"<div style='width: {100 * count / total:.3f}%; background: {colour}; opacity: {opacity}'></div>"
        for count, colour, opacity in ((good, GOOD, 1), (seen.failed, BAD, 1), (running, BUSY, 0.5))
        if count > 0
    )
    return (
        f"<div role='progressbar' aria-label='rows done' aria-valuemin='0' aria-valuemax='{seen.total}' "
        f"aria-valuenow='{seen.completed}' style='display: flex; height: 8px; margin: 6px 0; border-radius: 4px; "
        f"overflow: hidden; background: {_TRACK}'>{parts}</div>"
    )


def _section(title: str, body: str) -> str:
    return f"<div style='{FONT}; overflow-x: auto'>{heading(title)}{body}</div>"


def _table(headings: Sequence[tuple[str, str]], body: str) -> str:
    names = "".join(
        f"<th style='{_CELL}; {style}; {MUTED}; font-weight: normal'>{escape(name)}</th>" for name, style in headings
    )
    return f"<table style='{_TABLE}'><tr style='background: none'>{names}</tr>{body}</table>"


def _tail(text: str) -> str:
    return text if len(text) <= _TEXT_LIMIT else f"…{text[-_TEXT_LIMIT:]}"
