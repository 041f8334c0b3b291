"""`%batch`: records to a service, all at once; and the batches that there are."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from jupyter_mlops.client.batch import Batch
from jupyter_mlops.client.deploy import DeployClient
from jupyter_mlops.client.service import Service
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.notebook.display import CELL, MUTED, ROW, STYLE, TABLE
from jupyter_mlops.notebook.progress import interruptible
from jupyter_mlops.notebook.publish import evaluate
from jupyter_mlops.schema.batches import BatchProgress

PARALLEL = 10


def batch_line(shell: Any, connect: Callable[[], Transport], options: argparse.Namespace) -> Any:
    """Do what a line of `%batch` says; what the cell shall show.

    Parameters
    ----------
    shell:
        The IPython shell.
    connect:
        Gives the connection; asked only when it is needed.
    options:
        The parsed line.

    Raises
    ------
    UsageError
        When the words do not go together.
    """
    if options.variable is not None and not options.variable.isidentifier():
        raise UsageError(f"--as {options.variable}: that is no name of a variable")
    match options.what, options.words:
        case "list", []:
            client = DeployClient.over(connect())
            return BatchTable(client.batches(), client.transport.url)
        case "attach", [identifier]:
            job = DeployClient.over(connect()).get_batch(identifier)
        case "list" | "attach", _:
            raise UsageError("write %batch list, or %batch attach ID with one of the ids that it shows")
        case what, words:
            job = _start(shell, connect, what, " ".join(words), options)
    if options.variable is not None:
        shell.push({options.variable: job})
    if getattr(shell, "kernel", None) is None:  # a terminal shows a cell's result in one line
        job.monitor()
    return job


def _start(shell: Any, connect: Callable[[], Transport], what: str, text: str, options: argparse.Namespace) -> Batch:
    if not text:
        raise UsageError(
            f"%batch {what} wants records: a DataFrame, a list of dicts, a dict of columns, or the path of a file; "
            "write %batch SERVICE RECORDS"
        )
    records = _records(shell, text)
    job = _service(shell, connect, what).batch(
        records,
        parallel_count=PARALLEL if options.parallel is None else options.parallel,
        priority=options.priority,
        engine=options.engine,
    )
    with interruptible("%batch list tells whether it was started already"):
        return job.start()


def _service(shell: Any, connect: Callable[[], Transport], what: str) -> Service:
    """The service that a variable holds, else the one of that name."""
    held = shell.user_ns.get(what)
    if isinstance(held, Service):
        return held
    name, _, version = what.partition("/")
    return DeployClient.over(connect()).get_service(name, version or None)


def _records(shell: Any, text: str) -> Any:
    """What is written, as a variable, else as a file, else as an expression."""
    if text not in shell.user_ns and _is_file(text):
        return Path(text).expanduser()
    try:
        compile(text, "RECORDS", "eval")
    except SyntaxError:
        raise UsageError(f"RECORDS: {text!r} is neither a file nor an expression of Python") from None
    return evaluate(shell, text, "RECORDS")


def _is_file(text: str) -> bool:
    try:
        return Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long, or nothing that could be a path
        return False


class BatchTable:
    """Shows batches.

    Parameters
    ----------
    found:
        How far they are, newest first.
    url:
        The server's address.
    """

    def __init__(self, found: list[BatchProgress], url: str) -> None:
        self.batches = found
        self._url = url

    def __repr__(self) -> str:
        if not self.batches:
            return f"No batches at {self._url}: %batch SERVICE RECORDS starts one."
        rows = [_HEADINGS, *(_row(one) for one in self.batches)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )

    def _repr_html_(self) -> str:
        if not self.batches:
            return f"<div style='{STYLE}'>{escape(repr(self))}</div>"
        head = "".join(f"<th style='{CELL}; {MUTED}; font-weight: normal'>{name}</th>" for name in _HEADINGS)
        rows = ("".join(f"<td style='{CELL}'>{escape(cell)}</td>" for cell in _row(one)) for one in self.batches)
        body = "".join(f"<tr style='{ROW}'>{row}</tr>" for row in rows)
        return (
            f"<div style='{STYLE}'><table style='{TABLE}; margin: 0'><tr style='{ROW}'>{head}</tr>{body}</table></div>"
        )


_HEADINGS = ("id", "service", "state", "done", "rows", "failed", "by", "submitted")


def _row(one: BatchProgress) -> tuple[str, ...]:
    return (
        one.id,
        f"{one.name}/{one.version}",
        str(one.state),
        f"{one.completed:,}",
        f"{one.total:,}",
        f"{one.failed:,}",
        one.owner,
        one.created.partition(".")[0].replace("T", " "),
    )
