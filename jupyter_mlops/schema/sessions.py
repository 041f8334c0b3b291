"""Sessions: stateful kernels that a user drives over HTTP, in Machine Learning Server's shapes."""

from __future__ import annotations

from typing import Any

from jupyter_mlops.schema.base import Wire

PYTHON = "Python"
"""The one runtime that is always here."""


class CreateSessionRequest(Wire, frozen=True):
    """Body of `POST /sessions`; every key may be left out."""

    name: str | None = None
    """What to call it; a name is made up when there is none."""
    snapshot_id: str | None = None
    """A snapshot of the caller's to begin with."""
    runtime_type: str | None = None
    """`Python`, also when it is left out: Machine Learning Server then meant R."""


class CreateSessionResponse(Wire, frozen=True):
    """The answer: the new session's id."""

    session_id: str


class Session(Wire, frozen=True):
    """A session in `GET /sessions`; the keys after the fourth are ours."""

    id: str
    name: str
    owner: str
    runtime_type: str
    state: str
    """`idle`, `busy`, or `gone` when its kernel has ended."""
    created: str
    """ISO 8601 in UTC, microseconds, no zone."""
    last_used: str
    memory: int
    """Resident bytes of its kernel."""


class WorkspaceObject(Wire, frozen=True):
    """A named value, as JSON can say it."""

    name: str
    value: Any = None


class ExecuteRequest(Wire, frozen=True):
    """Body of `POST /sessions/{id}/execute`."""

    code: str
    input_parameters: tuple[WorkspaceObject, ...] | None = None
    """Set as variables before the code runs."""
    output_parameters: tuple[str, ...] | None = None
    """Variables whose values the answer holds."""


class ExecuteResponse(Wire, frozen=True):
    """The answer of an execution, also of one that raised."""

    success: bool
    error_message: str = ""
    output_parameters: tuple[WorkspaceObject, ...] = ()
    console_output: str = ""
    changed_files: tuple[str, ...] = ()


class ConsoleOutputResponse(Wire, frozen=True):
    """What the current execution has printed so far, or the last one printed."""

    console_output: str


class CreateSnapshotRequest(Wire, frozen=True):
    """Body of `POST /sessions/{id}/snapshot`."""

    name: str | None = None


class CreateSnapshotResponse(Wire, frozen=True):
    """The answer: the new snapshot's id."""

    snapshot_id: str


class SnapshotView(Wire, frozen=True):
    """A snapshot in `GET /snapshots`; the keys after the fifth are ours."""

    id: str
    name: str
    owner: str
    creation_time: str
    content_size: int
    """Bytes on disk."""
    objects: tuple[str, ...] = ()
    """Names that it holds."""
    files: tuple[str, ...] = ()
    """Paths of the files that it holds."""
