"""Blobs on disk: bytes under their BLAKE3 digest, whole or not there at all.

An upload collects its blobs in a folder of its own, and `keep` moves them to their place with the file and
both folders synced, before any row refers to them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path
from threading import Lock

from blake3 import blake3

from jupyter_mlops.errors import Conflict, InvalidRequest
from jupyter_mlops.schema.snapshots import Blob, Manifest


class BlobStore:
    """The blobs of one data directory.

    Parameters
    ----------
    directory:
        The data directory.
    """

    def __init__(self, directory: Path) -> None:
        self._blobs = directory / "blobs"
        self._uploads = directory / "uploads"

    def open(self) -> None:
        """Make the folders, and forget uploads that a server before this one left."""
        shutil.rmtree(self._uploads, ignore_errors=True)
        for folder in (self._blobs, self._uploads):
            folder.mkdir(mode=0o700, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where a kept blob lies."""
        return self._blobs / digest[:2] / digest

    def begin(self, upload: str) -> Path:
        """Make the folder of an upload."""
        folder = self._uploads / upload
        folder.mkdir(mode=0o700)
        return folder

    def check(self, upload: str, manifest: Manifest) -> None:
        """Compare what a kernel wrote into an upload's folder with its digests.

        Raises
        ------
        Conflict
            Naming the first blob that is not what it is called.
        """
        for digest, size in manifest.blobs().items():
            path = self._uploads / upload / digest
            if path.is_symlink() or not path.is_file() or path.stat().st_size != size or _digest(path) != digest:
                raise Conflict(
                    f"the blob {digest} ({size} bytes) was not written as announced; take the snapshot again"
                )

    def receive(self, upload: str, blob: Blob, offset: int) -> BlobWriter:
        """Start writing one blob of an upload, or go on with it."""
        return BlobWriter(self._uploads / upload / blob.digest, blob, offset)

    def received(self, upload: str, blob: Blob) -> int:
        """How many bytes of a blob the upload has."""
        path = self._uploads / upload / blob.digest
        for there in (path, draft_of(path)):
            if there.is_file():
                return there.stat().st_size
        return 0

    def has(self, upload: str, digest: str) -> bool:
        """Whether the upload has the blob whole."""
        return (self._uploads / upload / digest).is_file()

    def forget(self, upload: str) -> None:
        """Remove an upload and what it brought."""
        shutil.rmtree(self._uploads / upload, ignore_errors=True)

    def keep(self, upload: str, manifest: Manifest) -> None:
        """Move an upload's blobs to their place, durably.

        Raises
        ------
        Conflict
            When a blob that the manifest names is in neither place.
        """
        folders: set[Path] = set()
        for digest, size in manifest.blobs().items():
            place = self.path(digest)
            if place.exists():
                continue
            source = self._uploads / upload / digest
            if not source.is_file():
                raise Conflict(f"the upload lacks the blob {digest} ({size} bytes); send it, then publish again")
            if not place.parent.exists():
                place.parent.mkdir(mode=0o700, exist_ok=True)
                folders.add(self._blobs)
            source.replace(place)
            folders.add(place.parent)
        for folder in folders:
            sync_folder(folder)

    def damaged(self, digest: str) -> bool:
        """Whether a kept blob is gone, or its bytes are no longer those of its digest."""
        path = self.path(digest)
        if not path.is_file():
            return True
        return _digest(path) != digest

    def all(self) -> set[str]:
        """Digests of every kept blob."""
        return {path.name for path in self._blobs.glob("??/*")}

    def remove(self, digests: set[str]) -> None:
        """Delete kept blobs."""
        for digest in digests:
            path = self.path(digest)
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the folder is gone already, or holds others
                path.parent.rmdir()


class BlobWriter:
    """Writes one blob while it arrives, in one piece or several; it has its name only when it is whole and right.

    Parameters
    ----------
    path:
        Its name when it is whole.
    blob:
        The digest and size it must have.
    offset:
        How many bytes of it have come before; what is there beyond that is forgotten.
    """

    def __init__(self, path: Path, blob: Blob, offset: int) -> None:
        self._path = path
        self._blob = blob
        self._draft = draft_of(path)
        self._file = os.fdopen(os.open(self._draft, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        self._file.truncate(offset)
        self._file.seek(offset)
        self._lock = Lock()  # a lost connection may close it while a piece is being written
        self.size = offset
        """Bytes that have come."""

    def write(self, data: bytes) -> None:
        """Take the next bytes; one that was closed takes nothing.

        Raises
        ------
        InvalidRequest
            When there are more than the blob has.
        """
        with self._lock:
            if self._file.closed:
                return
            if self.size + len(data) > self._blob.size:
                raise InvalidRequest(f"blob {self._blob.digest} has {self._blob.size} bytes; more were sent")
            self.size += len(data)
            self._file.write(data)

    def finish(self) -> bool:
        """Check the content, sync it and give it its name, if all of it has come; say whether it has.

        Raises
        ------
        InvalidRequest
            When the bytes are not those of the digest; they are forgotten.
        """
        if self.size < self._blob.size or self._file.closed:
            return False
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        found = _digest(self._draft)
        if found != self._blob.digest:
            self._draft.unlink()
            raise InvalidRequest(
                f"blob {self._blob.digest} of {self._blob.size} bytes was announced; bytes with digest {found} came"
            )
        self._draft.replace(self._path)
        return True

    def close(self) -> None:
        """Stop writing; what has come stays for the next piece."""
        with self._lock:
            self._file.close()


def draft_of(path: Path) -> Path:
    """Where a blob lies while it is not whole."""
    return path.with_name(f"{path.name}.part")


def _digest(path: Path) -> str:
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; Windows does this by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
