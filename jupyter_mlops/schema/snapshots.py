"""A snapshot: one pickle stream, content-addressed buffers, files, and the manifest that lists them."""

from __future__ import annotations

import re

import msgspec

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.base import MANIFEST_FORMAT, Wire

BUFFER_THRESHOLD = 64 * 1024
"""Bytes from which a buffer leaves the stream and is stored under its BLAKE3 digest."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blob(Wire, frozen=True):
    """Bytes named by their content: `digest` is BLAKE3 in lower-case hex, `size` counts bytes."""

    digest: str
    size: int


class Captured(Wire, frozen=True):
    """One name of the snapshot, for people: what it is, how large, and what identifies its content."""

    name: str
    kind: str
    """`function`, `class`, `module`, `data`."""
    type: str
    """The object's Python type, such as `LogisticRegression` or `DataFrame`."""
    size: int
    """Bytes it adds to the snapshot."""
    fingerprint: str
    """Equal for equal content, whichever kernel it was captured in."""
    buffers: tuple[int, ...] = ()
    """Indexes into the manifest's buffers that this name reaches."""
    shape: str = ""
    """Rows and columns, such as `1,000 x 12`, or a number of items; empty when it has none."""


class SnapshotFile(Wire, frozen=True):
    """A file of the working directory, by its relative path with forward slashes."""

    path: str
    blob: Blob


class Environment(Wire, frozen=True):
    """Where the snapshot was captured."""

    python: str = ""
    platform: str = ""
    executable: str = ""
    """The capturing kernel's interpreter, used when the server runs under the same account."""
    packages: dict[str, str] = {}
    """Distribution name to version, of what the captured code and objects import."""
    implementation: str = ""
    """Such as `CPython`."""
    machine: str = ""
    """Such as `x86_64`."""
    bytecode: str = ""
    """The only Python, such as `3.11`, that can load it, because it holds compiled functions; empty for any."""
    hashes: dict[str, str] = {}
    """Distribution name to SHA-256 of what the distribution installed."""


class Source(Wire, frozen=True):
    """Source text under the name that tracebacks show, so that they show its lines."""

    filename: str
    text: str


class Manifest(Wire, frozen=True):
    """All that a snapshot holds."""

    stream: Blob
    """A pickle (protocol 5) of one dict, name to object."""
    buffers: tuple[Blob, ...] = ()
    """Out-of-band buffers, in the order in which the stream asks for them."""
    files: tuple[SnapshotFile, ...] = ()
    names: tuple[Captured, ...] = ()
    sources: tuple[Source, ...] = ()
    environment: Environment = msgspec.field(default_factory=Environment)
    format: int = MANIFEST_FORMAT

    def blobs(self) -> dict[str, int]:
        """Digest to size of everything the manifest names, each once."""
        blobs = (self.stream, *self.buffers, *(file.blob for file in self.files))
        return {blob.digest: blob.size for blob in blobs}

    def size(self) -> int:
        """Bytes on disk, each blob counted once."""
        return sum(self.blobs().values())

    def check(self) -> None:
        """Refuse a manifest that names paths outside its directory, or digests that are none.

        Raises
        ------
        InvalidRequest
            With the JSON path of what is at fault.
        """
        if self.format != MANIFEST_FORMAT:
            raise InvalidRequest(
                f"snapshot format {self.format} is not known here; this server reads format {MANIFEST_FORMAT}",
                fields="$.manifest.format",
            )
        sizes: dict[str, int] = {}
        for blob in (self.stream, *self.buffers, *(file.blob for file in self.files)):
            if not _DIGEST.fullmatch(blob.digest):
                raise InvalidRequest(f"{blob.digest[:80]!r} is not a BLAKE3 digest", fields="$.manifest")
            if blob.size < 0 or sizes.setdefault(blob.digest, blob.size) != blob.size:
                raise InvalidRequest(f"blob {blob.digest} has no single size", fields="$.manifest")
        seen: set[str] = set()
        for index, file in enumerate(self.files):
            parts = file.path.split("/")
            odd = any(part in {"", ".", ".."} or len(part.encode()) > 255 for part in parts)  # noqa: PLR2004
            if odd or "\\" in file.path or not file.path.isprintable() or file.path in seen:
                raise InvalidRequest(
                    f"{file.path[:200]!r} is not a relative file path",
                    fields=f"$.manifest.files[{index}].path",
                )
            seen.add(file.path)


class Snapshot(Wire, frozen=True):
    """A snapshot that a user keeps: immutable, and seen by nobody else."""

    id: str
    name: str
    owner: str
    created: str
    """ISO 8601 in UTC, microseconds, no zone."""
    manifest: Manifest

    def empty(self) -> bool:
        """Whether it holds neither objects nor files."""
        return not self.manifest.names and not self.manifest.files


class BeginUpload(Wire, frozen=True):
    """Body of `POST /uploads`: what will be sent."""

    manifest: Manifest


class KeepSnapshotRequest(Wire, frozen=True):
    """Body of `POST /snapshots`: a finished upload becomes a snapshot of the caller's."""

    upload: str
    name: str | None = None


class Upload(Wire, frozen=True):
    """Answer of `POST /uploads`: where to send, and which blobs are wanted."""

    id: str
    missing: tuple[str, ...]


class UploadState(Wire, frozen=True):
    """Answer of `GET /uploads/{id}`, and of each piece: how much has come."""

    id: str
    received: dict[str, int]
    """Digest to bytes, of the blobs that have begun to come."""
