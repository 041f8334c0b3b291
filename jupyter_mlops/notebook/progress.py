"""A bar for work that takes longer than a moment, and what is said when it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from IPython.core.error import UsageError

PATIENCE = 1.0
"""Seconds before a bar appears."""


class Progress:
    """Told of progress, shows a bar when the work has taken a moment; as a context manager it goes at the end.

    Parameters
    ----------
    title:
        What is done, such as `Capturing`.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()
        self._bar: Any = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far it is.

        Parameters
        ----------
        what:
            What is done now.
        done, total:
            How much, of how much.
        """
        if self._bar is None:
            if time.monotonic() - self._started < PATIENCE:
                return
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, leave=False, unit_scale=True)
        if self._bar.total != total:
            self._bar.reset(total)
        self._bar.set_description(f"{self._title} {what}"[:60], refresh=False)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()


@contextmanager
def interruptible(told: str) -> Iterator[None]:
    """Answer Ctrl-C with one message in place of a traceback of ours.

    Parameters
    ----------
    told:
        What is left of the work.

    Raises
    ------
    UsageError
        When it is interrupted.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise UsageError(f"interrupted: {told}") from None
