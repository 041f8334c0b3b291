"""Tells viewers what changed."""

from __future__ import annotations

from collections.abc import Callable

from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.managers.batch import Batch

Listener = Callable[[int, str, Revision], None]
"""Called with the sequence number, `published`, `updated` or `deleted`, and the revision concerned."""

BatchListener = Callable[[int, Batch], None]
"""Called with the sequence number and the batch that has changed; one that was deleted says so."""


class Events:
    """Numbers what happens and hands it to whoever listens; keeps nothing."""

    def __init__(self) -> None:
        self.sequence = 0
        self._listeners: set[Listener] = set()
        self._batch_listeners: set[BatchListener] = set()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` for every event from now on; what is returned stops that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def listen_to_batches(self, listener: BatchListener) -> Callable[[], None]:
        """Call `listener` for every batch that changes, at most ten times a second for each."""
        self._batch_listeners.add(listener)
        return lambda: self._batch_listeners.discard(listener)

    def emit_batch(self, batch: Batch) -> None:
        """Tell every listener of a batch that has changed."""
        self.sequence += 1
        for listener in list(self._batch_listeners):
            listener(self.sequence, batch)

    def emit(self, action: str, revision: Revision) -> None:
        """Tell every listener."""
        self.sequence += 1
        for listener in list(self._listeners):
            listener(self.sequence, action, revision)

    def viewers(self) -> int:
        """How many listen."""
        return len(self._listeners)
