"""Publishing realtime services: a model is judged in a throw-away process, and recorded like any other revision."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import secrets
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from jupyter_mlops.errors import Conflict, InvalidRequest, TooLarge, Unavailable
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.inference import ModelMetadata, metadata
from jupyter_mlops.schema.pools import PoolSettings
from jupyter_mlops.schema.realtime import INPUT, OUTPUT, Verdict
from jupyter_mlops.schema.services import SAMPLE_LIMIT, Definition, RealtimeModel, Revision, check_timeout
from jupyter_mlops.schema.snapshots import Blob, Captured, Manifest
from jupyter_mlops.schema.types import Parameter, ValueType, check_alias, check_name
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.catalog import Catalog
from jupyter_mlops.server.managers.events import Events
from jupyter_mlops.server.managers.executions import ExecutionManager
from jupyter_mlops.server.managers.models import no_model
from jupyter_mlops.server.managers.services import Record, ServiceManager
from jupyter_mlops.server.managers.uploads import SPACE_KEPT_FREE, UploadManager
from jupyter_mlops.server.realtime.checker import Checker
from jupyter_mlops.server.stores.services import ServiceStore

MODEL_LIMIT = 2**31 + 16 * 2**20
"""Bytes of a model: the most that ONNX itself can hold, and a container's header."""

_FRAMES = (
    (Parameter(name=INPUT, type=ValueType.DATA_FRAME),),
    (Parameter(name=OUTPUT, type=ValueType.DATA_FRAME),),
)


@dataclass(frozen=True)
class _Judged:
    """A model that passed its check and lies in its place."""

    manifest: Manifest
    verdict: Verdict


