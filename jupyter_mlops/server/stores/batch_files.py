"""The files of batches: inputs, results with their artifacts; synced before anything refers to them."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from jupyter_mlops.chunks import Chunk
from jupyter_mlops.errors import DiskFull
from jupyter_mlops.recording import Kind, frame, start
from jupyter_mlops.server.stores.blobs import sync_folder
from jupyter_mlops.server.stores.crash import crashpoint

PROBE_BYTES = 2**20
"""What a disk must have room for before a batch that waits for space goes on."""

_NEW = ".new"
_INPUTS = "inputs"
_TOLD = "told"


class BatchFiles:
    """The folder of all batches: one folder for each, under its id.

    Parameters
    ----------
    directory:
        It is this object's own.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self, known: set[str]) -> None:
        """Make the folder, and remove what belongs to no batch: submissions that were not finished, deleted batches."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        for path in self.directory.iterdir():
            if path.name not in known:
                _remove(path)

    def incoming(self) -> Path:
        """A new path for a body while it arrives."""
        return self.directory / f"{secrets.token_hex(16)}{_NEW}"

    def inputs(self, batch: str) -> Path:
        """The file of a batch's inputs."""
        return self.directory / batch / _INPUTS

    def results(self, batch: str, number: int) -> Path:
        """One of the files of a batch's results."""
        return self.directory / batch / f"results-{number}"

    def numbers(self, batch: str) -> list[int]:
        """The numbers of the files of a batch's results."""
        names = (path.name for path in (self.directory / batch).glob("results-*"))
        return sorted(int(name.removeprefix("results-")) for name in names)

    def cut(self, batch: str, number: int, end: int) -> None:
        """Forget what a file of results holds beyond what is recorded of it."""
        os.truncate(self.results(batch, number), end)

    def write(self, batch: str, packed: Iterable[tuple[int, bytes]]) -> list[Chunk]:
        """Make the folder of a batch with its inputs, durably: it is there whole or not at all.

        Parameters
        ----------
        batch:
            Its id.
        packed:
            For each chunk the number of its rows, and these as `chunks.pack_columns`.

        Raises
        ------
        DiskFull
            When there is no room; then nothing is left.
        """
        draft = self.directory / f"{batch}{_NEW}"
        chunks: list[Chunk] = []
        first = offset = 0
        try:
            with room():
                draft.mkdir(mode=0o700)
                with (draft / _INPUTS).open("wb") as file:
                    for count, data in packed:
                        file.write(data)
                        chunks.append(Chunk(first, count, offset, len(data)))
                        first, offset = first + count, offset + len(data)
                    file.flush()
                    sync(file.fileno(), "the inputs")
                sync_folder(draft)
                crashpoint("before the rename of a new batch")
                draft.rename(self.directory / batch)
                crashpoint("after the rename of a new batch")
                sync_folder(self.directory)
        except BaseException:
            _remove(draft)
            _remove(self.directory / batch)
            raise
        return chunks

    def sync(self, path: Path, *, new: bool) -> None:
        """Make what a file of results holds durable, and, of a new one, its name.

        Raises
        ------
        DiskFull
            When there is no room for it.
        """
        with room():
            descriptor = os.open(path, os.O_RDWR)
            try:
                sync(descriptor, "results")
            finally:
                os.close(descriptor)
            if new:
                sync_folder(path.parent)

    def fail(self, path: Path, offset: int, index: int, body: bytes) -> None:
        """Write the result of a row that no kernel could answer.

        Parameters
        ----------
        path, offset:
            File of results, and where in it.
        index:
            The row.
        body:
            JSON of its `WebServiceResult`.

        Raises
        ------
        DiskFull
            When there is no room.
        """
        with room():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.seek(offset)
                file.write(start(index) + frame(Kind.FAILED, 0.0, body))
                file.truncate()

    def has_room(self) -> bool:
        """Whether a little can be written again."""
        path = self.incoming()
        try:
            with path.open("wb") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            return False
        finally:
            path.unlink(missing_ok=True)
        return True

    def told(self, batch: str) -> str:
        """When the end was that the webhook of a batch was told of; empty when it was of none."""
        path = self.directory / batch / _TOLD
        return path.read_text() if path.exists() else ""

    def tell(self, batch: str, ended: str) -> None:
        """Note which end the webhook of a batch was told of; what the system loses of it is told twice."""
        with contextlib.suppress(OSError):  # the batch was deleted, or the disk is full
            (self.directory / batch / _TOLD).write_text(ended)

    def size(self, batch: str) -> int:
        """Bytes of all files of a batch."""
        with contextlib.suppress(FileNotFoundError):
            return sum(path.stat().st_size for path in (self.directory / batch).iterdir())
        return 0

    def remove(self, batch: str) -> None:
        """Remove the files of a batch; whoever has one open may read it to its end."""
        crashpoint("before the removal of a batch's files")
        _remove(self.directory / batch)


@contextlib.contextmanager
def room() -> Iterator[None]:
    """Say of a disk without room that it is full.

    Raises
    ------
    DiskFull
        For what the system says of it.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}:
            raise
        raise DiskFull from error


def sync(descriptor: int, what: str) -> None:
    """Have an open file on disk."""
    crashpoint(f"before the sync of {what}")
    os.fsync(descriptor)
    crashpoint(f"after the sync of {what}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
