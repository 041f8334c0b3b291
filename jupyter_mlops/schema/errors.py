"""The one error body of every endpoint: the union of Machine Learning Server's two shapes."""

from __future__ import annotations

from jupyter_mlops.schema.base import Wire


class ErrorBody(Wire, frozen=True):
    """What every refusal answers."""

    message: str
    code: int
    """The HTTP status."""
    exception_type: str
    """Name of a class in `jupyter_mlops.errors`."""
    fields: str = ""
    """JSON path of the fault, such as `$.hp`."""
    link: str = ""
