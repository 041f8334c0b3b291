"""Who may do what: identities, roles, and the one table of permissions."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from jupyter_mlops.schema.base import Wire


class Role(StrEnum):
    """Roles of Machine Learning Server, strongest first."""

    OWNER = "Owner"
    CONTRIBUTOR = "Contributor"
    READER = "Reader"


class Action(StrEnum):
    """What can be allowed, each with its sentence."""

    CONSUME = "consume"  #: call any service, read its description and Swagger
    LIST = "list"  #: see every service and the server's status
    PUBLISH = "publish"  #: upload a snapshot, publish a service, change or delete one's own
    RUN_CODE = "run-code"  #: open sessions, run code in them, keep snapshots
    MANAGE_ALL = "manage-all"  #: change or delete anybody's service, see its code
    MANAGE_USERS = "manage-users"  #: add, change and remove local users
    CONFIGURE = "configure"  #: change what concerns the whole server, such as the list of compute nodes


PERMISSIONS: dict[Role, frozenset[Action]] = {
    Role.OWNER: frozenset(Action),
    Role.CONTRIBUTOR: frozenset({Action.CONSUME, Action.LIST, Action.PUBLISH, Action.RUN_CODE}),
    Role.READER: frozenset({Action.CONSUME, Action.LIST}),
}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling, as a verified token says.

    `local` is true when the token was made by the account that the server runs under; only then does a
    publish choose the interpreter by path.
    """

    name: str
    role: Role
    local: bool = False
    session: str = ""
    """The login this token belongs to; empty for tokens that no login made."""

    def may(self, action: Action) -> bool:
        """Whether the role allows the action."""
        return action in PERMISSIONS[self.role]


class LoginRequest(Wire, frozen=True):
    """Body of `POST /login`."""

    username: str
    password: str


class RefreshRequest(Wire, frozen=True):
    """Body of `POST /login/refreshToken`."""

    refresh_token: str


class TokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of tokens, in Machine Learning Server's spelling; times are seconds since 1970."""

    access_token: str
    expires_in: int
    expires_on: int
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105
