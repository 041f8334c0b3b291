"""The answer of one call, in Machine Learning Server's envelope."""

from __future__ import annotations

from typing import Any

from jupyter_mlops.schema.base import Wire


class WebServiceResult(Wire, frozen=True):
    """What `POST /api/{name}/{version}` answers."""

    success: bool
    """Whether the function returned."""
    error_message: str = ""
    """Its traceback, if it raised."""
    console_output: str = ""
    """What it printed."""
    changed_files: tuple[str, ...] = ()
    """Names of the files that it changed."""
    output_files: dict[str, str | None] = {}
    """Declared artifact to its base64 content, or null when the call did not write it."""
    output_parameters: dict[str, Any] = {}
