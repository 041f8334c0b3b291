"""A login that lasts: renewed by its refresh token, else with the password once more."""

from __future__ import annotations

import time

import msgspec

from jupyter_mlops.client.transport import Address, Transport
from jupyter_mlops.errors import NotAuthenticated
from jupyter_mlops.schema.access import LoginRequest, RefreshRequest, TokenResponse


class Login:
    """Logs a user in.

    Parameters
    ----------
    transport:
        The way to the server, without a token.
    user, password:
        Who logs in.
    """

    def __init__(self, transport: Transport, user: str, password: str) -> None:
        self._transport = transport
        self._request = LoginRequest(username=user, password=password)
        self._refresh = ""

    def __call__(self) -> Address:
        """Log in, or renew the login, and return the address with its new token.

        Raises
        ------
        NotAuthenticated
            When user or password are wrong.
        """
        asked = time.monotonic()
        try:
            answer = msgspec.json.decode(self._tokens(), type=TokenResponse)
        finally:
            self._transport.close()
        self._refresh = answer.refresh_token
        return Address(url=self._transport.url, token=answer.access_token, ends=asked + answer.expires_in)

    def _tokens(self) -> bytes:
        refresh, self._refresh = self._refresh, ""  # each works once, also when its answer is lost
        if refresh:
            try:
                return self._transport.request("POST", "/login/refreshToken", RefreshRequest(refresh_token=refresh))
            except NotAuthenticated:  # after two weeks without use, or when the login was ended
                pass
        return self._transport.request("POST", "/login", self._request)
