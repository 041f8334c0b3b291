"""The `/events` WebSocket: a picture of what the viewer may see, then every change to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.events import BatchChanged, Picture, ServiceChanged
from jupyter_mlops.schema.operations import STATUS
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.handlers.base import Managers
from jupyter_mlops.server.handlers.operations import operation
from jupyter_mlops.server.managers.batch import Batch

BACKLOG_LIMIT = 2**20
"""Bytes that may wait for one viewer; who does not read is cut off and may come again for a new picture."""


class EventsSocket(WebSocketHandler):
    """Authenticated and origin-checked before the upgrade; the viewer sends nothing."""

    managers: Managers
    identity: Identity

    def initialize(self, managers: Managers) -> None:
        """Take what the application hands to every handler."""
        self.managers = managers
        self._stop: Callable[[], object] = lambda: None

    def prepare(self) -> None:
        """Refuse whoever has no valid token."""
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise HTTPError(403, "a bearer token is needed")
            self.identity = self.managers.access.identify(token.strip())
        except MLOpsError as error:
            raise HTTPError(403, error.message) from None

    @operation("events", STATUS, Action.LIST, gives={101: None}, shown=False)
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open a WebSocket that tells what the caller may see, then every change to it."""
        await super().get(*args, **kwargs)

    def open(self) -> None:
        """Send the picture, then listen."""
        events = self.managers.events
        services = tuple(self.managers.services.list(self.identity))
        self._send(Picture(seq=events.sequence, services=services))
        stops = events.listen(self._changed), events.listen_to_batches(self._got_further)
        self._stop = lambda: [stop() for stop in stops]

    def on_message(self, message: str | bytes) -> None:  # noqa: ARG002
        """Cut off a viewer that talks: nothing it could say has a meaning."""
        self.close(1003, "this socket only tells")

    def on_close(self) -> None:
        """Stop listening."""
        self._stop()

    def _changed(self, sequence: int, action: str, revision: Revision) -> None:
        if not self.managers.access.in_force(self.identity):
            self.close(1008, "this login was ended")
            return
        shown = None
        if action != "deleted":
            (shown,) = self.managers.services.list(self.identity, revision.name, revision.version)
        self._send(
            ServiceChanged(seq=sequence, action=action, name=revision.name, version=revision.version, service=shown)
        )

    def _got_further(self, sequence: int, batch: Batch) -> None:
        """Tell of a batch that the viewer may see; it tells of itself at most ten times a second."""
        if not self.managers.access.in_force(self.identity):
            self.close(1008, "this login was ended")
        elif self.managers.batches.visible(self.identity, batch):
            progress = None if batch.deleted else batch.progress()
            self._send(BatchChanged(seq=sequence, id=batch.id, batch=progress))

    def _send(self, message: Picture | ServiceChanged | BatchChanged) -> None:
        stream = self.ws_connection and self.ws_connection.stream
        if stream and len(stream._write_buffer) > BACKLOG_LIMIT:  # noqa: SLF001  # tornado shows it nowhere else
            self.close(1008, "too slow")
            return
        try:
            self.write_message(msgspec.json.encode(message).decode())
        except WebSocketClosedError:
            self._stop()
