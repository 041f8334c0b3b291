"""One process for a data directory, and files in it that are whole and this account's alone."""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


class CannotStart(Exception):
    """Something stands in the way of starting; the message says what and what to do."""


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold a data directory for this process alone.

    Parameters
    ----------
    directory:
        The data directory.

    Raises
    ------
    CannotStart
        Saying who holds it.
    """
    held = FileLock(directory / "lock", mode=0o600)
    holder = directory / "lock-holder"
    try:
        held.acquire(timeout=0)
    except Timeout:
        who = holder.read_text().strip() if holder.exists() else "another process"
        raise CannotStart(
            f"the data directory {directory} is in use by {who}; "
            "stop that server (jupyter mlops stop) or choose another with --data-dir"
        ) from None
    write_private(holder, f"process {os.getpid()} of {getpass.getuser()}\n".encode())
    try:
        yield
    finally:
        holder.unlink(missing_ok=True)
        held.release()


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one that only this account can read, never half-written.

    Parameters
    ----------
    path:
        The file.
    content:
        All of it.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