class RealtimeManager:
    """The rules of realtime services.

    Parameters
    ----------
    catalog, store, uploads, services, executions, events:
        What is published, and where it is kept, brought, proved and announced.
    checker:
        Judges models.
    directory:
        Where a model lies while it arrives.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: ServiceStore,
        uploads: UploadManager,
        services: ServiceManager,
        executions: ExecutionManager,
        events: Events,
        checker: Checker,
        directory: Path,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._uploads = uploads
        self._services = services
        self._executions = executions
        self._events = events
        self._checker = checker
        self._directory = directory

    def check(self, identity: Identity, name: str, version: str | None = None, *, new: bool) -> None:
        """Refuse what is wrong before a model is read.

        Parameters
        ----------
        identity:
            The publisher.
        name, version:
            What it is called.
        new:
            Whether the version is to be made; else it is to be there, and the publisher's.

        Raises
        ------
        Forbidden
            When the role does not allow it, or the version to change is somebody else's.
        Conflict
            When the version to make exists, or the one to change is a standard service.
        Unavailable
            When this server cannot score models, with what to install.
        """
        require(identity, Action.PUBLISH)
        check_name(name, "name")
        if version is not None:
            check_name(version, "version")
            self._check_version(identity, name, version, new=new)
        self._executions.check_realtime()

    async def close(self) -> None:
        """End what checks models."""
        await self._checker.close()

    def metadata(self, identity: Identity, name: str, version: str | None) -> ModelMetadata:
        """Describe a realtime service as a model of Open Inference Protocol.

        Raises
        ------
        NotFound
            When there is no such service, or it is a standard one.
        """
        require(identity, Action.LIST)
        revision = self._catalog.find(name, version)
        model = revision.definition.model
        if model is None:
            raise no_model(revision)
        versions = tuple(one.version for one in self._catalog.versions(name) if one.definition.model is not None)
        return metadata(name, versions, model.header)

    def spool(self, size: int) -> Path:
        """A new path for a model that arrives; whoever asked for it removes the file.

        Parameters
        ----------
        size:
            Bytes that are announced.

        Raises
        ------
        TooLarge, Unavailable
            When it is larger than a model can be, or than the disk has room for.
        """
        if size > MODEL_LIMIT:
            raise TooLarge(f"the body has {size} bytes; a model has at most {MODEL_LIMIT}", fields="$.model")
        space = shutil.disk_usage(self._directory)
        if space.free - size < space.total * SPACE_KEPT_FREE / 10:
            raise Unavailable(f"the model has {size} bytes and the server's disk only {space.free} free")
        return self._directory / "uploads" / f"model-{secrets.token_hex(8)}"

    async def publish(
        self, identity: Identity, name: str, version: str | None, fields: Mapping[str, str], model: Path | None
    ) -> Revision:
        """Publish a model.

        Parameters
        ----------
        identity:
            The publisher.
        name, version:
            What to call it; without a version a GUID is made.
        fields:
            `description`, `operationId` and `timeout`, if they came.
        model:
            The file `model`, if it came.

        Raises
        ------
        InvalidRequest
            When there is no model, or a field is odd.
        PublishRefused
            When the model is refused, with the reason. Then nothing is left of it.
        """
        require(identity, Action.PUBLISH)
        changes = _changes(fields)
        if model is None:
            raise InvalidRequest("a realtime service needs the file `model`", fields="$.model")
        chosen = version or str(uuid.uuid4())
        async with self._judged(identity, model) as judged, self._services.publishing[name]:
            assert judged is not None, "there is a model"
            self._check_version(identity, name, chosen, new=True)
            number = await self._store.last_number(name, chosen) + 1
            definition = msgspec.structs.replace(_definition(judged.verdict), **changes)
            revision = _revision(identity, name, chosen, number, definition, judged.manifest)
            settings = PoolSettings()
            revision = await self._put(
                _sampled(revision, judged.verdict), settings, lambda new: self._store.publish(new, settings)
            )
        self._events.emit("published", revision)
        return revision

    async def update(
        self, identity: Identity, name: str, version: str, fields: Mapping[str, str], model: Path | None
    ) -> Revision:
        """Make a new revision of a realtime service; what is left out stays as it is. No call fails meanwhile.

        Raises
        ------
        Conflict
            When the version is a standard service.
        PublishRefused
            When the model is refused; the revision in force stays.
        """
        require(identity, Action.PUBLISH)
        changes = _changes(fields)
        if not changes and model is None:
            raise InvalidRequest(
                "there is nothing to change: send `model`, `description`, `operationId` or `timeout`", fields="$"
            )
        async with self._judged(identity, model) as judged, self._services.publishing[name]:
            self._check_version(identity, name, version, new=False)
            old = self._catalog.find(name, version)
            model_of = old.definition.model if judged is None else _definition(judged.verdict).model
            definition = msgspec.structs.replace(old.definition, model=model_of, **changes)
            number = await self._store.last_number(name, old.version) + 1
            manifest = judged.manifest if judged else old.manifest
            revision = _revision(identity, name, old.version, number, definition, manifest)
            if judged is None:
                revision = msgspec.structs.replace(revision, proof=old.proof, sample=old.sample, answer=old.answer)
            else:
                revision = _sampled(revision, judged.verdict)
            settings = self._catalog.settings(old)
            revision = await self._put(revision, settings, lambda new: self._store.revise(new, old.id))
            self._executions.retire(old)
        self._events.emit("updated", revision)
        return revision

    async def _put(self, revision: Revision, settings: PoolSettings, record: Record) -> Revision:
        return await self._services.install(revision, settings, None, record)

    def _check_version(self, identity: Identity, name: str, version: str, *, new: bool) -> None:
        if not new:
            if self._catalog.mine(identity, name, version).definition.model is None:
                raise Conflict(
                    f"service {name} version {version} is a standard service; change it with PATCH /services, or "
                    "publish the model as another version",
                    fields="$.version",
                )
        elif self._catalog.get(name, version) is not None:
            raise Conflict(
                f"service {name} version {version} exists; change it with PATCH, or publish another version",
                fields="$.version",
            )

    @asynccontextmanager
    async def _judged(self, identity: Identity, model: Path | None) -> AsyncIterator[_Judged | None]:
        """Let a model be judged, and put it where it stays if a service holds it when this ends."""
        if model is None:
            yield None
            return
        verdict = await self._checker.check(model)
        assert verdict.header is not None, "what is not refused says what it is"
        async with self._uploads.folder(identity) as (folder, take):
            blob = await asyncio.to_thread(_settle, model, folder)
            kind = verdict.header.kind
            names = (Captured(name="model", kind="model", type=kind, size=blob.size, fingerprint=blob.digest),)
            manifest = Manifest(stream=blob, names=names)
            await take(manifest)
            yield _Judged(manifest, verdict)


def _settle(model: Path, folder: Path) -> Blob:
    """Put a file under its digest, on disk."""
    digest = blake3(max_threads=blake3.AUTO).update_mmap(model).hexdigest()
    place = folder / digest
    model.replace(place)
    with place.open("rb") as file:
        os.fsync(file.fileno())
        return Blob(digest=digest, size=os.fstat(file.fileno()).st_size)


def _changes(fields: Mapping[str, str]) -> dict[str, Any]:
    """What the form says of the definition.

    Raises
    ------
    InvalidRequest
        For a field that breaks a rule.
    """
    changes: dict[str, Any] = {}
    if "description" in fields:
        changes["description"] = fields["description"]
    if fields.get("operationId"):
        changes["operation_id"] = fields["operationId"]
        check_alias(fields["operationId"])
    if fields.get("timeout"):
        changes["timeout"] = check_timeout(fields["timeout"])
    return changes


def _definition(verdict: Verdict) -> Definition:
    assert verdict.header is not None, "what is not refused says what it is"
    return Definition(
        description=verdict.header.description or None,
        inputs=_FRAMES[0],
        outputs=_FRAMES[1],
        model=RealtimeModel(header=verdict.header, offset=verdict.offset, grouped=verdict.grouped),
    )


def _revision(
    identity: Identity, name: str, version: str, number: int, definition: Definition, manifest: Manifest | None
) -> Revision:
    return Revision(
        id=uuid.uuid4().hex,
        name=name,
        version=version,
        number=number,
        definition=definition,
        manifest=manifest,
        interpreter=sys.executable,
        published_by=identity.name,
        created=dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds"),
        proof="loaded",
    )


def _sampled(revision: Revision, verdict: Verdict) -> Revision:
    """The revision with the made-up rows that it answered."""
    if not verdict.sample:
        return revision
    sample, answer = (text if len(text) <= SAMPLE_LIMIT else "" for text in (verdict.sample, verdict.answer))
    return msgspec.structs.replace(revision, proof="answered", sample=sample, answer=answer)
