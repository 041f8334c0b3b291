"""Uploads: what a publish will hold, sent blob by blob, seen by nobody until it is published."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_mlops.errors import Conflict, NotFound, TooLarge, Unavailable
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.snapshots import Blob, Manifest, Upload, UploadState
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.stores.blobs import BlobStore, BlobWriter
from jupyter_mlops.server.stores.database import Database
from jupyter_mlops.server.stores.snapshots import References

LIFETIME_SECONDS = 3600.0
SIZE_LIMIT = 16 * 2**30
SPACE_KEPT_FREE = 0.1
PER_USER = 20


@dataclass
class _Open:
    manifest: Manifest
    owner: str
    touched: float
    writers: dict[str, BlobWriter] = field(default_factory=dict)


class UploadManager:
    """Receives uploads, and keeps every blob that is in use, promised or published.

    Parameters
    ----------
    directory:
        The data directory.
    database:
        Its thread does the file work that must not meet a half-done publish.
    references:
        Knows which blobs are held.
    blobs:
        Where the bytes lie.
    """

    def __init__(self, directory: Path, database: Database, references: References, blobs: BlobStore) -> None:
        self._directory = directory
        self._database = database
        self._references = references
        self._blobs = blobs
        self._open: dict[str, _Open] = {}
        self._leases: Counter[str] = Counter()

    async def start(self) -> None:
        """Remove what no service holds: uploads and publishes that a server before this one did not finish."""
        await self._database.outside(self._blobs.open)
        await self._remove_unused(await self._database.outside(self._blobs.all))

    async def begin(self, identity: Identity, manifest: Manifest) -> Upload:
        """Announce an upload; what the answer lists as missing is to be sent.

        Blobs that the caller's own services hold need not be sent again. Of other users' blobs nothing is
        said: knowing a digest is not having the bytes.

        Raises
        ------
        TooLarge
            When it is larger than 16 GiB.
        Unavailable
            When the disk would be left less than a tenth free, or too many uploads are open.
        """
        require(identity, Action.PUBLISH)
        manifest.check()
        self._forget_old()
        size = manifest.size()
        if size > SIZE_LIMIT:
            raise TooLarge(f"the snapshot has {size} bytes; at most {SIZE_LIMIT} are taken", fields="$.manifest")
        space = shutil.disk_usage(self._directory)
        if space.free - size < space.total * SPACE_KEPT_FREE / 10:
            raise Unavailable(f"the snapshot has {size} bytes and the server's disk only {space.free} free")
        if sum(1 for upload in self._open.values() if upload.owner == identity.name) >= PER_USER:
            raise Unavailable(f"{PER_USER} uploads of yours are open; finish or delete one", retry_after=60)
        owned = await self._references.owned(identity.name)
        upload = secrets.token_hex(16)
        await asyncio.to_thread(self._blobs.begin, upload)
        self._open[upload] = _Open(manifest, identity.name, time.monotonic())
        self._leases.update(manifest.blobs().keys())
        missing = (d for d in manifest.blobs() if d not in owned or not self._blobs.path(d).is_file())
        return Upload(id=upload, missing=tuple(missing))

    def receive(self, identity: Identity, upload: str, digest: str, offset: int = 0) -> tuple[BlobWriter, int]:
        """Start receiving one blob, or go on with it; its writer and the bytes that are missing.

        Parameters
        ----------
        identity:
            The caller.
        upload, digest:
            Which blob of which upload.
        offset:
            How many bytes of it the caller has sent before.

        Raises
        ------
        NotFound
            When the upload is not the caller's, or its manifest does not name the blob.
        Conflict
            When other bytes have come than the caller thinks, saying how many.
        """
        found = self._find(identity, upload)
        size = found.manifest.blobs().get(digest)
        if size is None:
            raise NotFound(f"the upload's manifest names no blob {digest[:80]!r}")
        found.touched = time.monotonic()
        blob = Blob(digest=digest, size=size)
        previous = found.writers.pop(digest, None)
        if previous is not None:  # its connection may be lost without our knowing
            previous.close()
        there = self._blobs.received(upload, blob)
        if offset and offset != there:
            raise Conflict(
                f"{there} bytes of blob {digest} have come, not {offset}; go on from there", fields="$.offset"
            )
        found.writers[digest] = self._blobs.receive(upload, blob, offset)
        return found.writers[digest], size - offset

    def state(self, identity: Identity, upload: str) -> UploadState:
        """How much of an upload has come.

        Raises
        ------
        NotFound
            When the upload is not the caller's.
        """
        blobs = self._find(identity, upload).manifest.blobs()
        received = {
            digest: self._blobs.received(upload, Blob(digest=digest, size=size)) for digest, size in blobs.items()
        }
        return UploadState(id=upload, received={digest: size for digest, size in received.items() if size})

    def manifest(self, identity: Identity, upload: str) -> Manifest:
        """What an upload announced."""
        found = self._find(identity, upload)
        found.touched = time.monotonic()
        return found.manifest

    async def keep(self, upload: str) -> None:
        """Move the upload's blobs to their place; they stay while the upload is open or a service holds them.

        Raises
        ------
        Conflict
            When a blob was not sent.
        """
        manifest = self._open[upload].manifest
        await self._database.outside(lambda: self._blobs.keep(upload, manifest))

    async def forget(self, identity: Identity, upload: str) -> None:
        """End an upload; what it brought goes unless a service holds it."""
        self._find(identity, upload)
        await self._close(upload)

    @contextlib.asynccontextmanager
    async def folder(self, identity: Identity) -> AsyncIterator[tuple[Path, Callable[[Manifest], Awaitable[None]]]]:
        """A folder that a kernel may write blobs into, and what then takes them.

        What was taken stays while this lasts, and afterwards when a snapshot or service holds it.

        Parameters
        ----------
        identity:
            For whom.

        Raises
        ------
        Conflict
            By `take`, when a blob is missing or is not what its digest says.
        """
        upload = secrets.token_hex(16)
        path = await asyncio.to_thread(self._blobs.begin, upload)

        async def take(manifest: Manifest) -> None:
            manifest.check()
            self._open[upload] = _Open(manifest, identity.name, time.monotonic())
            self._leases.update(manifest.blobs().keys())
            await asyncio.to_thread(self._blobs.check, upload, manifest)
            await self.keep(upload)

        try:
            yield path, take
        finally:
            await self._close(upload)

    @contextlib.contextmanager
    def leased(self, manifest: Manifest) -> Iterator[None]:
        """Let nothing remove the blobs of a manifest while this lasts."""
        digests = manifest.blobs().keys()
        self._leases.update(digests)
        try:
            yield
        finally:
            self._leases.subtract(digests)
            self._leases = +self._leases

    def path(self, blob: Blob) -> str:
        """Where a kept blob lies."""
        return str(self._blobs.path(blob.digest))

    async def verify(self, manifest: Manifest) -> None:
        """Read every blob of a manifest once and compare it with its digest.

        Raises
        ------
        Conflict
            Naming the first that is damaged: it is never loaded.
        """
        for digest in manifest.blobs():
            if await asyncio.to_thread(self._blobs.damaged, digest):
                raise Conflict(
                    f"the service is damaged: its blob {digest} is not what was published. "
                    "Restore blobs/ from a backup, or publish again"
                )

    async def release(self, digests: set[str]) -> None:
        """Remove those of the blobs that nothing holds any more."""
        await self._remove_unused(digests)

    def _find(self, identity: Identity, upload: str) -> _Open:
        require(identity, Action.PUBLISH)
        found = self._open.get(upload)
        if found is None or found.owner != identity.name:
            raise NotFound("there is no such upload; begin one with POST /uploads", fields="$.upload")
        return found

    def _forget_old(self) -> None:
        limit = time.monotonic() - LIFETIME_SECONDS
        for upload in [key for key, value in self._open.items() if value.touched < limit]:
            task = asyncio.get_running_loop().create_task(self._close(upload))
            task.add_done_callback(lambda done: done.result())

    async def _close(self, upload: str) -> None:
        found = self._open.pop(upload, None)
        if found is None:
            await asyncio.to_thread(self._blobs.forget, upload)
            return
        digests = set(found.manifest.blobs())
        self._leases.subtract(digests)
        self._leases = +self._leases
        await asyncio.to_thread(self._blobs.forget, upload)
        await self._remove_unused(digests)

    async def _remove_unused(self, digests: set[str]) -> None:
        held = await self._references.held()
        # Leases are read in the loop's own time, after the rows: what is published meanwhile is leased.
        unused = digests - held - set(self._leases)
        if unused:
            await self._database.outside(lambda: self._blobs.remove(unused))
