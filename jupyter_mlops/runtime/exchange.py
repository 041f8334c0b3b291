"""What goes in and out of a session's kernel as files: pickled objects, and whole snapshots."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from jupyter_mlops.errors import CaptureError, Conflict, InvalidRequest
from jupyter_mlops.objects import read_objects
from jupyter_mlops.runtime.load import explain
from jupyter_mlops.schema.channel import Restore
from jupyter_mlops.schema.snapshots import Blob, Manifest, SnapshotFile

_CHUNK = 2**20


def load_dump(path: str) -> Any:
    """Load an object that a client pickled with dill.

    Parameters
    ----------
    path:
        The file.

    Raises
    ------
    InvalidRequest
        Saying what it needs, or why it does not load.
    """
    with Path(path).open("rb") as file:
        try:
            return _pickler().load(file)
        # An object's own code runs while it loads: any exception of it is the answer.
        except Exception as error:
            raise InvalidRequest(explain(error, "the object", "send it again")) from error


def dump(name: str, value: Any, path: str) -> None:
    """Pickle an object with dill into a new file.

    Parameters
    ----------
    name:
        Its variable, for the message.
    value:
        The object.
    path:
        The file.

    Raises
    ------
    Conflict
        When it cannot be pickled.
    """
    with Path(path).open("xb") as file:
        try:
            _pickler().dump(value, file)
        except Exception as error:  # the object's own code, as above
            kind = type(value).__name__
            raise Conflict(f"{name}: {kind} objects cannot be pickled ({type(error).__name__}: {error})") from error


def capture_into(folder: Path, namespace: dict[str, Any], names: Iterable[str]) -> Manifest:
    """Write a snapshot of the variables and of the working directory.

    Parameters
    ----------
    folder:
        Takes each blob under its digest, on disk when this returns.
    namespace:
        The session's variables.
    names:
        Which of them.

    Raises
    ------
    Conflict
        Naming the variable that cannot go along.
    """
    room = _capture_room()
    try:
        # What looks like a secret goes along: the snapshot stays on the server that has the session.
        captured = room.capture(namespace, names, secrets=True)
    except CaptureError as error:
        raise Conflict(f"{error.message}. Delete it from the session first, or keep it out of a variable") from error
    import_module("jupyter_mlops.capture.store").write_blobs(captured, folder)
    files = tuple(SnapshotFile(path=path.as_posix(), blob=_copy(path, folder)) for path in sorted(_files(Path())))
    manifest: Manifest = msgspec.structs.replace(captured.manifest, files=files)
    return manifest


def restore(snapshot: Restore) -> dict[str, Any]:
    """Put a snapshot's files into the working directory, and load its objects.

    Parameters
    ----------
    snapshot:
        Paths of its stream, buffers and files.

    Raises
    ------
    Conflict
        When an object does not load.
    """
    for name, origin in snapshot.files:
        place = Path(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)  # a link that was there is replaced, never followed
        shutil.copyfile(origin, place)
    try:
        return read_objects(snapshot.stream, snapshot.buffers)
    except Exception as error:  # the objects' own code, as above
        raise Conflict(explain(error, "the snapshot", "load it again")) from error


def _pickler() -> Any:
    try:
        return import_module("dill")
    except ModuleNotFoundError:  # plain pickles need no more
        return pickle


def _capture_room() -> Any:
    try:
        return import_module("jupyter_mlops.capture")
    except ModuleNotFoundError as error:
        raise Conflict(explain(error, "a snapshot of this session", "ask again")) from error


def _files(folder: Path) -> Iterable[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _files(entry)
        elif entry.is_file():
            yield entry


def _copy(path: Path, folder: Path) -> Blob:
    """Copy a file under its digest, a piece at a time."""
    draft = folder / "draft"
    with path.open("rb") as source, draft.open("wb") as target:
        shutil.copyfileobj(source, target, _CHUNK)
        target.flush()
        os.fsync(target.fileno())
    digest = import_module("jupyter_mlops.capture.hashing").digest_of_file(draft)
    size = draft.stat().st_size
    draft.replace(folder / digest)
    return Blob(digest=digest, size=size)
