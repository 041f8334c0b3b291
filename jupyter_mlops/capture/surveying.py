"""The survey: a look at every variable of a namespace, before anything is captured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jupyter_mlops.capture.limits import SURVEY_SECONDS, Progress
from jupyter_mlops.capture.surveys import Survey


def survey(
    namespace: dict[str, Any],
    function: str | None = None,
    *,
    init: str | None = None,
    keep: Iterable[str] = (),
    drop: Iterable[str] = (),
    progress: Progress | None = None,
    seconds: float = SURVEY_SECONDS,
) -> Survey:
    """Look at a namespace: what is in it, what a function reaches, what that weighs, and what cannot go along.

    Nothing is changed, and code of the objects' own runs only where pickling needs it, for a limited time.

    Parameters
    ----------
    namespace:
        The globals, as a notebook's `user_ns`.
    function:
        Name of the function to publish; None to look at a snapshot of everything.
    init:
        Name of a function that runs first and may make what the others read.
    keep:
        Names to choose too, secrets as well.
    drop:
        Names not to choose.
    progress:
        Told before each variable: its name, how many are done, and of how many.
    seconds:
        How long one variable may take; one that takes longer is listed with that as its problem.

    Raises
    ------
    CaptureError
        When there is no variable of a name that was given.
    """
    raise NotImplementedError
