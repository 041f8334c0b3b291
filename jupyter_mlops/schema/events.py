"""The messages of the `/events` WebSocket: a picture first, then what changed, numbered."""

from __future__ import annotations

from jupyter_mlops.schema.base import EVENTS_FORMAT, Wire
from jupyter_mlops.schema.batches import BatchProgress
from jupyter_mlops.schema.services import ServiceView


class Picture(Wire, frozen=True, tag="snapshot", tag_field="type"):
    """The first message: everything the viewer may see, as of `seq`."""

    seq: int
    services: tuple[ServiceView, ...]
    format: int = EVENTS_FORMAT


class ServiceChanged(Wire, frozen=True, tag="service", tag_field="type"):
    """A version was published, updated or deleted; `service` is null when it was deleted."""

    seq: int
    action: str
    """`published`, `updated` or `deleted`."""
    name: str
    version: str
    service: ServiceView | None = None


class BatchChanged(Wire, frozen=True, tag="batch", tag_field="type"):
    """A batch has got further; `batch` is null when it was deleted."""

    seq: int
    id: str
    batch: BatchProgress | None = None
