"""A folder of blobs, each under its digest: what is there already is not written again."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from jupyter_mlops.capture.hashing import digest_of_file
from jupyter_mlops.capture.limits import Progress
from jupyter_mlops.capture.snapshot import Capture
from jupyter_mlops.environments import differences
from jupyter_mlops.errors import CaptureError
from jupyter_mlops.objects import read_objects
from jupyter_mlops.schema.snapshots import Manifest

_PIECE = 16 * 2**20


@dataclass(frozen=True)
class Saved:
    """What saving a capture has done."""

    path: Path
    """The manifest's file, in JSON."""
    written: int
    """Bytes that were written, the manifest's own included; none when all of it was there."""
    skipped: int
    """Bytes that were there already."""


def save(captured: Capture, folder: Path, name: str = "snapshot", *, progress: Progress | None = None) -> Saved:
    """Write a capture to a folder; it is on disk when this returns.

    Each blob appears complete or not at all. When it is interrupted, or an error ends it, no manifest is left and
    the blobs that this call wrote are removed.

    Parameters
    ----------
    captured:
        The capture; its objects must not have changed since.
    folder:
        Is made when it is missing. Captures that share content can share it.
    name:
        Of the manifest's file, without `.json`.
    progress:
        Told how many bytes are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = write_blobs(captured, folder, progress=progress)
    document = msgspec.json.encode(captured.manifest)
    path = folder / f"{name}.json"
    same = path.is_file() and path.read_bytes() == document
    try:
        if not same:
            for _ in _written(folder, path.name, memoryview(document)):
                pass
            _sync(folder)
    except BaseException:  # Ctrl-C too
        _remove(folder, made)
        raise
    new = sum(captured.blobs[key].nbytes for key in made)
    skipped = sum(content.nbytes for content in captured.blobs.values()) - new
    return Saved(path, new + (0 if same else len(document)), skipped)


def write_blobs(captured: Capture, folder: Path, *, progress: Progress | None = None) -> list[str]:
    """Write the blobs of a capture that a folder lacks, each under its digest, and return the digests of those.

    They are on disk when this returns; when it is interrupted, those that it wrote are removed.

    Parameters
    ----------
    captured, folder, progress:
        As of `save`; the folder is there.
    """
    wanted = {key: content for key, content in captured.blobs.items() if not _is_there(folder / key, content.nbytes)}
    total, done = sum(content.nbytes for content in wanted.values()), 0
    made: list[str] = []
    try:
        for key, content in wanted.items():
            for start in _written(folder, key, content):
                if progress is not None:
                    progress("writing", done + start, total)
            made.append(key)
            done += content.nbytes
        if made:
            _sync(folder)
    except BaseException:  # Ctrl-C too
        _remove(folder, made)
        raise
    return made


def _remove(folder: Path, keys: list[str]) -> None:
    for key in keys:
        (folder / key).unlink(missing_ok=True)


def restore(path: Path, namespace: dict[str, Any] | None = None, *, check: bool = False) -> dict[str, Any]:
    """Read the objects of a saved capture, by name in the order that they had; large arrays are mapped, not read.

    Parameters
    ----------
    path:
        The manifest's file, beside its blobs.
    namespace:
        What the functions shall have as their globals; those they read are put into it. `__main__`'s by default.
    check:
        Read every blob first and compare it with its digest.

    Raises
    ------
    CaptureError
        When the manifest is not one, a blob is missing or damaged, or another Python compiled its functions.
    """
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise CaptureError(f"{path} is not a snapshot's manifest: {error}") from error
    manifest.check()
    fatal = [row for row in differences(manifest.environment).fatal if row.what == "Python"]
    if fatal:
        needed, found = fatal[0].recorded, fatal[0].here
        raise CaptureError(
            f"the snapshot {path} needs Python {needed}, and this is {found}: it holds functions compiled by that one, "
            "which no other runs; load it there, or capture it again here"
        )
    for key, size in manifest.blobs().items():
        blob = path.parent / key
        if not _is_there(blob, size) or (check and digest_of_file(blob) != key):
            raise CaptureError(f"the snapshot {path} is damaged: {key} is missing, cut short or changed")
    buffers = tuple(str(path.parent / blob.digest) for blob in manifest.buffers)
    return read_objects(str(path.parent / manifest.stream.digest), buffers, namespace)


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _written(folder: Path, name: str, content: memoryview) -> Any:
    """Write a file under a name that nobody looks for, piece by piece, and give it its name at the end."""
    number, draft = tempfile.mkstemp(prefix=".draft-", dir=folder)
    try:
        with os.fdopen(number, "wb", buffering=0) as file:
            start = 0
            while start < content.nbytes:
                start += file.write(content[start : start + _PIECE])
                yield start
            os.fsync(file.fileno())
        Path(draft).replace(folder / name)
    except BaseException:  # Ctrl-C, and a caller that gives up
        Path(draft).unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    """Make the folder's new names durable, where the system can."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
