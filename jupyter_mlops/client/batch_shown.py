"""How a batch is shown in a notebook; what shows it lives in the notebook's room and is found when it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import jupyter_mlops
from jupyter_mlops.client.batch_address import BatchAddress
from jupyter_mlops.client.batch_rows import BatchRows
from jupyter_mlops.schema.types import Parameter


class Viewer:
    """Whoever shows a batch, and wants to hear when it goes on after its end.

    Parameters
    ----------
    go_on:
        Called then.
    """

    def __init__(self, go_on: Callable[[], None]) -> None:
        self.go_on = go_on


class BatchShown(BatchAddress):
    """Shows a batch and its progress; the part of `Batch` that is about notebooks."""

    _outputs: tuple[Parameter, ...]
    _viewers: WeakValueDictionary[str, Viewer] = WeakValueDictionary()

    def monitor(self) -> None:
        """Show its live monitor below the cell; in a terminal a bar, until it ends or is interrupted.

        A batch that was started shows the same as the result of a cell.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        self._path()
        self._shown(as_result=False)

    def watched(self, viewer: Viewer | None = None) -> BatchRows:
        """What the server has of it, asked over a connection of its own that starts no server.

        Parameters
        ----------
        viewer:
            Who is told when failed rows are tried again from here.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        path = self._path()
        if viewer is not None and self._execution_id:
            self._viewers[self._execution_id] = viewer
        return BatchRows(self._transport.watcher(), path, self._service, self._outputs)

    def _went_on(self) -> None:
        """Tell who shows it that it is not at its end any more."""
        viewer = self._viewers.get(self._execution_id or "")
        if viewer is not None:
            viewer.go_on()

    def _ipython_display_(self) -> None:
        """Show it as the result of a cell."""
        if self._execution_id is None:
            print(repr(self))
        else:
            self._shown(as_result=True)

    def _shown(self, *, as_result: bool) -> None:
        show: Any = jupyter_mlops.batch_monitor
        show(self, as_result=as_result)
