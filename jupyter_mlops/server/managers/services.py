"""Publishing, changing, listing and deleting services."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import re
import sys
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from jupyter_mlops.errors import Conflict, InvalidRequest
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.pools import PoolSettings, read_settings
from jupyter_mlops.schema.services import LOCKED, SAMPLE_LIMIT, Definition, PublishRequest, Revision, ServiceView
from jupyter_mlops.schema.snapshots import Environment, Manifest
from jupyter_mlops.schema.types import check_name
from jupyter_mlops.server.kernels.environments import Environments
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.catalog import Catalog, view
from jupyter_mlops.server.managers.definitions import definition_of
from jupyter_mlops.server.managers.differences import differences
from jupyter_mlops.server.managers.events import Events
from jupyter_mlops.server.managers.executions import ExecutionManager
from jupyter_mlops.server.managers.pools import PoolManager
from jupyter_mlops.server.managers.snapshots import SnapshotManager
from jupyter_mlops.server.managers.trial import TOLERANCE, Trial
from jupyter_mlops.server.managers.uploads import UploadManager
from jupyter_mlops.server.stores.services import ServiceStore

T = TypeVar("T")
Record = Callable[[Revision], Awaitable[None]]


class ServiceManager:
    """The rules of publishing: all or nothing, and proven before it is visible.

    Parameters
    ----------
    store, catalog, uploads, snapshots, executions, events, pools:
        Where revisions are kept, looked up, brought from (two ways), scored, announced, and given their kernels.
    environments:
        What versions with an environment of their own are scored in.
    batches:
        Those of a version go with it.
    """

    def __init__(
        self,
        store: ServiceStore,
        catalog: Catalog,
        uploads: UploadManager,
        snapshots: SnapshotManager,
        executions: ExecutionManager,
        events: Events,
        pools: PoolManager,
        environments: Environments,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._uploads = uploads
        self._snapshots = snapshots
        self._executions = executions
        self._events = events
        self._pools = pools
        self._environments = environments
        # One publish of a name at a time, so that two cannot take the same version number.
        self.publishing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def open(self) -> None:
        """Read every published version."""
        for revision, settings in await self._store.current():
            self._catalog.put(revision)
            self._catalog.set_settings(revision, settings)
        await self._sweep_environments()

    def list(self, identity: Identity, name: str | None = None, version: str | None = None) -> list[ServiceView]:
        """The services that the caller may see, oldest first; none for an unknown name.

        Raises
        ------
        NotFound
            For an unknown version.
        """
        require(identity, Action.LIST)
        if name is None:
            found = self._catalog.all()
        elif version is None:
            found = self._catalog.versions(name)
        else:
            found = [self._catalog.find(name, version)]
        return [view(revision, identity, self._catalog.settings(revision)) for revision in found]

    def example(self, identity: Identity, name: str, version: str) -> Any:
        """Inputs that a version has answered, as a call sends them; None when none are kept, or it is private."""
        require(identity, Action.LIST)
        revision = self._catalog.find(name, version)
        kept = revision.sample and not revision.definition.private
        return msgspec.json.decode(revision.sample) if kept else None

    async def publish(
        self, identity: Identity, name: str, version: str | None, request: PublishRequest
    ) -> tuple[Revision, bool]:
        """Publish a version, or return the existing one when it is the same.

        Parameters
        ----------
        identity:
            The publisher.
        name, version:
            What to call it; without a version a GUID is made, or the next number when the request says so.
        request:
            What it does and holds.

        Returns
        -------
        tuple of Revision and bool
            The revision, and whether it is new.

        Raises
        ------
        Conflict
            When the version exists and differs, naming what differs.
        PublishRefused
            When it does not load or does not answer its sample. Then nothing is left of it.
        """
        require(identity, Action.PUBLISH)
        async with self._brought(identity, request) as manifest:
            check_name(name, "name")
            if version is not None:
                check_name(version, "version")
            definition = definition_of(request, Definition(), manifest)
            async with self.publishing[name]:
                existing = self._existing(name, version, numbered=request.numbered)
                if existing is not None:
                    changed = differences(existing, definition, manifest)
                    if not changed and (request.reuse or request.numbered):
                        await self._pools.set(existing, _settings(request, self._catalog.settings(existing)))
                        return existing, False
                    if not request.numbered:
                        raise _taken(existing, changed, self._next_version(existing))
                chosen = version or (self._next_number(name) if request.numbered else str(uuid.uuid4()))
                revision = self._revision(
                    identity,
                    name,
                    chosen,
                    await self._store.last_number(name, chosen) + 1,
                    definition,
                    manifest,
                    request,
                )
                settings = _settings(request, PoolSettings())
                self._pools.check(name, chosen, settings)
                revision = await self._prove(
                    revision, request, settings, lambda new: self._store.publish(new, settings)
                )
        self._events.emit("published", revision)
        return revision, True

    async def update(self, identity: Identity, name: str, version: str, request: PublishRequest) -> Revision:
        """Make a new revision of a version; what the request omits stays as it is.

        Without a sample it must answer the one that was given before, when that still fits its inputs.

        Raises
        ------
        Forbidden
            When the version is somebody else's.
        PublishRefused
            When the new revision does not load; the old one stays in force.
        """
        require(identity, Action.PUBLISH)
        async with self._brought(identity, request) as brought, self.publishing[name]:
            old = self._catalog.mine(identity, name, version)
            manifest = brought or old.manifest
            definition = definition_of(request, old.definition, manifest)
            number = await self._store.last_number(name, old.version) + 1
            revision = self._revision(identity, name, old.version, number, definition, manifest, request)
            if manifest is old.manifest and definition.environment == old.definition.environment:
                revision = msgspec.structs.replace(revision, interpreter=old.interpreter)
            settings = self._catalog.settings(old)
            if definition.inputs == old.definition.inputs:
                revision = msgspec.structs.replace(revision, sample=old.sample)
            revision = await self._prove(revision, request, settings, lambda new: self._store.revise(new, old.id))
            self._executions.retire(old)
            await self._pools.set(revision, _settings(request, settings))
        self._events.emit("updated", revision)
        return revision

    async def switch(self, identity: Identity, revision: Revision) -> Revision:
        """Let a version point at another of its revisions, proved as at its publish; the one then in force.

        Raises
        ------
        Forbidden
            When the version is somebody else's.
        PublishRefused
            When the revision does not load, or does not answer its sample; the one in force stays.
        """
        require(identity, Action.PUBLISH)
        async with self.publishing[revision.name]:
            current = self._catalog.mine(identity, revision.name, revision.version)
            if revision.id == current.id:
                return current
            settings, trial = self._catalog.settings(current), _trial(revision, None)
            await self.install(revision, settings, trial, lambda new: self._store.point(new, current.id))
            self._executions.retire(current)
        self._events.emit("updated", revision)
        return revision

    async def delete(self, identity: Identity, name: str, version: str) -> None:
        """Delete a version with its revisions, kernels and what only it held.

        Raises
        ------
        Forbidden
            When the version is somebody else's.
        """
        require(identity, Action.PUBLISH)
        async with self.publishing[name]:
            revision = self._catalog.mine(identity, name, version)
            held = await self._store.delete(name, revision.version)
            self._catalog.remove(revision)
            self._executions.retire(revision)
        await self._uploads.release(held)
        if revision.definition.environment:
            await self._sweep_environments()
        self._events.emit("deleted", revision)

    @contextlib.asynccontextmanager
    async def _brought(self, identity: Identity, request: PublishRequest) -> AsyncIterator[Manifest | None]:
        """What the request brings, whose blobs stay while this lasts; None for nothing.

        An empty snapshot is nothing too: old clients send one with every change, and mean to keep what there is.
        """
        if request.upload is not UNSET:
            manifest = self._uploads.manifest(identity, request.upload)
            try:
                yield manifest
            finally:
                await self._uploads.forget(identity, request.upload)
        elif request.snapshot_id:
            async with self._snapshots.held(identity, request.snapshot_id) as snapshot:
                yield None if snapshot.empty() else snapshot.manifest
        else:
            yield None

    async def _sweep_environments(self) -> None:
        """Remove the environments that no revision is scored in."""
        used = await self._store.interpreters()
        await asyncio.to_thread(self._environments.keep_only, used)

    def _existing(self, name: str, version: str | None, *, numbered: bool) -> Revision | None:
        if version is not None:
            return self._catalog.get(name, version)
        versions = self._catalog.versions(name)
        return versions[-1] if numbered and versions else None

    def _next_number(self, name: str) -> str:
        numbers = [
            int(r.version) for r in self._catalog.versions(name) if r.version.isdecimal() and r.version.isascii()
        ]
        return str(max(numbers, default=0) + 1)

    def _next_version(self, existing: Revision) -> str:
        """A free version after an existing one: 1.0 -> 1.1, v3 -> v4, beta -> beta-2."""
        numbers = list(re.finditer(r"\d+", existing.version))
        start, end = numbers[-1].span() if numbers else (len(existing.version), len(existing.version))
        before = existing.version[:start] + ("" if numbers else "-")
        for count in itertools.count(int(existing.version[start:end] or 1) + 1):
            version = f"{before}{count}{existing.version[end:]}"
            if self._catalog.get(existing.name, version) is None:
                break
        return version

    def _revision(
        self,
        identity: Identity,
        name: str,
        version: str,
        number: int,
        definition: Definition,
        manifest: Manifest | None,
        request: PublishRequest,
    ) -> Revision:
        return Revision(
            id=uuid.uuid4().hex,
            name=name,
            version=version,
            number=number,
            definition=definition,
            manifest=manifest,
            interpreter=_interpreter(identity, manifest),
            published_by=identity.name,
            created=dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds"),
            proof="loaded",
            provenance=None if request.provenance is UNSET else request.provenance,
        )

    async def _prove(
        self, revision: Revision, request: PublishRequest, settings: PoolSettings, record: Record
    ) -> Revision:
        """Put it on disk, load it in a fresh kernel, let it answer its sample; only then record and show it."""
        if request.upload is not UNSET:
            await self._uploads.keep(request.upload)
        if revision.definition.environment == LOCKED:
            recorded = revision.manifest.environment if revision.manifest else Environment()
            revision = msgspec.structs.replace(revision, interpreter=await self._environments.of(recorded))
        sample = revision.sample.encode() if request.sample is UNSET else bytes(request.sample)
        if sample:
            kept = sample.decode() if len(sample) <= SAMPLE_LIMIT else ""
            revision = msgspec.structs.replace(revision, proof="answered", sample=kept)
        elif revision.definition.batchable:
            raise InvalidRequest(
                "a batchable service needs a sample: it is proved that rows which run together do not change each "
                "other's answers (in a notebook: --sample)",
                fields="$.sample",
            )
        return await self.install(revision, settings, _trial(revision, request), record)

    async def install(
        self, revision: Revision, settings: PoolSettings, trial: Trial | None, record: Record
    ) -> Revision:
        """Load it in a fresh kernel, record it, and let calls go to it; the revision with what it answered."""
        pool, answers = await self._executions.prove(revision, settings, trial)
        differences = next((kernel.differences for kernel in pool.kernels()), ())
        revision = msgspec.structs.replace(revision, differences=differences)
        if answers and not revision.answer:
            kept = msgspec.json.encode(answers if len(answers) > 1 else answers[0]).decode()
            revision = msgspec.structs.replace(revision, answer=kept if len(kept) <= SAMPLE_LIMIT else "")
        try:
            await record(revision)
        except BaseException:
            await self._executions.discard(revision, pool)
            raise
        self._catalog.put(revision)
        self._catalog.set_settings(revision, settings)
        self._executions.adopt(revision, pool)
        return revision


def _trial(revision: Revision, request: PublishRequest | None) -> Trial | None:
    """What a revision is tried with: what the request brings, else the sample that it answered before."""
    sample = revision.sample.encode()
    if request is None or request.sample is UNSET:
        if request is not None and request.expected is not UNSET:
            raise InvalidRequest("`expected` is the answer to a `sample`, and there is none", fields="$.expected")
        return Trial(sample) if sample else None
    expected = b"" if request.expected is UNSET or request.force else bytes(request.expected)
    tolerance = TOLERANCE if request.tolerance is UNSET else request.tolerance
    return Trial(bytes(request.sample), expected, tolerance)


def _settings(request: PublishRequest, current: PoolSettings) -> PoolSettings:
    """Settings in force, with those changed that the request names."""
    if request.pool is UNSET:
        return current
    return read_settings(bytes(request.pool), current)


def _interpreter(identity: Identity, manifest: Manifest | None) -> str:
    """The publishing kernel's own Python when it is on this host under this account, else the server's."""
    wanted = manifest.environment.executable if manifest and identity.local else ""
    path = Path(wanted)
    return wanted if wanted and path.is_absolute() and path.is_file() else sys.executable


def _taken(existing: Revision, changed: list[str], number: str) -> Conflict:
    how = f"and differs in: {', '.join(changed)}" if changed else "with this very content"
    return Conflict(
        f"service {existing.name} version {existing.version} exists {how}. "
        f"Update it in place (PATCH; in a notebook: --update), or publish the next version, {number}",
        fields="$.version",
    )
