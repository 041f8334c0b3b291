"""Data files that go along: chosen by relative paths and patterns, and mapped, never read into memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from jupyter_mlops.errors import CaptureError

_MAGIC = frozenset("*?[")


def chosen_files(patterns: Iterable[str], folder: Path) -> dict[str, Path]:
    """Find the files that paths and patterns name.

    Parameters
    ----------
    patterns:
        Relative paths with forward slashes; `*`, `?`, `[...]` and `**` as in shells. A folder stands for all in it.
    folder:
        The working directory, outside of which nothing is taken.

    Returns
    -------
    dict of str to Path
        Relative path with forward slashes, to the file.

    Raises
    ------
    CaptureError
        When nothing is there, or it is a link, no plain file, or outside the folder.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        _check_relative(pattern)
        matches = sorted(_matches(pattern, folder))
        if not matches:
            raise CaptureError(f"--files {pattern}: there is no such file in {folder}")
        for path in matches:
            found[path.relative_to(folder).as_posix()] = path
    return found


def is_file_name(name: str) -> bool:
    """Whether what is to be kept can only be a file: no variable has a dot or a slash in its name.

    Parameters
    ----------
    name:
        As it was written.
    """
    return not name.isidentifier() and ("." in name or "/" in name)


def mapped(path: Path) -> memoryview:
    """A file's bytes, mapped: they are in memory only while they are used.

    Parameters
    ----------
    path:
        The file, which must not be cut shorter as long as the result is used.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # an empty file cannot be mapped
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _check_relative(pattern: str) -> None:
    windows = PureWindowsPath(pattern)
    absolute = PurePosixPath(pattern).is_absolute() or windows.drive or windows.root or pattern.startswith("~")
    if not pattern or absolute or ".." in windows.parts:
        raise CaptureError(
            f"--files takes paths inside the working directory, and {pattern!r} is not one; copy the file into it, and "
            "let the function open it by its relative path"
        )


def _matches(pattern: str, folder: Path) -> Iterator[Path]:
    if not _MAGIC.intersection(pattern):
        path = folder / pattern
        _check_no_link(path, folder)
        if path.is_dir():
            yield from _all_in(path)
        elif path.is_file():
            yield path
        elif path.exists():
            raise CaptureError(f"--files {pattern}: it is neither a file nor a folder")
        return
    for path in folder.glob(pattern):
        _check_no_link(path, folder)
        if path.is_file():
            yield path


def _all_in(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        _check_no_link(path, folder)
        if path.is_dir():
            yield from _all_in(path)
        elif path.is_file():
            yield path


def _check_no_link(path: Path, folder: Path) -> None:
    step = folder
    for part in path.relative_to(folder).parts:
        step /= part
        if step.is_symlink():
            link = step.relative_to(folder).as_posix()
            raise CaptureError(f"--files: {link} is a link, which may lead anywhere; name the file itself")
