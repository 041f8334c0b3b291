"""How much memory there is, and how much of it processes use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import psutil

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container's limit stands, in the second and the first version of control groups."""


def total() -> int:
    """Bytes of memory of this machine, or of the container that this process runs in."""
    found = [int(psutil.virtual_memory().total)]
    for path in map(Path, _LIMITS):
        with contextlib.suppress(OSError, ValueError):  # there is none, or it is the word "max"
            found.append(int(path.read_text()))
    return min(found)


def used(pids: Iterable[int], enough: int) -> int:
    """Bytes that processes use; it reads files of the system, and belongs into a thread.

    Parameters
    ----------
    pids:
        The processes; those that have ended count nothing.
    enough:
        What is below is a quick and rather high estimate. Only what is above is measured exactly, with each page that
        forks share counted once, where the system tells: that takes milliseconds a process.
    """
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            processes.append(psutil.Process(pid))
    rough = sum(map(_own, processes))
    return rough if rough <= enough else sum(map(_share, processes))


def _own(process: psutil.Process) -> int:
    """Resident bytes without those of files that others may have open too."""
    with contextlib.suppress(psutil.Error):
        found = process.memory_info()
        return int(found.rss - getattr(found, "shared", 0))
    return 0


def _share(process: psutil.Process) -> int:
    """Resident bytes, those that several processes share divided by their number."""
    with contextlib.suppress(psutil.Error):
        found = process.memory_full_info()
        if hasattr(found, "pss"):
            return int(found.pss)
    return _own(process)
