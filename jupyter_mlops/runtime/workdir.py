"""The kernel's working directory: what a call wrote is collected, and then put back as it was."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
from pathlib import Path

_FOLDER = (0, 0, 0)
_OLD = (1, 1)
"""Access and modification time of files that no call has touched: a later write cannot look like this one."""
_STILL_NS = 50_000_000
"""Age from which the time of a folder's last change tells: any further change gets another time."""


class WorkDir:
    """One working directory per kernel, holding the snapshot's files.

    Parameters
    ----------
    root:
        The directory; it is the process's current directory.
    files:
        Relative path to the path of its content, of the snapshot's files.
    """

    def __init__(self, root: Path, files: dict[str, str]) -> None:
        self._root = root
        self._text = str(root)
        self._origins = files
        self._settled: dict[str, tuple[int, int, int]] = {}
        self._still: tuple[int, int, int] | None = None
        for path in files:
            self._restore(path)

    def settle(self) -> None:
        """Take the directory as it is now (after `init`) for what every call finds."""
        self._keep_what_init_wrote()
        self._still = None
        self._settled = self._scan()

    def changes(self) -> tuple[tuple[str, ...], bool]:
        """What the call did: paths that are new or different, sorted, and whether anything must be put back."""
        if self._still is not None and _state(".") == self._still:
            return (), False
        if os.getcwd() != self._text:  # noqa: PTH109  # called after every execution: no Path is made
            os.chdir(self._text)
        state = _state(self._text)
        now = self._scan()
        self._still = None
        if now == self._settled:
            # Nothing can change in an empty folder without the folder's own change; files and folders are looked at.
            if not now and sys.platform == "linux" and time.time_ns() - state[0] > _STILL_NS:
                self._still = state
            return (), False
        changed = (path for path, state in now.items() if state != _FOLDER and self._settled.get(path) != state)
        return tuple(sorted(changed)), True

    def accept(self) -> None:
        """Take the directory as it is now for what the next execution finds; nothing is put back."""
        self._still = None
        self._settled = self._scan()

    def read(self, name: str, limit: int) -> bytes | None:
        """Content of a regular file in the directory itself, or None when there is none.

        Parameters
        ----------
        name:
            A plain file name.
        limit:
            Largest size in bytes.

        Raises
        ------
        ValueError
            When the file is larger.
        """
        try:
            # A link, a pipe or a device that the call planted is no artifact, and must not block us.
            descriptor = os.open(self._root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
                return None
            if state.st_size > limit:
                raise ValueError(f"artifact {name!r} has {state.st_size} bytes; at most {limit} are returned")
            return file.read(limit)

    def put_back(self) -> None:
        """Make the directory what it was before the call."""
        now = self._scan()
        for path in sorted(now.keys() - self._settled.keys(), reverse=True):
            self._remove(path)
        for path, state in self._settled.items():
            if now.get(path) != state:
                self._restore(path)
        self._settled = self._scan()

    def _scan(self) -> dict[str, tuple[int, int, int]]:
        found: dict[str, tuple[int, int, int]] = {}
        folders = [""]
        while folders:
            prefix = folders.pop()
            with os.scandir(self._text + "/" + prefix) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path + "/")
                        found[path] = _FOLDER
                    else:
                        state = entry.stat(follow_symlinks=False)
                        found[path] = (state.st_mtime_ns, state.st_size, state.st_ino)
        return found

    def _keep_what_init_wrote(self) -> None:
        """Copy aside the files that `init` made, so that they too can be put back."""
        for path, state in self._scan().items():
            if state == _FOLDER or path in self._origins:
                continue
            origin = self._root.parent / "init-files" / path
            origin.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._root / path, origin, follow_symlinks=False)
            self._origins[path] = str(origin)
            os.utime(self._root / path, _OLD, follow_symlinks=False)

    def _restore(self, path: str) -> None:
        target = self._root / path
        if target.is_symlink() or target.exists():
            self._remove(path)
        if self._settled.get(path) == _FOLDER:
            target.mkdir(parents=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._origins[path], target, follow_symlinks=False)
        os.utime(target, _OLD, follow_symlinks=False)

    def _remove(self, path: str) -> None:
        target = self._root / path
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)


def _state(path: str) -> tuple[int, int, int]:
    """When a folder last changed, and which it is."""
    found = os.stat(path)  # noqa: PTH116  # called after every execution: no Path is made
    return found.st_mtime_ns, found.st_ino, found.st_dev
