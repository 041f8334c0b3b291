"""The widgets of a batch's monitor: what they show, and what their buttons do.

Only stock ipywidgets, so that it works wherever they do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from jupyter_mlops.client.batch import Batch
from jupyter_mlops.client.batch_results import RowResult
from jupyter_mlops.client.batch_rows import BatchRows
from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.notebook.batch_gallery import Gallery
from jupyter_mlops.notebook.batch_html import (
    BAD,
    FONT,
    KINDS_SHOWN,
    head,
    heading,
    kind,
    more_kinds,
    newest,
    row_detail,
)
from jupyter_mlops.notebook.display import MUTED
from jupyter_mlops.schema.batches import ENDED, BatchError, BatchProgress

FRAME = "results"
"""What the DataFrame of results is called in the notebook, if that is free."""


class Panel:
    """The widgets.

    Parameters
    ----------
    job:
        The batch.
    rows:
        What the server has of it.
    namespace:
        The notebook's variables, one of which takes the results.
    """

    def __init__(self, job: Batch, rows: BatchRows, namespace: dict[str, Any]) -> None:
        self._job = job
        self._rows = rows
        self._namespace = namespace
        self._bound: tuple[str, Any] = ("", None)
        self._seen: BatchProgress | None = None
        self._busy = threading.Lock()
        self._build()

    def show(self, seen: BatchProgress | None, note: str) -> None:
        """Show how far the batch is.

        Parameters
        ----------
        seen:
            How far; None when that is not known now.
        note:
            What is to be said of the connection.
        """
        if seen is not None:
            self._seen = seen
            self._show_kinds(seen.errors)
        if self._seen is None:
            self._head.value = f"<div style='{FONT}'>{escape(note)}</div>"
            return
        self._head.value = head(self._seen, note)
        self._enable()

    def show_rows(self, rows: list[RowResult]) -> None:
        """Show the results that were recorded last."""
        self._newest.value = newest(rows)
        self._newest.layout.display = None if rows else "none"

    def _build(self) -> None:
        self._head = widgets.HTML(layout=widgets.Layout(width="100%"))
        self._cancel = _button("Cancel", "stop", "Stop it; the results that were recorded are kept", self._cancelled)
        self._retry = _button(
            "Retry failed rows", "repeat", "Run the rows that failed, or have no result, again", self._retried
        )
        self._archive = _button(
            "Download artifacts", "download", "Copy all artifacts as one zip into the notebook's folder", self._archived
        )
        self._frame = _button(
            "Results as DataFrame", "table", "Put inputs and results so far into a variable", self._framed
        )
        self._buttons = (self._cancel, self._retry, self._archive, self._frame)
        for button, work in self._buttons:
            button.on_click(lambda pressed, work=work: self.run(pressed.description, work))
        self._message = widgets.HTML()
        self._newest = widgets.HTML(layout=widgets.Layout(display="none", width="100%"))
        self._kinds = [_Kind(self._open_row) for _ in range(KINDS_SHOWN)]
        self._more = widgets.HTML()
        title = widgets.HTML(f"<div style='{FONT}'>{heading('Errors')}</div>")
        self._errors = widgets.VBox(
            [title, *(one.widget for one in self._kinds), self._more], layout=widgets.Layout(display="none")
        )
        self._detail = widgets.HTML(layout=widgets.Layout(width="100%"))
        close = widgets.Button(description="Close", tooltip="Close the row", layout=widgets.Layout(width="90px"))
        close.on_click(lambda _: self._close_row())
        self._row = widgets.VBox([self._detail, close], layout=widgets.Layout(display="none"))
        self.gallery = Gallery(self._job, self.run)
        self.widget = widgets.VBox(
            [
                self._head,
                widgets.HBox([button for button, _ in self._buttons], layout=widgets.Layout(flex_flow="row wrap")),
                self._message,
                self._newest,
                self._errors,
                self._row,
                self.gallery.widget,
            ],
            layout=widgets.Layout(
                border="1px solid var(--jp-border-color2, #bdbdbd)", padding="10px 14px", max_width="860px"
            ),
        )
        """What is displayed."""

    def run(self, what: str, work: Callable[[], str]) -> None:
        """Do what a button says in a thread, one at a time; a refusal is a message below.

        Parameters
        ----------
        what:
            What it is, for people.
        work:
            Does it, and returns what is to be said of it.
        """
        if not self._busy.acquire(blocking=False):
            return
        self._say(f"{what} ...")
        self._enable(nothing=True)
        threading.Thread(target=self._done, args=(work,), name="jupyter-mlops-button", daemon=True).start()

    def _done(self, work: Callable[[], str]) -> None:
        said, colour = "", ""
        try:
            said = work()
        except (MLOpsError, OSError) as error:
            said, colour = str(error), BAD
        finally:
            self._busy.release()
            self._enable()
        self._say(said, colour)

    def _say(self, text: str, colour: str = "") -> None:
        style = f"{FONT}; overflow-wrap: anywhere; {f'color: {colour}' if colour else MUTED}"
        said = f"<div role='status' aria-live='polite' style='{style}'>{escape(text)}</div>"
        self._message.value = said if text else ""

    def _enable(self, *, nothing: bool = False) -> None:
        seen = self._seen
        busy = nothing or seen is None or self._busy.locked()
        ended = seen is not None and seen.state in ENDED
        undone = seen is not None and bool(seen.failed or seen.completed < seen.total)
        some = seen is not None and bool(seen.completed)
        files = seen is not None and bool(seen.artifacts)
        for (button, _), able in zip(self._buttons, (not ended, ended and undone, files, some), strict=True):
            button.disabled = busy or not able

    def _show_kinds(self, errors: tuple[BatchError, ...]) -> None:
        for place, one in zip(self._kinds, errors, strict=False):
            place.fill(one)
        for place in self._kinds[len(errors) :]:
            place.hide()
        self._more.value = more_kinds(errors)
        self._errors.layout.display = None if errors else "none"

    def _open_row(self, index: int) -> None:
        def shown() -> str:
            row = next(self._rows.lines(offset=index, limit=1), None)
            if row is None or row.index != index:
                return f"Row {index} has no result now."
            inputs = self._rows.inputs(offset=index, limit=1)
            files = self._job.list_artifacts(index)
            self._detail.value = row_detail(row, inputs[0] if inputs else {}, files)
            self._row.layout.display = None
            return ""

        self.run(f"Looking at row {index}", shown)

    def _close_row(self) -> None:
        self._row.layout.display = "none"
        self._detail.value = ""

    def _cancelled(self) -> str:
        self._job.cancel()
        return "Cancelled; what was recorded is kept."

    def _retried(self) -> str:
        self._close_row()
        self._job.retry_failed()
        return "They run again."

    def _archived(self) -> str:
        return f"All artifacts are in {self._job.archive().absolute()}"

    def _framed(self) -> str:
        frame = self._job.to_frame()
        name, last = self._bound
        if not name or self._namespace.get(name) is not last:
            name = _free(self._namespace)
        self._namespace[name] = frame
        self._bound = name, frame
        rows, columns = frame.shape
        return f"{name} is a DataFrame of {rows:,} rows and {columns} columns."


class _Kind:
    """One kind of errors, and the button that opens the first row that has it."""

    def __init__(self, open_row: Callable[[int], None]) -> None:
        self._index = 0
        self._button = widgets.Button(layout=widgets.Layout(width="120px", flex="0 0 auto"))
        self._button.on_click(lambda _: open_row(self._index))
        self._text = widgets.HTML(layout=widgets.Layout(flex="1 1 auto", min_width="0"))
        self.widget = widgets.HBox(
            [self._button, self._text], layout=widgets.Layout(align_items="center", display="none", overflow="hidden")
        )

    def fill(self, one: BatchError) -> None:
        """Show it."""
        self._index = one.first
        self._button.description = f"Row {one.first:,}"
        self._button.tooltip = f"Show inputs, error and output of row {one.first:,}"
        self._text.value = kind(one)
        self.widget.layout.display = None

    def hide(self) -> None:
        """Show nothing."""
        self.widget.layout.display = "none"
        self._text.value = ""


def _button(text: str, icon: str, tooltip: str, work: Callable[[], str]) -> tuple[Any, Callable[[], str]]:
    layout = widgets.Layout(width="auto")
    return widgets.Button(description=text, icon=icon, tooltip=tooltip, disabled=True, layout=layout), work


def _free(namespace: dict[str, Any]) -> str:
    number = 1
    while (name := FRAME if number == 1 else f"{FRAME}_{number}") in namespace:
        number += 1
    return name
