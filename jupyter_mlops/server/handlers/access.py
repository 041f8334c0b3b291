"""Logging in, renewing and ending a login."""

from __future__ import annotations

from jupyter_mlops.schema.access import LoginRequest, RefreshRequest, TokenResponse
from jupyter_mlops.schema.operations import AUTHENTICATION, Argument
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation

SMALL = 16 * 1024


class Login(BaseHandler):
    """`/login`."""

    public = True
    limit = SMALL

    @operation("login", AUTHENTICATION, None, takes=LoginRequest, gives={200: TokenResponse}, refuses=(400, 401, 429))
    async def post(self) -> None:
        """Exchange a name and a password for a pair of tokens."""
        request = self.decode(LoginRequest)
        address = self.request.remote_ip or ""
        self.answer(await self.managers.access.login(request.username, request.password, address))


class RefreshToken(BaseHandler):
    """`/login/refreshToken`."""

    public = True
    limit = SMALL

    @operation(
        "renewToken",
        AUTHENTICATION,
        None,
        takes=RefreshRequest,
        body="renewTokenRequest",
        gives={200: TokenResponse},
        refuses=(400, 401),
    )
    async def post(self) -> None:
        """Exchange a refresh token for a new pair."""
        self.answer(await self.managers.access.refresh(self.decode(RefreshRequest).refresh_token))

    @operation(
        "revokeRefreshToken",
        AUTHENTICATION,
        None,
        arguments=(Argument("refreshToken", str, "The refresh token to be revoked.", required=True),),
        gives={200: TokenResponse},
        refuses=(400, 401),
    )
    async def delete(self) -> None:
        """End the login of a refresh token.

        Its access token too is refused from then on. The answer has the form of a login's, without tokens.
        """
        self.answer(await self.managers.access.revoke(self.get_query_argument("refreshToken")))
