"""Send a snapshot and publish it: begin, the blobs that are missing, then the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from jupyter_mlops.capture import Capture
from jupyter_mlops.client.lookup import find, services_path
from jupyter_mlops.client.sending import forget, send
from jupyter_mlops.client.service import Service, make_service
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.errors import MLOpsError, NotFound
from jupyter_mlops.schema.services import PublishRequest, ServiceView
from jupyter_mlops.schema.types import check_name

PUBLISH_SECONDS = 600.0
"""How long a publish may take: the server imports, loads and tries the service before it answers."""


@dataclass(frozen=True)
class Target:
    """What to publish under which name, and how."""

    name: str
    version: str | None = None
    update: bool = False
    """Change the version when it exists; the one published last, when no version is named."""


def publish(transport: Transport, target: Target, request: PublishRequest, captured: Capture | None) -> Service:
    """Publish a service, or change one that exists.

    Parameters
    ----------
    transport:
        The way to the server.
    target:
        Name and version.
    request:
        The service's definition; the upload's id is filled in.
    captured:
        The snapshot that goes along.
    """
    check_name(target.name, "name")
    if target.version is not None:
        check_name(target.version, "version")
    upload = None
    try:
        if captured is not None:
            upload = send(transport, captured)
            request = msgspec.structs.replace(request, upload=upload)
        version, unchanged = _publish(transport, target, request)
    except (MLOpsError, KeyboardInterrupt):
        if upload is not None:
            forget(transport, upload)
        raise
    return make_service(find(transport, target.name, version)[-1], transport, unchanged=unchanged)


def request_for(*, inputs: Any = msgspec.UNSET, outputs: Any = msgspec.UNSET, **keys: Any) -> PublishRequest:
    """Make a publish request in which what is None or not given is left out."""
    given: Mapping[str, Any] = {key: value for key, value in keys.items() if value is not None}
    return PublishRequest(
        input_parameter_definitions=inputs,
        output_parameter_definitions=outputs,
        runtime_type="Python",
        **given,
    )


def _publish(transport: Transport, target: Target, request: PublishRequest) -> tuple[str, bool]:
    known = published(transport, target)
    if target.update and known:
        path, method = services_path(target.name, known[-1].version), "PATCH"
    else:
        path, method = services_path(target.name, target.version), "POST"
        request = msgspec.structs.replace(request, reuse=True)
        if target.version is None:
            request = msgspec.structs.replace(request, numbered=True)
    version = transport.json(method, path, request, usual=PUBLISH_SECONDS)
    unchanged = any(view.version == version for view in known) and not target.update
    return version, unchanged


def published(transport: Transport, target: Target) -> list[ServiceView]:
    """The versions that a target names, oldest first; none when there is no such service.

    Parameters
    ----------
    transport:
        The way to the server.
    target:
        Name and version.
    """
    try:
        return find(transport, target.name, target.version)
    except NotFound:
        return []
