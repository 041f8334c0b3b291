"""Limits of a process that reads what others made, where the system has them."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_STATM = Path("/proc/self/statm")


def limit_memory(size: int) -> None:
    """Let this process use no more than so many bytes of address space: what asks for more fails by itself."""
    _limit("RLIMIT_AS", size)


def limit_process(*, memory: int, seconds: int, file: int) -> None:
    """Limit what a throw-away process may use.

    Parameters
    ----------
    memory:
        Bytes of address space.
    seconds:
        Time of all processors together.
    file:
        Size of any file that it writes, in bytes.
    """
    _limit("RLIMIT_AS", memory)
    _limit("RLIMIT_CPU", seconds)
    _limit("RLIMIT_FSIZE", file)
    _limit("RLIMIT_CORE", 0)


def die_with_parent() -> None:
    """Ask Linux to kill this process when the server dies, whatever it is in the middle of."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def address_space() -> int:
    """Bytes of address space that this process has now; 0 where that is not known."""
    return _pages(0)


def resident() -> int:
    """Bytes of memory that this process has now; 0 where that is not known."""
    return _pages(1)


def _pages(which: int) -> int:
    if not _STATM.exists():
        return 0
    import resource

    return int(_STATM.read_text().split()[which]) * resource.getpagesize()


def _limit(name: str, value: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    kind = getattr(resource, name)
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    with contextlib.suppress(OSError, ValueError):  # some systems know a limit, and do not keep it
        resource.setrlimit(kind, (value, most if name == "RLIMIT_AS" else value))
