"""How the server is, as it tells people and monitoring."""

from __future__ import annotations

from typing import Any, Literal

from jupyter_mlops.schema.base import API_VERSION, Wire

Code = Literal["pass", "warn", "fail"]
"""How a part is, best first."""


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

    status_code: Code
    details: dict[str, Any] = {}
    components: dict[str, StatusResponse] | None = None


class NodeDetails(Wire, frozen=True):
    """What a node that runs code says of itself, in Machine Learning Server's words: a shell is a kernel."""

    python_max_pool_size: int
    """Most kernels at a time, of all services and sessions."""
    python_active_shell_count: int
    """Kernels that run a call, and sessions."""
    python_current_pool_size: int
    """Kernels that run or start."""
    python_can_open_shell: Literal["True", "False"]
    """Whether one more could be started now."""
    r_max_pool_size: int = 0
    r_active_shell_count: int = 0
    r_current_pool_size: int = 0
    r_can_open_shell: Literal["False"] = "False"
    api_version: str = "1.0"
    log_path: None = None
    """The server's own paths are nobody else's business."""
