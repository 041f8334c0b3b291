"""What one operation of the HTTP interface takes, gives and refuses: the source of the documents and of the table.

Each verb of a handler declares its own; `openapi.py` and `swagger2.py` turn the declarations into documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_mlops.schema.access import PERMISSIONS, Action

AUTHENTICATION = "Authentication APIs"
SERVICES = "Services Management APIs"
CONSUMPTION = "Service Consumption APIs"
SESSIONS = "Session APIs"
SNAPSHOTS = "Snapshot APIs"
STATUS = "Status APIs"
CONFIGURATION = "Centralized Configuration APIs"
UPLOADS = "Upload APIs"
USERS = "User APIs"
DOCUMENTS = "Document APIs"
INFERENCE = "Open Inference Protocol APIs"

TAGS = {
    AUTHENTICATION: "Logging in: every other operation needs the access token that `POST /login` gives.",
    SERVICES: "Publishing, listing, changing and deleting services, and the pools of kernels behind them.",
    CONSUMPTION: "Calling services one by one or as a batch, and the documents that describe each of them.",
    SESSIONS: "Stateful kernels that a user drives: code, workspace objects and files.",
    SNAPSHOTS: "Saved sessions: objects and files. A snapshot is its owner's alone.",
    STATUS: "How the server is, for people and for monitoring.",
    CONFIGURATION: "The nodes that run code.",
    UPLOADS: "Sending, before a publish, what the service will hold.",
    USERS: "Who may log in, and with which role.",
    INFERENCE: "Realtime services as clients of KServe and Triton call them: Open Inference Protocol, version 2.",
    DOCUMENTS: "This description, in two formats, and the page that shows it.",
}
"""Groups of operations with their sentence; the first seven names are Machine Learning Server's."""

REASONS = {
    400: "Bad Request (the request does not fit; `fields` says where)",
    401: "Unauthorized (no valid credential)",
    403: "Forbidden (your role does not allow it, or this server is not addressed by that name)",
    404: "Not Found (there is no such thing, or it is not yours to see)",
    409: "Conflict (the name is taken, or the state does not allow it)",
    410: "Gone (it was here, and has ended)",
    411: "Length Required (say how long the body is)",
    413: "Content Too Large (the body is over this address's limit)",
    415: "Unsupported Media Type (the body is in a form that is not read here)",
    422: "Unprocessable Content (it did not load or answer its sample, or its key came before with something else)",
    429: "Too Many Requests (wait as long as Retry-After says)",
    502: "Bad Gateway (the kernel ended while it ran this)",
    503: "Service Unavailable (no room now; Retry-After says when to come again)",
    504: "Gateway Timeout (it ran past its deadline)",
    507: "Insufficient Storage (the server's disk is full)",
}
"""What a refusal means, by status; a document lists no other."""


@dataclass(frozen=True)
class Content:
    """A body that is not JSON."""

    media_type: str
    text: str = ""
    """What it holds."""


@dataclass(frozen=True)
class Part:
    """One field of a multipart form."""

    name: str
    text: str
    file: bool = False
    required: bool = False


@dataclass(frozen=True)
class Form:
    """A multipart form."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Argument:
    """A parameter outside path and body; `place` is `query` or `header`."""

    name: str
    kind: type[str | int | bool]
    text: str
    required: bool = False
    place: str = "query"
    least: int | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One verb of one address."""

    id: str
    """Name of the method in generated clients; Machine Learning Server's where it had one."""
    tag: str
    method: str
    path: str
    """Template, with a name in braces for each part that varies."""
    parameters: tuple[str, ...]
    """Those names, in order."""
    summary: str
    description: str
    action: Action | None
    """What the caller's role must allow; None when no credential is needed."""
    takes: Any
    """A wire type (JSON), a `Content`, a `Form`, or None."""
    body: str
    """Name of the body in generated clients."""
    gives: Mapping[int, Any]
    """Status to a wire type (JSON), a `Content`, or None when the body is empty."""
    refuses: tuple[int, ...]
    arguments: tuple[Argument, ...]
    shown: bool
    """Whether the documents list it; the table always does."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles whose users may call it, strongest first."""
        return tuple(str(role) for role, allowed in PERMISSIONS.items() if self.action in allowed)
