"""What is remembered of a pool's calls: counts, and the times of the last thousand."""

from __future__ import annotations

from collections import deque

REMEMBERED = 1000


class CallRecord:
    """Counts calls and keeps the last durations."""

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, seconds: float, *, error: bool) -> None:
        """Count one call that took `seconds`."""
        self.calls += 1
        self.errors += error
        self._seconds.append(seconds)

    def quantiles(self, *shares: float) -> list[float | None]:
        """Durations in seconds below which these shares of the last calls lie; None before the first call."""
        ordered = sorted(self._seconds)
        if not ordered:
            return [None] * len(shares)
        return [ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in shares]
