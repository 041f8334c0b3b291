"""Snapshots that users keep: made from sessions, loaded into others, published from, downloaded."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from jupyter_mlops.errors import InvalidRequest, NotFound
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.sessions import SnapshotView
from jupyter_mlops.schema.snapshots import Manifest, Snapshot
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.archives import Archives
from jupyter_mlops.server.managers.uploads import UploadManager
from jupyter_mlops.server.stores.snapshots import SnapshotStore

LONGEST_NAME = 256


class SnapshotManager:
    """The rules of snapshots: private to who made them, immutable, and whole or not there.

    Parameters
    ----------
    store:
        Where they are kept.
    uploads:
        Where their blobs lie.
    archives:
        Writes them as files that can be sent.
    """

    def __init__(self, store: SnapshotStore, uploads: UploadManager, archives: Archives) -> None:
        self._store = store
        self._uploads = uploads
        self._archives = archives

    async def create(self, identity: Identity, name: str | None, capture: Callable[[Path], Awaitable[Manifest]]) -> str:
        """Keep what `capture` writes; the new snapshot's id.

        Parameters
        ----------
        identity:
            Whose it will be.
        name:
            What to call it; its id when there is none.
        capture:
            Writes blobs, each under its digest, into the folder that it is given, and returns their manifest.
        """
        require(identity, Action.RUN_CODE)
        async with self._uploads.folder(identity) as (folder, take):
            snapshot = _snapshot(identity, name, await capture(folder))
            await take(snapshot.manifest)
            await self._store.add(snapshot)
        return snapshot.id

    async def keep(self, identity: Identity, upload: str, name: str | None) -> str:
        """Keep what was uploaded; the new snapshot's id.

        Raises
        ------
        NotFound
            When the caller has no such upload.
        Conflict
            When a blob of it was not sent.
        """
        require(identity, Action.RUN_CODE)
        snapshot = _snapshot(identity, name, self._uploads.manifest(identity, upload))
        try:
            await self._uploads.keep(upload)
            await self._store.add(snapshot)
        finally:
            await self._uploads.forget(identity, upload)
        return snapshot.id

    async def list(self, identity: Identity) -> list[SnapshotView]:
        """The caller's snapshots, oldest first."""
        require(identity, Action.RUN_CODE)
        return [_view(snapshot) for snapshot in await self._store.of(identity.name)]

    async def find(self, identity: Identity, identifier: str) -> Snapshot:
        """A snapshot of the caller's, with all that it says of itself.

        Raises
        ------
        NotFound
            When the caller has no such snapshot.
        """
        async with self.held(identity, identifier) as snapshot:
            return snapshot

    @contextlib.asynccontextmanager
    async def held(self, identity: Identity, identifier: str) -> AsyncIterator[Snapshot]:
        """A snapshot of the caller's, whose blobs stay while this lasts even when it is deleted.

        Raises
        ------
        NotFound
            When the caller has no such snapshot.
        """
        require(identity, Action.RUN_CODE)
        snapshot = await self._store.find(identity.name, identifier)
        if snapshot is None:
            raise NotFound("you have no such snapshot; GET /snapshots lists yours", fields="$.snapshotId")
        with self._uploads.leased(snapshot.manifest):
            yield snapshot

    async def delete(self, identity: Identity, identifier: str) -> None:
        """Delete a snapshot; services that were published from it keep what they need.

        Raises
        ------
        NotFound
            When the caller has no such snapshot.
        """
        require(identity, Action.RUN_CODE)
        digests = await self._store.delete(identity.name, identifier)
        if digests is None:
            raise NotFound("you have no such snapshot; GET /snapshots lists yours", fields="$.id")
        await self._uploads.release(digests)

    async def archive(self, identity: Identity, identifier: str) -> Path:
        """Write a snapshot as a zip file, which is the caller's to remove: its path."""
        async with self.held(identity, identifier) as snapshot:
            return await self._archives.write("snapshot.json", snapshot, snapshot.manifest)


def _checked(name: str | None) -> str:
    if name and (len(name) > LONGEST_NAME or not name.isprintable()):
        raise InvalidRequest(f"a name has at most {LONGEST_NAME} printable characters", fields="$.name")
    return name or ""


def _snapshot(identity: Identity, name: str | None, manifest: Manifest) -> Snapshot:
    identifier = str(uuid.uuid4())
    return Snapshot(
        id=identifier,
        name=_checked(name) or identifier,
        owner=identity.name,
        created=dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds"),
        manifest=manifest,
    )


def _view(snapshot: Snapshot) -> SnapshotView:
    return SnapshotView(
        id=snapshot.id,
        name=snapshot.name,
        owner=snapshot.owner,
        creation_time=snapshot.created,
        content_size=snapshot.manifest.size(),
        objects=tuple(captured.name for captured in snapshot.manifest.names),
        files=tuple(file.path for file in snapshot.manifest.files),
    )
