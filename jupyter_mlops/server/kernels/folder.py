"""A session's working directory, seen from outside: by names that cannot lead out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from jupyter_mlops.errors import InvalidRequest, NotFound

LONGEST_PART = 255


def listed(root: Path) -> list[str]:
    """Paths of the regular files below a directory, relative, with forward slashes, sorted; links are left out."""
    return sorted(_walk(root, ""))


def place(root: Path, name: str) -> Path:
    """Where a file of this name lies or may lie.

    Parameters
    ----------
    root:
        The working directory.
    name:
        A relative path with forward slashes.

    Raises
    ------
    InvalidRequest
        When the name could lead anywhere else.
    """
    parts = name.split("/")
    odd = any(part in {"", ".", ".."} or len(part.encode()) > LONGEST_PART for part in parts)
    if odd or "\\" in name or not name.isprintable():
        raise InvalidRequest(
            f"{name[:200]!r} is not a file name: use printable characters, and '/' only between folders",
            fields="$.fileName",
        )
    path = root.joinpath(*parts)
    # The session's code may have planted a link where a folder should be.
    if path.parent.resolve() != root.resolve().joinpath(*parts[:-1]):
        raise InvalidRequest(f"{name[:200]!r} leads out of the session's directory", fields="$.fileName")
    return path


def opened(root: Path, name: str) -> BinaryIO:
    """Open a regular file for reading, never through a link.

    Raises
    ------
    NotFound
        When there is none.
    """
    try:
        # A pipe or a device that the code planted must not block us either.
        descriptor = os.open(place(root, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        raise NotFound(f"the session has no file {name[:200]!r}") from None
    file = os.fdopen(descriptor, "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise NotFound(f"the session has no file {name[:200]!r}")
    return file


def remove(root: Path, name: str) -> None:
    """Delete a file.

    Raises
    ------
    NotFound
        When there is none.
    """
    path = place(root, name)
    if path.is_symlink() or not path.is_file():
        raise NotFound(f"the session has no file {name[:200]!r}")
    path.unlink()


def take(draft: Path, root: Path, name: str) -> None:
    """Move a file that has arrived to its name, over one that is there.

    Raises
    ------
    InvalidRequest
        When a folder has the name.
    """
    path = place(root, name)
    if path.is_dir() and not path.is_symlink():
        raise InvalidRequest(f"{name[:200]!r} is a folder of the session", fields="$.fileName")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.replace(path)


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield prefix + entry.name
