"""A small process that outlives a killed server for as long as it takes to end the server's kernels.

It reads from a pipe that only the server holds open. When the server dies, however it dies, the pipe ends,
and whatever still carries the server's instance id is killed. Kernels die with the server by themselves on
Linux; what they forked does not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

INSTANCE_VARIABLE = "JUPYTER_MLOPS_INSTANCE"
"""In the environment of every kernel, so that whatever it forked can be found."""

SHARED = "shared"
"""In the run directory: a link to its folder in memory."""

_SECONDS = 5.0


def start(instance: str, directory: Path) -> subprocess.Popen[bytes]:
    """Start the guardian of this process.

    Parameters
    ----------
    instance:
        The server's instance id.
    directory:
        The run directory, removed when the server has died.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "jupyter_mlops.server.kernels.guardian", instance, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def sweep(instance: str) -> int:
    """Kill every process that carries the instance's mark in its environment.

    Finds what left its process group or was orphaned; by an id that no other server has, never by name.

    Parameters
    ----------
    instance:
        Instance id of a server that has ended, or is ending.

    Returns
    -------
    int
        How many processes were killed.
    """
    killed = 0
    for process in psutil.process_iter():
        try:
            if process.environ().get(INSTANCE_VARIABLE) == instance and process.pid != os.getpid():
                process.kill()
                killed += 1
        except (psutil.Error, OSError):
            continue
    return killed


def remove_run(directory: Path) -> None:
    """Remove a run directory, and the folder in memory that its link `shared` names, if it has one."""
    shutil.rmtree((directory / SHARED).resolve(), ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Wait for the server to end, then sweep until nothing of it is left."""
    instance, directory = sys.argv[1:]
    os.chdir("/")
    sys.stdin.buffer.read()
    deadline = time.monotonic() + _SECONDS
    while sweep(instance) and time.monotonic() < deadline:
        time.sleep(0.05)
    remove_run(Path(directory))


if __name__ == "__main__":
    main()
