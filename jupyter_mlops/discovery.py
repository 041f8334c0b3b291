"""Where the server of this account is: the data directory, `server.json`, and starting one.

Used by the client, the Jupyter extension and the command line. A server announces itself in
`server.json` (0600) and is believed only when `/health` answers with the same instance id.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import msgspec

from jupyter_mlops.errors import ServerUnreachable
from jupyter_mlops.schema.base import API_VERSION, SERVER_FILE_FORMAT, Wire

DATA_DIR_VARIABLE = "JUPYTER_MLOPS_DATA_DIR"
URL_VARIABLE = "JUPYTER_MLOPS_URL"
TOKEN_VARIABLE = "JUPYTER_MLOPS_TOKEN"  # noqa: S105
START_SECONDS = 60.0

# A detached server must not inherit what belongs to the Jupyter server or kernel that started it.
_NOT_INHERITED = ("JPY_", "JUPYTER_TOKEN", "JUPYTERHUB_", "MPLBACKEND", "PYTEST_")


class ServerFile(Wire, frozen=True):
    """What `server.json` says about the running server."""

    url: str
    pid: int
    started: float
    """The process's start time in seconds since 1970, which tells it from a later one with its pid."""
    instance: str
    api: str
    token: str
    """A token of the operating-system user, in force while this server runs."""
    user: str
    version: str
    format: int = SERVER_FILE_FORMAT


def data_dir(explicit: str | os.PathLike[str] | None = None) -> Path:
    """Path of the data directory: the argument, else `JUPYTER_MLOPS_DATA_DIR`, else `mlops` in Jupyter's own."""
    chosen = explicit or os.environ.get(DATA_DIR_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "mlops"


def read_server_file(directory: Path) -> ServerFile | None:
    """Read `server.json`; None when there is none, or it is of another format."""
    try:
        found = msgspec.json.decode((directory / "server.json").read_bytes(), type=ServerFile)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
    return found if found.format == SERVER_FILE_FORMAT else None


def running_server(directory: Path) -> ServerFile | None:
    """The server that runs on this data directory now, or None."""
    found = read_server_file(directory)
    return found if found is not None and _answers(found) else None


def _answers(found: ServerFile) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{found.url}/health", timeout=5) as response:
            health = json.loads(response.read())
    except (OSError, ValueError):
        return False
    return bool(health.get("instance") == found.instance)


def find_or_start(directory: Path, *, announce: bool = False) -> tuple[ServerFile, bool]:
    """Find the server of this data directory, or start a detached one on a free port.

    Parameters
    ----------
    directory:
        The data directory.
    announce:
        Print, once, that a server was started and how to stop it.

    Returns
    -------
    tuple of ServerFile and bool
        The server, and whether this call started it.

    Raises
    ------
    ServerUnreachable
        When it does not come up within a minute, with the end of its log.
    """
    found = running_server(directory)
    if found is not None:
        _check_api(found)
        return found, False
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = directory / "server.log"
    process = _start(directory, log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = running_server(directory)
        if found is not None:
            _check_api(found)
            # It outlives this program on purpose; should it end before, it is not left a zombie.
            threading.Thread(target=process.wait, daemon=True, name="mlops-server-wait").start()
            if announce:
                print(  # noqa: T201
                    f"Started a jupyter_mlops server at {found.url} (it outlives this program; "
                    "stop it with: jupyter mlops stop)"
                )
            return found, True
        # Losing a race for the lock is fine: the winner is about to announce itself.
        if process.poll() not in {None, 0} and not _locked(directory):
            break
        time.sleep(0.05)
    raise ServerUnreachable(f"the server did not start; the end of {log}:\n{_tail(log)}")


def _start(directory: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
    command = [
        sys.executable,
        "-m",
        "jupyter_mlops",
        "serve",
        "--port=0",
        f"--data-dir={directory}",
        "--auto",
    ]
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )


def _check_api(found: ServerFile) -> None:
    if found.api != API_VERSION:
        raise ServerUnreachable(
            f"the server at {found.url} speaks API version {found.api}, this package version {API_VERSION}; "
            "stop it (jupyter mlops stop) so that the next call starts one of this version"
        )


def _locked(directory: Path) -> bool:
    from filelock import FileLock, Timeout

    lock = FileLock(directory / "lock")
    with contextlib.suppress(Timeout):
        lock.acquire(timeout=0)
        lock.release()
        return False
    return True


def _tail(log: Path, lines: int = 15) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""
