"""What a call prints, caught up to a limit."""

from __future__ import annotations

import io
import sys
from pathlib import Path


class Console(io.TextIOBase):
    """Stands in for standard output and error: a call's text is kept, other text goes where it went before.

    Parameters
    ----------
    limit:
        Characters kept of one call; the rest is counted and dropped.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._before = sys.stdout
        self._open = False
        self._parts: list[str] = []
        self._length = 0
        self._dropped = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Always UTF-8."""
        return "utf-8"

    def writable(self) -> bool:
        """Say yes: this is an output stream."""
        return True

    def isatty(self) -> bool:
        """Say no, so that nobody sends colours or asks questions."""
        return False

    def write(self, text: str) -> int:
        """Keep the text for the running call, or pass it on when none runs."""
        if not self._open:
            return self._before.write(text)
        room = self._limit - self._length
        if room >= len(text):
            self._keep(text)
        else:
            if room > 0:
                self._keep(text[:room])
            self._dropped += len(text) - max(room, 0)
        return len(text)

    def _keep(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def flush(self) -> None:
        """Flush what lies underneath; a call's text waits for its answer."""
        if not self._open:
            self._before.flush()

    def begin(self) -> None:
        """Start keeping."""
        self._open = True

    def end(self) -> str:
        """Stop keeping and return the text."""
        self._open = False
        if not self._parts:
            return ""
        text = "".join(self._parts)
        if self._dropped:
            text += f"\n[{self._dropped} more characters were dropped; one call keeps {self._limit}]\n"
        self._parts.clear()
        self._length = self._dropped = 0
        return text


class LiveConsole(Console):
    """A console whose text can be read from outside while the execution runs.

    Parameters
    ----------
    limit:
        Characters kept of one execution.
    path:
        The file that holds the text of the running execution, or of the last one.
    """

    def __init__(self, limit: int, path: str) -> None:
        super().__init__(limit)
        self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115  # open as long as the session

    def begin(self) -> None:
        """Start keeping, with an empty file."""
        self._file.seek(0)
        self._file.truncate()
        super().begin()

    def _keep(self, text: str) -> None:
        super()._keep(text)
        self._file.write(text.encode("utf-8", "replace"))
