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

    def receive(self, upload: str, blob: Blob) -> BlobWriter:
        """Start writing one blob of an upload."""
        return BlobWriter(self._uploads / upload / blob.digest, blob)

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
    """Writes one blob while it arrives; it has its name only when it is whole and right.

    Parameters
    ----------
    path:
        Its name when it is whole.
    blob:
        The digest and size it must have.
    """

    def __init__(self, path: Path, blob: Blob) -> None:
        self._path = path
        self._blob = blob
        self._draft = path.with_name(f"{path.name}.part-{os.urandom(4).hex()}")
        self._file = os.fdopen(os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._hash = blake3()
        self._size = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises
        ------
        InvalidRequest
            When there are more than the blob has.
        """
        self._size += len(data)
        if self._size > self._blob.size:
            raise InvalidRequest(f"blob {self._blob.digest} has {self._blob.size} bytes; more were sent")
        self._hash.update(data)
        self._file.write(data)

    def finish(self) -> None:
        """Check the content, sync it and give it its name.

        Raises
        ------
        InvalidRequest
            When the bytes are not those of the digest.
        """
        found = self._hash.hexdigest()
        if self._size != self._blob.size or found != self._blob.digest:
            raise InvalidRequest(
                f"blob {self._blob.digest} of {self._blob.size} bytes was announced; "
                f"{self._size} bytes with digest {found} came"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._draft.replace(self._path)

    def abandon(self) -> None:
        """Remove what was written, if it is not whole."""
        self._file.close()
        self._draft.unlink(missing_ok=True)


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
