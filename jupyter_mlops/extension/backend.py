"""Where requests go: a shared server by its address, or the data directory's own, started when it is missed.

Nothing here may stall Jupyter's loop: looking for the server and starting it happen in a thread, by one
caller at a time; every other request costs one look at `server.json` and at the process it names.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil

from jupyter_mlops.discovery import TOKEN_VARIABLE, ServerFile, find_or_start, read_server_file, running_server
from jupyter_mlops.errors import NotAuthenticated, ServerUnreachable
from jupyter_mlops.extension.identity import LIFETIME, identify, jwt_or
from jupyter_mlops.signing import read_key, sign, verify

if TYPE_CHECKING:
    from logging import Logger
    from pathlib import Path

    from jupyter_server.auth import IdentityProvider, User

    from jupyter_mlops.schema.access import Identity

_SAME_START = 5.0
"""Seconds by which two readings of one process's start time may differ (the boot clock is adjusted)."""

_STOP_SECONDS = 10.0


class Backend:
    """The one server behind this extension.

    Parameters
    ----------
    directory:
        The data directory whose server is used when there is no `server_url`.
    server_url:
        Address of a shared server, or empty.
    log:
        The extension's log.
    """

    def __init__(self, directory: Path, server_url: str, log: Logger) -> None:
        self.directory = directory
        self.server_url = server_url.rstrip("/")
        self.log = log
        self._found: ServerFile | None = None
        self._started: ServerFile | None = None
        self._one_at_a_time = asyncio.Lock()
        if self.server_url and urlsplit(self.server_url).scheme not in {"http", "https"}:
            raise ValueError(f"server_url is an http:// or https:// address, not {server_url!r}")

    async def locate(self, *, start: bool = True) -> str | None:
        """Find the address of the server; None when none runs and `start` is false.

        Raises
        ------
        ServerUnreachable
            When it could not be started.
        """
        if self.server_url:
            return self.server_url
        if self._found is None or not self._still_there(self._found):
            async with self._one_at_a_time:
                if self._found is None or not self._still_there(self._found):
                    self._found = await asyncio.to_thread(self._look, start=start)
        return self._found.url if self._found else None

    def forget(self) -> None:
        """Look again at the next request: nothing answered at the last address."""
        self._found = None

    def authorization(self, user: User, provider: IdentityProvider, header: str) -> str | None:
        """Say under which `Authorization` the server sees the caller.

        Parameters
        ----------
        user:
            The authenticated Jupyter user.
        provider:
            The identity provider that authenticated it.
        header:
            The `Authorization` that the caller sent to Jupyter.
        """
        if self.server_url:
            return jwt_or(header, os.environ.get(TOKEN_VARIABLE))
        return f"Bearer {sign(read_key(self.directory), identify(user, provider), LIFETIME)}"

    @property
    def shared(self) -> bool:
        """Whether the server is somebody else's, whose key is not here."""
        return bool(self.server_url)

    def own_token(self, header: str) -> Identity | None:
        """Say whom a token of the server's own stands for; None when the caller sent none that is in force.

        Parameters
        ----------
        header:
            The `Authorization` that the caller sent to Jupyter.
        """
        credential = None if self.shared else jwt_or(header, None)
        if credential is None:
            return None
        try:
            return verify(read_key(self.directory), credential.partition(" ")[2].strip())[0]
        except NotAuthenticated:
            return None

    async def stop(self) -> None:
        """End the server, if this extension started it and it is still that process."""
        if self._started is not None and self._still_there(self._started):
            self.log.info("Stopping the jupyter_mlops server at %s", self._started.url)
            await asyncio.to_thread(self._terminate, self._started.pid)

    def _look(self, *, start: bool) -> ServerFile | None:
        if not start:
            return running_server(self.directory)
        found, started = find_or_start(self.directory)
        if started:
            self._started = found
            threading.Thread(target=_reap, args=(found.pid,), name="mlops-reap", daemon=True).start()
            self.log.info("Started a jupyter_mlops server at %s; it outlives JupyterLab", found.url)
        return found

    def _still_there(self, found: ServerFile) -> bool:
        # A port that a killed server left behind may be taken by a stranger, who must not get a token.
        if read_server_file(self.directory) != found:
            return False
        try:
            process = psutil.Process(found.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
            return bool(alive and abs(process.create_time() - found.started) < _SAME_START)
        except psutil.Error:
            return False

    def _terminate(self, pid: int) -> None:
        try:
            process = psutil.Process(pid)
            process.terminate()
            process.wait(_STOP_SECONDS)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            self.log.warning("The jupyter_mlops server (process %s) is still finishing its calls", pid)


def _reap(pid: int) -> None:
    # Its exit status waits for its parent, this process: unread, an ended server would look like a running one.
    if os.name == "posix":
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def unreachable(address: str, reason: object) -> ServerUnreachable:
    """Make the error for a server that does not answer, with what to do about it."""
    return ServerUnreachable(
        f"the jupyter_mlops server at {address} does not answer ({reason}); "
        "see `jupyter mlops status`, and server.log in its data directory"
    )
