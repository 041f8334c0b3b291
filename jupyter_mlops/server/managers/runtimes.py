"""Which languages this server runs."""

from __future__ import annotations

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.sessions import PYTHON


def check_runtime(runtime: str | None) -> None:
    """Refuse a runtime that is not here; a missing one is Python, where Machine Learning Server meant R.

    Parameters
    ----------
    runtime:
        `runtimeType` of a request.

    Raises
    ------
    InvalidRequest
        Saying what is here instead.
    """
    if runtime is None or runtime.casefold() == PYTHON.casefold():
        return
    if runtime.casefold() == "r":
        raise InvalidRequest(
            "runtimeType 'R' needs an R kernel (install R and the package IRkernel, and register it with "
            "IRkernel::installspec()); this version of the server scores Python only: leave runtimeType out, or send "
            "'Python'",
            fields="$.runtimeType",
        )
    if runtime.casefold() == "realtime":
        raise InvalidRequest(
            "runtimeType 'Realtime' has no code to run: a model by itself is published by POST "
            "/realtime-services/NAME/VERSION",
            fields="$.runtimeType",
        )
    raise InvalidRequest(
        f"runtimeType {runtime[:80]!r} is not known; this server runs 'Python'", fields="$.runtimeType"
    )
