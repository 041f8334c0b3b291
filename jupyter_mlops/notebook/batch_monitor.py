"""The live monitor of a batch below a cell, and what stays of it in the notebook.

Where somebody sits at the notebook it is widgets. Where nobody does (nbclient, papermill, nbconvert), it is a picture
that changes while cells run. Either way the output ends as a picture of how the batch stood last, in HTML and in text.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import uuid
from typing import Any

from IPython.core.getipython import get_ipython

from jupyter_mlops.client.batch import Batch
from jupyter_mlops.client.batch_results import RowResult
from jupyter_mlops.client.batch_shown import Viewer
from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.notebook.batch_gallery import Pictures
from jupyter_mlops.notebook.batch_html import head, kinds, newest, summary
from jupyter_mlops.notebook.batch_panel import Panel
from jupyter_mlops.notebook.batch_watch import Watch
from jupyter_mlops.notebook.display import STYLE
from jupyter_mlops.schema.batches import ENDED, BatchProgress

NEWEST = 5
"""Results that are shown."""
LOOK_SECONDS = 1.0
"""How often newest results and artifacts are asked for, at most."""
COST, LONGEST_LOOK = 50, 3.0
"""How many times longer than it took to get them they are left alone, and seconds for which they are at most."""
PICTURE_SECONDS = 1.0
"""How often a picture changes."""

_MONITORS: dict[str, Monitor] = {}


def batch_monitor(job: Batch, *, as_result: bool = False) -> None:
    """Show a batch below the cell, live; in a terminal as a bar, until it ends or is interrupted.

    Parameters
    ----------
    job:
        A batch that was started.
    as_result:
        Whether it is the result of a cell; a terminal shows these in one line.
    """
    shell = get_ipython()
    if getattr(shell, "kernel", None) is not None:
        assert shell is not None
        monitor_of(job, shell).show(live=_somebody_is_there(shell))
    elif as_result:
        print(repr(job))  # noqa: T201  # what a cell shows of it
    else:
        follow(job)


def monitor_of(job: Batch, shell: Any) -> Monitor:
    """The monitor of a batch in this kernel; it has one, wherever it is shown.

    Parameters
    ----------
    job:
        The batch.
    shell:
        The IPython shell.
    """
    assert job.execution_id is not None, "nothing else is shown"
    monitor = _MONITORS.get(job.execution_id)
    if monitor is None:
        monitor = _MONITORS[job.execution_id] = Monitor(job, shell)
    return monitor


def follow(job: Batch) -> None:
    """Show a bar until the batch has ended; an interrupt ends the bar, and not the batch.

    Parameters
    ----------
    job:
        The batch.
    """
    try:
        job.wait()
    except KeyboardInterrupt:
        print(f"The batch goes on; %batch attach {job.execution_id} shows it again.")  # noqa: T201
        return
    print(summary(job.progress()))  # noqa: T201


class Monitor:
    """Watches a batch and shows it, in as many places as it is asked to.

    Parameters
    ----------
    job:
        The batch.
    shell:
        The IPython shell.
    """

    def __init__(self, job: Batch, shell: Any) -> None:
        self._shell = shell
        self._viewer = Viewer(self.go_on)
        self._rows = job.watched(self._viewer)
        self._watch = Watch(self._rows, self._heard)
        self._job = job
        self._panel: Panel | None = None
        self._files = Pictures(job)
        self._showing = threading.Lock()
        self._live: list[str] = []
        self._pictures: list[str] = []
        self._seen: BatchProgress | None = None
        self._note = ""
        self._after_cells = False
        self._newest: list[RowResult] = []
        self._looked_at = -1
        self._next_look = self._next_picture = 0.0

    @property
    def panel(self) -> Panel:
        """The widgets; made when they are wanted, for they are kept in the notebook where it is run by a program."""
        if self._panel is None:
            self._panel = Panel(self._job, self._rows, self._shell.user_ns)
        return self._panel

    @property
    def watching(self) -> bool:
        """Whether its thread runs."""
        return self._watch.alive

    def show(self, *, live: bool) -> None:
        """Show it below the cell.

        Parameters
        ----------
        live:
            With widgets; otherwise as a picture.
        """
        if live:
            _ = self.panel
        self._next_look = 0.0
        with contextlib.suppress(MLOpsError):  # what is known is shown, and the thread that watches tells the rest
            self._heard(self._rows.progress(), "", at_once=True)
        with self._showing:
            identifier = uuid.uuid4().hex
            (self._live if live else self._pictures).append(identifier)
            self._publish(identifier, live=live)
        self.go_on()

    def go_on(self) -> None:
        """Watch the batch from now on, until it has ended."""
        self._next_look = 0.0
        if self._pictures and not self._after_cells:
            self._after_cells = True
            self._shell.events.register("post_run_cell", self._after_cell)
        self._watch.start()

    def text(self) -> str:
        """What there is to see, as text."""
        return summary(self._seen, self._note) if self._seen else (self._note or "a batch")

    def html(self) -> str:
        """The same as HTML."""
        seen = self._seen
        parts = [head(seen, self._note), newest(self._newest), kinds(seen.errors)] if seen else [self.text()]
        parts.append((self._files if self._panel is None else self._panel.gallery).pictures)
        return f"<div style='{STYLE}; display: grid; gap: 8px'>{''.join(filter(None, parts))}</div>"

    def _after_cell(self, _: object) -> None:
        """Bring pictures up to date while a program that runs the notebook listens: it does not between cells."""
        with contextlib.suppress(MLOpsError):  # the thread that watches tells what is wrong
            seen = self._rows.progress()
            self._heard(seen, self._note, at_once=True)
            if seen.state in ENDED:
                self._after_cells = False
                self._shell.events.unregister("post_run_cell", self._after_cell)

    def _heard(self, seen: BatchProgress | None, note: str, *, at_once: bool = False) -> None:
        """Show news; called by the thread that watches, or at once by who shows it."""
        with self._showing:
            self._seen, self._note = seen or self._seen, note
            ended = seen is None or seen.state in ENDED
            if self._panel is not None:
                self._panel.show(seen, note)
            if seen is not None:
                self._look(seen, at_once=ended)
            now = time.monotonic()
            if not (ended or at_once) and now < self._next_picture:
                return
            self._next_picture = now + PICTURE_SECONDS
            for identifier in self._pictures:
                self._publish(identifier, live=False, update=True)
            for identifier in self._live if ended and seen is not None else ():
                self._publish(identifier, live=True, update=True)

    def _look(self, seen: BatchProgress, *, at_once: bool) -> None:
        """Get the newest results and artifacts, now and then."""
        began = time.monotonic()
        if (began < self._next_look and not at_once) or (seen.sequence == self._looked_at and not at_once):
            return
        try:
            skipped = max(0, seen.completed - NEWEST)
            found = self._rows.lines(order="completion", after=skipped, limit=NEWEST)
            self._newest = list(itertools.islice(found, NEWEST))[::-1] if seen.completed else []
            if self._panel is not None:
                self._panel.show_rows(self._newest)
            (self._files if self._panel is None else self._panel.gallery).refresh(seen.artifacts)
        except MLOpsError:  # the next question tells what is wrong
            return
        self._looked_at = seen.sequence
        took = time.monotonic() - began
        self._next_look = began + max(LOOK_SECONDS, min(COST * took, LONGEST_LOOK))

    def _publish(self, identifier: str, *, live: bool, update: bool = False) -> None:
        """Send a display to the notebook, or change it."""
        data = {"text/plain": self.text(), "text/html": self.html()}
        if live:
            data = self.panel.widget._repr_mimebundle_() | data
        self._shell.display_pub.publish(data=data, metadata={}, transient={"display_id": identifier}, update=update)


def _somebody_is_there(shell: Any) -> bool:
    """Whether somebody could press a button: who runs notebooks by a program says that nobody can be asked."""
    parent = shell.kernel.get_parent()
    return bool(parent.get("content", {}).get("allow_stdin", True))
