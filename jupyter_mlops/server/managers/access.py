"""Who is calling: logins, tokens, and what a role allows."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import secrets
import time
from collections import OrderedDict

from joserfc.jwk import OctKey

from jupyter_mlops.errors import Forbidden, NotAuthenticated
from jupyter_mlops.schema.access import Action, Identity, Role, TokenResponse
from jupyter_mlops.server.auth.limiter import AttemptLimiter
from jupyter_mlops.server.auth.passwords import check_password, hash_password
from jupyter_mlops.server.stores.access import AccessStore, User
from jupyter_mlops.signing import ISSUER, LEEWAY, sign, verify

ACCESS_SECONDS = 3600
REFRESH_SECONDS = 14 * 86400
LOGIN_SECONDS = 90 * 86400
_REMEMBERED = 4096


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
    """

    def __init__(self, store: AccessStore, key: OctKey, instance: str) -> None:
        self._store = store
        self._key = key
        self._audiences = (ISSUER, instance)
        self._limiter = AttemptLimiter()
        self._revoked: set[str] = set()
        # Verifying a signature on each call would cost more than many calls do.
        self._verified: OrderedDict[str, tuple[Identity, float]] = OrderedDict()

    async def open(self) -> None:
        """Read which logins are revoked."""
        self._revoked = await self._store.revoked_logins()

    async def ensure_admin(self, password: str) -> bool:
        """Add the user `admin`, an Owner, if there is none; say whether it was added."""
        if await self._store.user("admin") is not None:
            return False
        hashed = await asyncio.to_thread(hash_password, password)
        created = dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat()
        await self._store.add_user(User("admin", hashed, Role.OWNER), created)
        return True

    def identify(self, token: str) -> Identity:
        """Say who a bearer token stands for.

        Raises
        ------
        NotAuthenticated
            When it is no token of ours, has expired, or its login was revoked.
        """
        known = self._verified.get(token)
        if known is None or time.time() >= known[1] + LEEWAY:
            known = verify(self._key, token, self._audiences)
            self._verified[token] = known
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        if known[0].session in self._revoked:
            raise NotAuthenticated("Unauthorized (this login was ended)")
        return known[0]

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
        self._limiter.check(name, address)
        user = await self._store.user(name)
        right = await asyncio.to_thread(check_password, user.password_hash if user else None, password)
        if user is None or not right:
            self._limiter.failed(name, address)
            raise NotAuthenticated("Unauthorized (invalid credentials)")
        self._limiter.succeeded(name, address)
        login, refresh, now = secrets.token_hex(16), secrets.token_urlsafe(32), time.time()
        await self._store.begin_login(login, name, now + LOGIN_SECONDS, _digest(refresh), now + REFRESH_SECONDS)
        return self._tokens(user, login, refresh)

    async def refresh(self, token: str) -> TokenResponse:
        """Exchange a refresh token for a new pair; the old pair is spent.

        Raises
        ------
        NotAuthenticated
            For a token that is unknown, expired, or was spent before (which ends its login).
        """
        successor, now = secrets.token_urlsafe(32), time.time()
        found = await self._store.use_refresh(_digest(token), _digest(successor), now, now + REFRESH_SECONDS)
        if found is not None and found.used:
            self._revoked.add(found.login)
        if found is None or found.used or found.revoked or now >= min(found.expires, found.ends):
            raise NotAuthenticated("Unauthorized (invalid or expired refresh token)")
        return self._tokens(found.user, found.login, successor)

    async def revoke(self, token: str) -> None:
        """End the login of a refresh token: its access token too is refused from now on.

        Raises
        ------
        NotAuthenticated
            For an unknown token.
        """
        login = await self._store.revoke(_digest(token))
        if login is None:
            raise NotAuthenticated("Unauthorized (invalid or expired refresh token)")
        self._revoked.add(login)

    def _tokens(self, user: User, login: str, refresh: str) -> TokenResponse:
        identity = Identity(name=user.name, role=user.role, session=login)
        return TokenResponse(
            access_token=sign(self._key, identity, ACCESS_SECONDS),
            expires_in=ACCESS_SECONDS,
            expires_on=int(time.time()) + ACCESS_SECONDS,
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
