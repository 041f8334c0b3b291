"""Which server to talk to, and with which token."""

from __future__ import annotations

import os
from pathlib import Path

from jupyter_mlops.client.login import Login
from jupyter_mlops.client.patience import Patience
from jupyter_mlops.client.transport import Address, Transport
from jupyter_mlops.discovery import (
    TOKEN_VARIABLE,
    URL_VARIABLE,
    data_dir,
    find_or_start,
    running_server,
)
from jupyter_mlops.errors import InvalidRequest, ServerUnreachable

Auth = tuple[str, str] | str | None


def connect(
    host: str | None = None, auth: Auth = None, *, announce: bool = True, patience: Patience | None = None
) -> Transport:
    """Connect to the address given, else to `JUPYTER_MLOPS_URL`, else to this account's server, started if need be.

    Parameters
    ----------
    host:
        The server's URL.
    auth:
        `(user, password)` to log in with, or a token. Without it the token is `JUPYTER_MLOPS_TOKEN`, or
        the local one when the server is this account's.
    announce:
        Say so when a server was started.
    patience:
        How long to wait, and how often to ask again.

    Raises
    ------
    InvalidRequest
        For an address or credentials in a form that is none.
    NotAuthenticated
        When user or password are wrong.
    ServerUnreachable
        When nothing answers, or no server could be started.
    """
    url = host or os.environ.get(URL_VARIABLE)
    if not url:
        return _local(auth, patience, announce=announce)
    return _explicit(normal_url(url), auth, patience)


def normal_url(host: str) -> str:
    """Bring an address into the form `scheme://host[:port][/path]`; `http` when it has no scheme."""
    url = host.strip().rstrip("/")
    if "://" not in url:
        url = f"http://{url}"
    if not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"{host!r} is no address of a server; write http://HOST:PORT")
    return url


class _Local:
    """Finds this account's server."""

    def __init__(self, directory: Path, *, announce: bool) -> None:
        self._directory = directory
        self._announce = announce

    def __call__(self) -> Address:
        """Find it, or start it."""
        found, _ = find_or_start(self._directory, announce=self._announce)
        return Address(url=found.url, token=found.token)

    def look(self) -> Address:
        """Find it, for what must not start it."""
        found = running_server(self._directory)
        if found is None:
            raise ServerUnreachable("no server runs; the next call from this notebook starts it")
        return Address(url=found.url, token=found.token)


def _local(auth: Auth, patience: Patience | None, *, announce: bool) -> Transport:
    find = _Local(data_dir(), announce=announce)
    if auth is not None:
        return _with_auth(find().url, auth, patience)
    return Transport(find(), find, patience)


def _explicit(url: str, auth: Auth, patience: Patience | None) -> Transport:
    if auth is not None:
        return _with_auth(url, auth, patience)
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        local = running_server(data_dir())
        token = local.token if local is not None and local.url == url else ""
    return Transport(Address(url=url, token=token), patience=patience)


def _with_auth(url: str, auth: Auth, patience: Patience | None) -> Transport:
    match auth:
        case str() as token:
            return Transport(Address(url=url, token=token), patience=patience)
        case (str() as user, str() as password):
            login = Login(Transport(Address(url=url), patience=patience), user, password)
            return Transport(login(), login, patience)
        case _:
            raise InvalidRequest("auth is (user, password), or a token as a string")
