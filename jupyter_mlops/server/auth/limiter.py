"""Slows down whoever guesses passwords."""

from __future__ import annotations

import time
from collections import OrderedDict

from jupyter_mlops.errors import TooManyRequests

FREE_ATTEMPTS = 10
WINDOW_SECONDS = 300.0
_REMEMBERED = 10_000


class AttemptLimiter:
    """Counts failures per user and address, so that a guesser elsewhere does not lock the user out."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def check(self, user: str, address: str) -> None:
        """Refuse an attempt after too many failures.

        Raises
        ------
        TooManyRequests
            With the seconds until the next attempt is heard.
        """
        for key in ((user, address), ("", address)):
            count, until = self._failures.get(key, (0, 0.0))
            allowed = FREE_ATTEMPTS if key[0] else FREE_ATTEMPTS * 10
            if count >= allowed and time.monotonic() < until:
                raise TooManyRequests(
                    "too many failed attempts to log in; wait and try again",
                    retry_after=until - time.monotonic(),
                )

    def failed(self, user: str, address: str) -> None:
        """Count a failure."""
        now = time.monotonic()
        for key in ((user, address), ("", address)):
            count, until = self._failures.pop(key, (0, 0.0))
            self._failures[key] = (count + 1 if now < until else 1, now + WINDOW_SECONDS)
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, user: str, address: str) -> None:
        """Forget the failures of this user from this address."""
        self._failures.pop((user, address), None)
