"""Kept failures: one JSON file each, in a folder for each revision; the oldest go first."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from jupyter_mlops.schema.failures import Failure

PER_ERROR = 20
"""Failures kept of one revision with the same error."""
BYTES = 256 * 2**20
"""Bytes kept in all."""


class FailureStore:
    """The kept failures of one data directory. Nothing here is durable on purpose: they help, they are no record.

    Parameters
    ----------
    directory:
        The data directory.
    """

    def __init__(self, directory: Path) -> None:
        self._root = directory / "failures"
        self._size = 0

    def open(self, known: set[str]) -> None:
        """Count what is there, and forget what belongs to revisions that are gone.

        Parameters
        ----------
        known:
            Ids of the revisions that there are.
        """
        self._root.mkdir(mode=0o700, exist_ok=True)
        for folder in self._root.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
        self._size = sum(path.stat().st_size for path in self._files())

    def keep(self, failure: Failure) -> None:
        """Keep a failure, in the place of older ones where there are too many."""
        folder = self._root / failure.revision_id / _kind(failure)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = msgspec.json.encode(failure)
        descriptor = os.open(folder / f"{failure.id}.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        self._size += len(content)
        alike = sorted(folder.iterdir(), key=_age)
        for path in alike[:-PER_ERROR]:
            self._remove(path)
        if self._size > BYTES:
            for path in sorted(self._files(), key=_age):
                self._remove(path)
                if self._size <= BYTES * 3 / 4:  # so that this walk over all of them is seldom
                    break

    def of(self, revisions: tuple[str, ...]) -> list[Failure]:
        """The failures of some revisions, newest first."""
        found = [
            msgspec.json.decode(path.read_bytes(), type=Failure)
            for revision in revisions
            for path in (self._root / revision).glob("*/*.json")
        ]
        return sorted(found, key=lambda failure: failure.when, reverse=True)

    def find(self, revisions: tuple[str, ...], identifier: str) -> Failure | None:
        """A failure of some revisions by its id."""
        return next((failure for failure in self.of(revisions) if failure.id == identifier), None)

    def forget(self, revisions: tuple[str, ...]) -> None:
        """Remove the failures of some revisions."""
        for revision in revisions:
            for path in (self._root / revision).glob("*/*.json"):
                self._remove(path)
            shutil.rmtree(self._root / revision, ignore_errors=True)

    def _files(self) -> Iterator[Path]:
        return self._root.glob("*/*/*.json")

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._size -= path.stat().st_size
            path.unlink()


def _kind(failure: Failure) -> str:
    """What makes two failures the same error: the place and the type, not the values in the message."""
    lines = failure.error_message.strip().splitlines() or [""]
    places = [line.strip() for line in lines if line.lstrip().startswith("File ")]
    text = "\n".join([*places[-1:], lines[-1].partition(":")[0]])
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
