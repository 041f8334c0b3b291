"""Publishing a serialized model as a realtime service, step by step as `azureml.deploy` did, or in one call."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
from urllib3.filepost import encode_multipart_formdata

from jupyter_mlops.client.lookup import find
from jupyter_mlops.client.publish import PUBLISH_SECONDS, Target, published
from jupyter_mlops.client.service import Service, make_service
from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.container import is_container, pack, unpack
from jupyter_mlops.errors import Conflict, InvalidRequest, MLOpsError
from jupyter_mlops.schema.services import DEFAULT_TIMEOUT, ServiceView
from jupyter_mlops.schema.types import check_name

_PIECE = 2**20
_SPOKEN = {"description": "description", "operationId": "alias"}
_MODEL = b"\x00the model\x00"


class RealtimeDefinition:
    """Collects what a realtime service is made of; `deploy()` publishes it.

    Parameters
    ----------
    name:
        The service's name.
    transport:
        The way to the server.
    """

    def __init__(self, name: str, transport: Transport) -> None:
        self._name = name
        self._transport = transport
        self._version: str | None = None
        self._description: str | None = None
        self._alias: str | None = None
        self._timeout: float | None = None
        self._model: bytes | None = None

    def version(self, version: str) -> Self:
        """Set the version; without one the next whole number is taken."""
        self._version = version
        return self

    def description(self, description: str) -> Self:
        """Set the description; without one the model's own is taken."""
        self._description = description
        return self

    def alias(self, alias: str) -> Self:
        """Name the consume function; otherwise it is `consume`."""
        self._alias = alias
        return self

    def timeout(self, seconds: float) -> Self:
        """Set the deadline of one call in seconds; without one it is 60."""
        self._timeout = seconds
        return self

    def serialized_model(self, model: bytes | str | os.PathLike[str]) -> Self:
        """Set the model.

        Parameters
        ----------
        model:
            What `jupyter_mlops.serialize_model` returns, or the bytes of an ONNX file; or the path of a file that
            holds either.

        Raises
        ------
        InvalidRequest
            When it is a model that was not serialized, or there is no such file.
        """
        self._model = read_model(model)
        return self

    def deploy(self) -> Service:
        """Publish, and return the service.

        Raises
        ------
        Conflict
            When the version exists with another model; the message says what differs.
        PublishRefused
            When the server refuses the model, with the reason.
        """
        return self._publish(Target(self._name, self._version))

    def redeploy(self, force: bool = False) -> Service:  # noqa: FBT001, FBT002, ARG002
        """Change a published version, the last one when none is set; what was not given stays as it is.

        Parameters
        ----------
        force:
            Accepted as `azureml.deploy` does, and not needed.
        """
        return self._publish(Target(self._name, self._version, update=True))

    def _publish(self, target: Target) -> Service:
        described = {"description": self._description, "alias": self._alias, "timeout": self._timeout}
        return publish_model(self._transport, target, self._model, **described)


def read_model(model: Any) -> bytes:
    """The bytes of a serialized model.

    Parameters
    ----------
    model:
        The bytes, or the path of a file that holds them.

    Raises
    ------
    InvalidRequest
        Saying how to make them of what was given.
    """
    if isinstance(model, bytes | bytearray | memoryview):
        return bytes(model)
    if isinstance(model, str | os.PathLike):
        path = Path(model).expanduser()
        if not path.is_file():
            raise InvalidRequest(f"there is no file {str(path)!r}", fields="$.model")
        return path.read_bytes()
    raise InvalidRequest(
        f"a serialized model is bytes, not a {type(model).__name__}: give serialize_model(model) "
        "(from jupyter_mlops import serialize_model)",
        fields="$.model",
    )


