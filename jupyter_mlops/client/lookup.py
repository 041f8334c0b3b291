"""Finding services on a server."""

from __future__ import annotations

import msgspec

from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.schema.services import ServiceView


def find(transport: Transport, name: str | None = None, version: str | None = None) -> list[ServiceView]:
    """Look services up, oldest first.

    Parameters
    ----------
    transport:
        The way to the server.
    name:
        Only this service's versions.
    version:
        Only this version.
    """
    answer = transport.request("GET", services_path(name, version))
    return msgspec.json.decode(answer, type=list[ServiceView])


def services_path(name: str | None = None, version: str | None = None) -> str:
    """Path of all services, of one, or of one version."""
    return "/services" + "".join(f"/{segment(part)}" for part in (name, version) if part is not None)
