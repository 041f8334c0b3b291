"""The local users as their administrators list, add and change them."""

from __future__ import annotations

import re

import msgspec

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.access import Role
from jupyter_mlops.schema.base import Wire

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.@+-]{0,62}[A-Za-z0-9_])?")


class UserView(Wire, frozen=True):
    """A local user."""

    name: str
    role: Role
    created: str
    """ISO 8601 in UTC, without a zone."""


class CreateUserRequest(Wire, frozen=True):
    """Body of `POST /users`."""

    name: str
    """1 to 64 of the letters A-Z, a-z, digits, `_`, `.`, `@`, `+` and `-`; the last four only inside."""
    password: str
    """12 to 128 characters."""
    role: Role


class ChangeUserRequest(Wire, frozen=True):
    """Body of `PATCH /users/{name}`; what it leaves out stays as it is."""

    password: str | msgspec.UnsetType = msgspec.UNSET
    """12 to 128 characters."""
    role: Role | msgspec.UnsetType = msgspec.UNSET
    """For Owners only."""
    current_password: str | msgspec.UnsetType = msgspec.UNSET
    """The user's present password: needed by all but Owners, who may change their own password with it."""


def check_user_name(name: str) -> str:
    """Return a user's name unchanged, or say which rule it breaks.

    Parameters
    ----------
    name:
        The name as the administrator wrote it.

    Raises
    ------
    InvalidRequest
        When it is empty, longer than 64 characters, or has others than those allowed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"the user name {name[:100]!r} is not allowed: use 1 to 64 of the letters A-Z, a-z, digits, '_', and "
            "inside also '.', '@', '+' and '-'",
            fields="$.name",
        )
    return name
