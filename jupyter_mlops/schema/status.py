"""How the server is, as it tells people and monitoring."""

from __future__ import annotations

from typing import Any, Literal

from jupyter_mlops.schema.base import API_VERSION, Wire


class Health(Wire, frozen=True):
    """What anybody may know."""

    status: Literal["ok", "draining"]
    instance: str
    """New with each start."""
    version: str
    """Of the package."""
    api: str = API_VERSION
    """Of the HTTP interface."""


class StatusResponse(Wire, frozen=True):
    """The state of a part and of its own parts, in Machine Learning Server's shape."""

    status_code: Literal["pass", "warn", "fail"]
    details: dict[str, Any] = {}
    components: dict[str, StatusResponse] | None = None
