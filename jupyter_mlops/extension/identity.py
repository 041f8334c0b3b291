"""Who is calling, as this Jupyter server knows it, and the credential that says so to our server."""

from __future__ import annotations

import getpass
import re
from typing import TYPE_CHECKING

from jupyter_server.auth import IdentityProvider, PasswordIdentityProvider

from jupyter_mlops.schema.access import Identity, Role

if TYPE_CHECKING:
    from jupyter_server.auth import User

LIFETIME = 60.0
"""Seconds for which a forwarded identity may be used: one request is on its way that long."""

_STOCK = (IdentityProvider, PasswordIdentityProvider)
_GENERATED = re.compile(r"[0-9a-f]{32}|anonymous")
_JWT = re.compile(r"Bearer\s+[\w-]+\.[\w-]+\.[\w-]+", re.IGNORECASE)


def identify(user: User, provider: IdentityProvider) -> Identity:
    """Name the caller.

    Jupyter's own providers know one shared secret, not people: they invent a new name for every request.
    Whoever holds that secret is the operating-system user. A provider that knows names is believed.

    Parameters
    ----------
    user:
        The authenticated user of the request.
    provider:
        The identity provider that authenticated it.
    """
    nameless = type(provider) in _STOCK or _GENERATED.fullmatch(user.username) is not None
    return Identity(name=getpass.getuser() if nameless else user.username, role=Role.OWNER, local=True)


def jwt_or(header: str, token: str | None) -> str | None:
    """Choose the `Authorization` for the server: the caller's JWT, else a token.

    Parameters
    ----------
    header:
        The caller's `Authorization`. Jupyter's own tokens are no JWTs and stay here.
    token:
        What is used when the caller sent no JWT; None for nothing.
    """
    if _JWT.fullmatch(header.strip()):
        return header.strip()
    return f"Bearer {token}" if token else None
