"""The lock on every verb: authenticated by Jupyter, then allowed by its authorizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from jupyter_server.auth.decorator import authorized, ws_authenticated
from tornado.web import authenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Verb = Callable[..., Coroutine[Any, Any, None]]

RESOURCE = "mlops"
"""What Jupyter's authorizer is asked about."""


def guarded(action: str) -> Callable[[Verb], Verb]:
    """Make a decorator for a verb of an HTTP handler.

    Parameters
    ----------
    action:
        `read`, `write` or `execute`. It is written out on every verb, because `authorized` without
        arguments remembers the first caller's.
    """

    def decorate(verb: Verb) -> Verb:
        return cast("Verb", authenticated(cast("Any", authorized)(action, RESOURCE)(verb)))

    return decorate


def ws_guarded(action: str) -> Callable[[Verb], Verb]:
    """Make the same decorator for the `get` of a WebSocket: a stranger gets 403, never the login page.

    Parameters
    ----------
    action:
        `read`, `write` or `execute`.
    """

    def decorate(verb: Verb) -> Verb:
        return cast("Verb", ws_authenticated(cast("Any", authorized)(action, RESOURCE)(verb)))

    return decorate
