"""Watches a batch in a thread of its own, through whatever becomes of the server, until the batch has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from jupyter_mlops.client.batch_rows import BatchRows
from jupyter_mlops.errors import Forbidden, Gone, MLOpsError, NotAuthenticated, NotFound
from jupyter_mlops.schema.batches import ENDED, BatchProgress

PAUSE = 0.4
"""Seconds between two questions: what changes faster cannot be read."""
WAIT = 20
"""Seconds that the server may hold back an answer while nothing is new."""
LONGEST_PAUSE = 5.0

_FINAL = (NotFound, Gone, NotAuthenticated, Forbidden)

Heard = Callable[[BatchProgress | None, str], None]
"""Is told how far the batch is, None when that is not known, and what else is to be said."""


class Watch:
    """Asks how far a batch is, and tells.

    The thread is a daemon: whoever ends the kernel does not wait for it.

    Parameters
    ----------
    rows:
        What the server has of the batch.
    heard:
        Called in the thread with every news.
    """

    def __init__(self, rows: BatchRows, heard: Heard) -> None:
        self._rows = rows
        self._heard = heard
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False

    @property
    def alive(self) -> bool:
        """Whether it is watching."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Watch from now on; one that watches already looks once more before it ends."""
        with self._lock:
            self._again = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="jupyter-mlops-batch", daemon=True)
                self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait until it has ended, at most so long."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _work(self) -> None:
        sequence, note, lost = 0, "", 0.0
        while True:
            with self._lock:
                self._again = False
            try:
                seen = self._rows.news(sequence, WAIT if sequence else 0)
            except _FINAL as error:
                self._heard(None, f"Not watched any more: {error}")
                seen = None
            except MLOpsError as error:
                lost = lost or time.monotonic()
                away = time.monotonic() - lost
                self._heard(None, f"Connection lost, trying again: {error}")
                sequence = 0  # a server that was started again counts anew
                time.sleep(min(max(PAUSE, away / 4), LONGEST_PAUSE))
                continue
            if seen is not None:
                if lost:
                    note = f"Connected again at {time.strftime('%H:%M:%S')}, after {time.monotonic() - lost:.0f} s."
                    lost = 0.0
                self._heard(seen, note)
                sequence = seen.sequence
            if (seen is None or seen.state in ENDED) and self._over():
                return
            time.sleep(PAUSE)

    def _over(self) -> bool:
        """Let go of the thread, unless somebody wanted another look meanwhile."""
        with self._lock:
            if not self._again:
                self._thread = None
            return not self._again
