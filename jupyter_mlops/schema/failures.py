"""Calls that raised, as they are kept for whoever published the service."""

from __future__ import annotations

import msgspec

from jupyter_mlops.schema.base import Wire


class FailureView(Wire, frozen=True):
    """A kept failure in `GET /services/{n}/{v}/failures`."""

    id: str
    """The correlation id that the caller got."""
    when: str
    """ISO 8601 in UTC, microseconds, no zone."""
    revision: int
    """Number of the revision that was called."""
    error: str
    """The last line of what the caller was told."""


class Failure(Wire, frozen=True):
    """All that is kept of a call that raised."""

    id: str
    when: str
    revision: int
    revision_id: str
    caller: str
    inputs: msgspec.Raw
    """The body that the caller sent."""
    error_message: str
    console_output: str = ""

    def view(self) -> FailureView:
        """What a list shows of it."""
        lines = self.error_message.strip().splitlines() or [""]
        return FailureView(id=self.id, when=self.when, revision=self.revision, error=lines[-1])
