"""Who is calling: logins, tokens, and what a role allows."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from joserfc.jwk import OctKey

from jupyter_mlops.errors import Forbidden, NotAuthenticated
from jupyter_mlops.schema.access import Action, Identity, Role, TokenResponse
from jupyter_mlops.server.auth.limiter import AttemptLimiter
from jupyter_mlops.server.auth.passwords import check_password
from jupyter_mlops.server.stores.access import AccessStore, User
from jupyter_mlops.signing import ISSUER, LEEWAY, sign, verify

_REMEMBERED = 4096


@dataclass(frozen=True)
class Lifetimes:
    """How long what a login gives is in force, in seconds; Machine Learning Server's own by default."""

    access: int = 3600
    """An access token."""
    refresh: int = 14 * 86400
    """A refresh token; each renewal gives a new one."""
    login: int = 90 * 86400
    """The login with all its renewals; after that the password is asked for again."""


class AccessManager:
    """Logs users in, renews and revokes their tokens, and says who a token stands for.

    Parameters
    ----------
    store:
        Users and logins.
    key:
        The data directory's signing key.
    instance:
        This server's id: the audience of tokens that end with it.
    lifetimes:
        How long tokens and logins are in force.
    """

    def __init__(self, store: AccessStore, key: OctKey, instance: str, lifetimes: Lifetimes) -> None:
        self._store = store
        self._key = key
        self._audiences = (ISSUER, instance)
        self._lifetimes = lifetimes
        self._limiter = AttemptLimiter()
        # The logins in force, not those that ended: a login whose user is gone leaves no trace to refuse it by.
        self._logins: set[str] = set()
        # Verifying a signature on each call would cost more than many calls do.
        self._verified: OrderedDict[str, tuple[Identity, float]] = OrderedDict()

    async def open(self) -> None:
        """Read which logins are in force."""
        self._logins = await self._store.logins()

    def identify(self, token: str) -> Identity:
        """Say who a bearer token stands for.

        Raises
        ------
        NotAuthenticated
            When it is no token of ours, has expired, or its login was ended.
        """
        known = self._verified.get(token)
        if known is None or time.time() >= known[1] + LEEWAY:
            known = verify(self._key, token, self._audiences)
            self._verified[token] = known
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        if not self.in_force(known[0]):
            raise NotAuthenticated("Unauthorized (this login was ended)")
        return known[0]

    def in_force(self, identity: Identity) -> bool:
        """Whether the login that an identity came with, if it came with one, has not been ended since."""
        return not identity.session or identity.session in self._logins

    def local_token(self, name: str, instance: str) -> str:
        """Make the token of the operating-system user, in force while this server runs."""
        identity = Identity(name=name, role=Role.OWNER, local=True)
        return sign(self._key, identity, 10 * 365 * 86400, audience=instance)

    async def login(self, name: str, password: str, address: str) -> TokenResponse:
        """Log a user in.

        Parameters
        ----------
        name, password:
            What the user typed.
        address:
            Where the request comes from, for slowing down guesses.

        Raises
        ------
        NotAuthenticated
            For a wrong password and an unknown user alike.
        TooManyRequests
            After ten failures within five minutes.
        """
        user = await self._check(name, password, address)
        if user is None:
            raise NotAuthenticated("Unauthorized (invalid credentials)")
        login, refresh, now = secrets.token_hex(16), secrets.token_urlsafe(32), time.time()
        ends, expires = now + self._lifetimes.login, now + min(self._lifetimes.refresh, self._lifetimes.login)
        self._logins.add(login)  # before it is recorded, so that whatever ends it from then on finds it
        if not await self._store.begin_login(login, user, ends, _digest(refresh), expires):
            self._logins.discard(login)
            raise NotAuthenticated("Unauthorized (invalid credentials)")
        self.end(await self._store.forget_logins(now - self._lifetimes.access))
        return self._tokens(user, login, refresh)

    async def check_present(self, name: str, password: str, address: str) -> None:
        """Check the present password of a user who is about to change it.

        Parameters
        ----------
        name, password, address:
            As for `login`.

        Raises
        ------
        Forbidden
            When it is wrong.
        TooManyRequests
            After ten failures within five minutes.
        """
        if await self._check(name, password, address) is None:
            raise Forbidden("the present password is not this one", fields="$.currentPassword")

    def end(self, logins: Iterable[str]) -> None:
        """Refuse the access tokens of logins that the store has forgotten."""
        self._logins.difference_update(logins)

    async def refresh(self, token: str) -> TokenResponse:
        """Exchange a refresh token for a new pair; the old pair is spent.

        Raises
        ------
        NotAuthenticated
            For a token that is unknown, expired, or was spent before (which ends its login).
        """
        successor, now = secrets.token_urlsafe(32), time.time()
        expires = now + self._lifetimes.refresh
        found = await self._store.use_refresh(_digest(token), _digest(successor), now, expires)
        if found is not None and found.used:
            self._logins.discard(found.login)
        if found is None or found.used or found.revoked or now >= min(found.expires, found.ends):
            raise NotAuthenticated("Unauthorized (invalid or expired refresh token)")
        return self._tokens(found.user, found.login, successor)

    async def revoke(self, token: str) -> TokenResponse:
        """End the login of a refresh token: its access token too is refused from now on.

        Returns
        -------
        TokenResponse
            With no token: generated clients read the answer as one, as Machine Learning Server's document says.

        Raises
        ------
        NotAuthenticated
            For an unknown token.
        """
        login = await self._store.revoke(_digest(token))
        if login is None:
            raise NotAuthenticated("Unauthorized (invalid or expired refresh token)")
        self._logins.discard(login)
        return TokenResponse(access_token="", expires_in=0, expires_on=0, refresh_token="")

    async def _check(self, name: str, password: str, address: str) -> User | None:
        """The user, if the password is right."""
        self._limiter.check(name, address)
        user = await self._store.user(name)
        right = await asyncio.to_thread(check_password, user.password_hash if user else None, password)
        if user is None or not right:
            self._limiter.failed(name, address)
            return None
        self._limiter.succeeded(name, address)
        return user

    def _tokens(self, user: User, login: str, refresh: str) -> TokenResponse:
        identity = Identity(name=user.name, role=user.role, session=login)
        return TokenResponse(
            access_token=sign(self._key, identity, self._lifetimes.access),
            expires_in=self._lifetimes.access,
            expires_on=int(time.time()) + self._lifetimes.access,
            refresh_token=refresh,
        )


def require(identity: Identity, action: Action) -> None:
    """Refuse an action that the caller's role does not allow.

    Raises
    ------
    Forbidden
        Naming the role and the action.
    """
    if not identity.may(action):
        raise Forbidden(f"the role {identity.role.value} does not allow to {action.value}; ask an Owner")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
