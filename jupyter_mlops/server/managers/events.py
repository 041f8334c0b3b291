"""Tells viewers what changed."""

from __future__ import annotations

from collections.abc import Callable

from jupyter_mlops.schema.services import Revision

Listener = Callable[[int, str, Revision], None]
"""Called with the sequence number, `published`, `updated` or `deleted`, and the revision concerned."""


class Events:
    """Numbers what happens and hands it to whoever listens; keeps nothing."""

    def __init__(self) -> None:
        self.sequence = 0
        self._listeners: set[Listener] = set()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` for every event from now on; what is returned stops that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def emit(self, action: str, revision: Revision) -> None:
        """Tell every listener."""
        self.sequence += 1
        for listener in list(self._listeners):
            listener(self.sequence, action, revision)

    def viewers(self) -> int:
        """How many listen."""
        return len(self._listeners)