def publish_model(
    transport: Transport,
    target: Target,
    model: bytes | None,
    *,
    description: Any = None,
    alias: Any = None,
    timeout: Any = None,
) -> Service:
    """Publish a serialized model, or change a realtime service that exists.

    Parameters
    ----------
    transport:
        The way to the server.
    target:
        Name and version.
    model:
        The serialized model; may be left out of a change.
    description, alias, timeout:
        What it is for, the name of its consume function, and the deadline of one call in seconds; None for the usual,
        or for what it is.

    Raises
    ------
    Conflict
        When the version exists with other content.
    PublishRefused
        When the server refuses the model.
    """
    check_name(target.name, "name")
    if target.version is not None:
        check_name(target.version, "version")
    known = published(transport, target)
    fields = {"description": description, "operationId": alias, "timeout": timeout}
    given = {name: str(value) for name, value in fields.items() if value is not None}
    if target.update and known:
        version = _send(transport, "PATCH", target.name, known[-1].version, given, model)
        return make_service(find(transport, target.name, version)[-1], transport)
    if model is None:
        raise InvalidRequest(
            "a realtime service needs a model: .serialized_model(serialize_model(model))", fields="$.model"
        )
    if known:
        differing = _differences(known[-1], given, model)
        if not differing:
            return make_service(known[-1], transport, unchanged=True)
        if target.version is not None:
            raise _taken(known[-1], differing)
    version = _send(transport, "POST", target.name, target.version or _next_number(known), given, model)
    return make_service(find(transport, target.name, version)[-1], transport)


def _differences(view: ServiceView, given: dict[str, str], model: bytes) -> list[str]:
    """In what a publish differs from what is there."""
    if view.model is None:
        return ["it is a standard service"]
    now = {"description": view.description or "", "operationId": view.operation_id or ""}
    same = {"description": view.model.description, "operationId": ""} | given
    found = [_SPOKEN[name] for name in now if now[name] != same[name]]
    if given.get("timeout", str(DEFAULT_TIMEOUT)) not in {str(view.timeout), f"{view.timeout:g}"}:
        found.append("timeout")
    return found if _is_model_of(view, model) else ["model", *found]


def _is_model_of(view: ServiceView, model: bytes) -> bool:
    """Whether a service holds this very model, whenever it was serialized, and whatever it was compared on."""
    from blake3 import blake3

    assert view.model is not None, "a realtime service has one"
    content = model
    if is_container(model):
        try:
            header, offset = unpack(model)
            now = msgspec.structs.replace(header, created=view.model.created, parity=view.model.parity)
            content = pack(now, model[offset:])
        except MLOpsError:  # the server says what is wrong with it
            return False
    return bool(view.captured) and view.captured[0].fingerprint == blake3(content).hexdigest()


def _taken(view: ServiceView, differing: list[str]) -> Conflict:
    numbers = list(re.finditer(r"\d+", view.version))
    start, end = numbers[-1].span() if numbers else (len(view.version), len(view.version))
    after = f"{view.version[:start]}{'' if numbers else '-'}{int(view.version[start:end] or 1) + 1}{view.version[end:]}"
    return Conflict(
        f"service {view.name} version {view.version} exists and differs in: {', '.join(differing)}. Update it in place "
        f"(redeploy(); in a notebook: --update), or publish the next version, {after}",
        fields="$.version",
    )


def _next_number(known: list[ServiceView]) -> str:
    numbers = [int(view.version) for view in known if view.version.isascii() and view.version.isdecimal()]
    return str(max(numbers, default=0) + 1)


def _send(
    transport: Transport, method: str, name: str, version: str, fields: dict[str, str], model: bytes | None
) -> str:
    path = f"/realtime-services/{segment(name)}/{segment(version)}"
    chosen: str = transport.json(method, path, content=_Form(fields, model), usual=PUBLISH_SECONDS)
    return chosen


class _Form:
    """A multipart form that does not copy the model that it holds."""

    def __init__(self, fields: dict[str, str], model: bytes | None) -> None:
        parts: dict[str, Any] = dict(fields)
        if model is not None:
            parts["model"] = ("model", _MODEL, "application/octet-stream")
        written, self.content_type = encode_multipart_formdata(parts)
        self._head, _, self._tail = written.partition(_MODEL) if model is not None else (written, b"", b"")
        self._model = memoryview(model or b"")
        self.size = len(self._head) + len(self._model) + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """The form, in pieces."""
        yield self._head
        for start in range(0, len(self._model), _PIECE):
            yield bytes(self._model[start : start + _PIECE])
        if self._tail:
            yield self._tail
