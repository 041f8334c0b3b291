"""The artifacts of a batch by row: a page of thumbnails, and one of them opened."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from jupyter_mlops.client.batch import Batch
from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.notebook.batch_html import FONT, heading
from jupyter_mlops.notebook.display import MUTED
from jupyter_mlops.notebook.thumbnails import LARGE, SMALL, caption, opened, thumbnail
from jupyter_mlops.schema.batches import BatchArtifact

PAGE = 5
"""Thumbnails that are shown, and loaded, at a time."""


class Pictures:
    """The first thumbnails, without widgets.

    Parameters
    ----------
    job:
        The batch.
    """

    def __init__(self, job: Batch) -> None:
        self._job = job
        self._shown: list[tuple[BatchArtifact, str]] = []

    @property
    def pictures(self) -> str:
        """The thumbnails, as HTML."""
        return _side_by_side(self._shown)

    def refresh(self, total: int) -> None:
        """Load what is new.

        Parameters
        ----------
        total:
            How many artifacts the batch has.
        """
        files = self._job.artifacts(0, PAGE) if total else []
        if files != [one for one, _ in self._shown]:
            self._shown = [(one, thumbnail(one, _content(self._job, one, SMALL))) for one in files]


Run = Callable[[str, Callable[[], str]], None]
"""Does in the background what a button says, and shows what it returns."""


class Gallery:
    """Shows the files that the rows of a batch wrote.

    Parameters
    ----------
    job:
        The batch.
    run:
        Does what a button says.
    """

    def __init__(self, job: Batch, run: Run) -> None:
        self._job = job
        self._run = run
        self._offset = 0
        self._total = 0
        self._files: list[BatchArtifact] = []
        self._loaded: list[BatchArtifact] | None = None
        self._open: BatchArtifact | None = None
        self._build()

    @property
    def pictures(self) -> str:
        """The thumbnails that are shown, as HTML."""
        shown = zip(self._tiles, self._files, strict=False)
        return _side_by_side([(one, tile.picture.value) for tile, one in shown])

    def refresh(self, total: int) -> None:
        """Show the page as it is now.

        Parameters
        ----------
        total:
            How many artifacts the batch has.
        """
        self._total = total
        if self._offset >= total:
            self._offset = 0
        self._files = self._job.artifacts(self._offset, PAGE) if total else []
        self._show()

    def _build(self) -> None:
        self._title = widgets.HTML()
        self._tiles = [_Tile(lambda number=number: self._opening(number)) for number in range(PAGE)]  # type: ignore[misc]
        self._earlier = widgets.Button(icon="chevron-left", tooltip="Artifacts before these", layout=_narrow())
        self._later = widgets.Button(icon="chevron-right", tooltip="Artifacts after these", layout=_narrow())
        self._row = widgets.BoundedIntText(
            min=0, max=2**31 - 1, description="From row", continuous_update=False, layout=widgets.Layout(width="190px")
        )
        self._earlier.on_click(lambda _: self._turn(max(0, self._offset - PAGE)))
        self._later.on_click(lambda _: self._turn(self._offset + PAGE))
        self._row.observe(lambda change: self._jump(change["new"]), "value")
        self._viewer = widgets.HTML()
        self._save = widgets.Button(
            description="Save",
            icon="download",
            tooltip="Copy the file into the notebook's folder",
            layout=_narrow("90px"),
        )
        self._close = widgets.Button(description="Close", tooltip="Close the file", layout=_narrow("90px"))
        self._save.on_click(lambda _: self._run("Saving", self._saved))
        self._close.on_click(lambda _: self._closed())
        self._opened = widgets.VBox(
            [self._viewer, widgets.HBox([self._save, self._close])], layout=widgets.Layout(display="none")
        )
        bar = widgets.HBox(
            [self._title, self._earlier, self._later, self._row],
            layout=widgets.Layout(align_items="center", flex_flow="row wrap"),
        )
        tiles = widgets.HBox([tile.widget for tile in self._tiles], layout=widgets.Layout(flex_flow="row wrap"))
        self.widget = widgets.VBox([bar, tiles, self._opened], layout=widgets.Layout(display="none"))
        """What is displayed."""

    def _show(self) -> None:
        if self._files == self._loaded:
            self._label()
            return
        for tile, one in zip(self._tiles, self._files, strict=False):
            tile.fill(one, _content(self._job, one, SMALL))
        for tile in self._tiles[len(self._files) :]:
            tile.hide()
        self._loaded = list(self._files)
        self._label()
        self.widget.layout.display = None if self._files else "none"

    def _label(self) -> None:
        last = self._offset + len(self._files)
        self._title.value = (
            f"<div style='{FONT}; {MUTED}; font-size: 12px; margin-right: 8px'>"
            f"Artifacts {self._offset + 1:,} to {last:,} of {self._total:,}</div>"
        )
        self._earlier.disabled, self._later.disabled = not self._offset, last >= self._total

    def _turn(self, offset: int) -> None:
        def turned() -> str:
            self._offset = offset
            self.refresh(self._total)
            return ""

        self._run("Looking", turned)

    def _jump(self, row: int) -> None:
        """Show the first file of a row, or of the next one that has any; the server lists them by row."""

        def jumped() -> str:
            offsets: Sequence[int] = range(self._total)
            found = bisect.bisect_left(offsets, row, key=lambda at: self._job.artifacts(at, 1)[0].index)
            self._offset = min(found, max(0, self._total - 1))
            self.refresh(self._total)
            return ""

        self._run("Looking", jumped)

    def _opening(self, number: int) -> None:
        one = self._files[number]

        def shown() -> str:
            self._viewer.value = opened(one, _content(self._job, one, LARGE))
            self._open = one
            self._opened.layout.display = None
            return ""

        self._run(f"Opening {one.name}", shown)

    def _closed(self) -> None:
        self._opened.layout.display = "none"
        self._viewer.value = ""

    def _saved(self) -> str:
        one = self._open
        assert one is not None, "the button is in the viewer"
        name = Path(one.name).name
        target = Path(f"row-{one.index}-{name}").absolute()
        folder = target.parent
        (copied,) = self._job.download(one.index, one.name, folder)
        return f"Saved as {Path(copied).replace(target)}."


class _Tile:
    """One thumbnail, and the button that opens its file."""

    def __init__(self, open_it: Callable[[], None]) -> None:
        self.picture, self.caption = widgets.HTML(), widgets.HTML()
        self.button = widgets.Button(layout=widgets.Layout(width="140px"))
        self.button.on_click(lambda _: open_it())
        self.widget = widgets.VBox(
            [self.picture, self.button, self.caption], layout=widgets.Layout(display="none", margin="0 8px 4px 0")
        )

    def fill(self, one: BatchArtifact, data: bytes | None) -> None:
        """Show a file."""
        self.picture.value, self.caption.value = thumbnail(one, data), caption(one)
        self.button.description, self.button.tooltip = one.name, f"Open {one.name} of row {one.index}"
        self.widget.layout.display = None

    def hide(self) -> None:
        """Show nothing."""
        self.widget.layout.display = "none"
        self.picture.value = ""


def _narrow(width: str = "36px") -> Any:
    return widgets.Layout(width=width)


def _content(job: Batch, one: BatchArtifact, limit: int) -> bytes | None:
    """What is in a file; None when that is too much, or the file has gone."""
    if one.size > limit:
        return None
    try:
        return job.artifact(one.index, one.name)
    except MLOpsError:  # failed rows were tried again meanwhile, or the batch has gone
        return None


def _side_by_side(shown: list[tuple[BatchArtifact, str]]) -> str:
    """Thumbnails with names and captions, for where there are no buttons."""
    tiles = "".join(
        f"<div style='width: 140px; overflow-wrap: anywhere; {FONT}; font-size: 12px'>{picture}{escape(one.name)}"
        f"{caption(one)}</div>"
        for one, picture in shown
    )
    return f"{heading('Artifacts')}<div style='display: flex; flex-wrap: wrap; gap: 8px'>{tiles}</div>" if tiles else ""
