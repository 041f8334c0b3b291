"""The access log: one line a request, written a little later and many at a time.

A log sink can be slow or stuck; a call must not wait for it. Lines are kept for at most a fifth of a second.
"""

from __future__ import annotations

import logging
import threading
import time
from queue import SimpleQueue

from tornado.web import RequestHandler

log = logging.getLogger("jupyter_mlops.access")

FLUSH_SECONDS = 0.2
MOST_WAITING = 100_000
"""Lines that may wait for a stuck sink; further ones are counted and dropped."""


class AccessLog:
    """Writes lines from a thread of its own."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def request(self, handler: RequestHandler) -> None:
        """Note a finished request: no query, no header and no body, so that no secret gets there."""
        request = handler.request
        identity = getattr(handler, "identity", None)
        if self._lines.qsize() > MOST_WAITING:
            self._dropped += 1
            return
        self._lines.put(
            f"{handler.get_status()} {request.method} {request.path[:200]} user={identity.name if identity else '-'} "
            f"ms={1000 * request.request_time():.1f} correlation={getattr(handler, 'correlation', '-')}"
        )

    def close(self) -> None:
        """Write what waits."""
        self._lines.put(None)
        self._thread.join(timeout=2)

    def _write(self) -> None:
        ended = False
        while not ended:
            lines = [self._lines.get()]
            time.sleep(FLUSH_SECONDS)
            while not self._lines.empty():
                lines.append(self._lines.get())
            ended = None in lines
            # A path may hold line breaks or colours; in the log it is one plain line.
            shown = [line.encode("unicode_escape").decode() for line in lines if line is not None]
            if self._dropped:
                shown.append(f"{self._dropped} lines were dropped: the log could not keep up")
                self._dropped = 0
            if shown:
                log.info("%s", "\n  ".join(shown))
