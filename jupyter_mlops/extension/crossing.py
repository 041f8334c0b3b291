"""Which headers, and which part of the URL, cross between the browser and the server.

What belongs to one connection stays on it; what belongs to Jupyter (its cookies, tokens, CORS policy)
stays in Jupyter; everything else crosses unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from tornado.httputil import HTTPHeaders

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_OF_ONE_CONNECTION = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# The referrer may hold `?token=`; forwarded addresses are the caller's own claim.
_OF_JUPYTER = frozenset(
    {
        "authorization",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "origin",
        "referer",
        "x-real-ip",
        "x-xsrftoken",
    }
)
_OF_JUPYTER_PREFIXES = ("x-forwarded-", "sec-websocket-", "x-jupyterhub-")
_NOT_FOR_THE_BROWSER = frozenset({"set-cookie"})
_SECRET_QUERY = frozenset({"token", "_xsrf"})

LOCKED_DOWN = "default-src 'none'; sandbox; frame-ancestors 'self'"
"""Content-Security-Policy of an answer that brings none: it must not run as a page of Jupyter's origin."""


def request_headers(headers: HTTPHeaders, authorization: str | None) -> HTTPHeaders:
    """Choose what the server gets of the caller's headers, and add the caller's identity.

    Parameters
    ----------
    headers:
        As Jupyter received them.
    authorization:
        The credential for our server; None sends none.
    """
    crossing = HTTPHeaders()
    dropped = _OF_JUPYTER | _hop_by_hop(headers)
    for name, value in headers.get_all():
        if name.lower() not in dropped and not name.lower().startswith(_OF_JUPYTER_PREFIXES):
            crossing.add(name, value)
    if authorization is not None:
        crossing["Authorization"] = authorization
    return crossing


def response_headers(headers: HTTPHeaders, prefix: str) -> HTTPHeaders:
    """Choose what the browser gets of the server's headers.

    Parameters
    ----------
    headers:
        As the server sent them.
    prefix:
        Where the server appears under Jupyter; absolute paths in `Location` begin there.
    """
    crossing = HTTPHeaders()
    dropped = _NOT_FOR_THE_BROWSER | _hop_by_hop(headers)
    for name, value in headers.get_all():
        if name.lower() in dropped or name.lower().startswith("access-control-"):
            continue
        inside = name.lower() == "location" and value.startswith("/") and not value.startswith("//")
        crossing.add(name, prefix + value if inside else value)
    return crossing


def target(uri: str, prefix: str) -> str:
    """Make the path and query to ask the server for, percent-encodings as the caller wrote them.

    Parameters
    ----------
    uri:
        Path and query as Jupyter received them.
    prefix:
        Path at which the server appears, such as `/user/ann/mlops`; counted in segments, because it may be
        encoded otherwise in the request.
    """
    path, _, query = uri.partition("?")
    inner = path.split("/")[prefix.count("/") + 1 :]
    kept = [part for part in query.split("&") if unquote_plus(part.partition("=")[0]) not in _SECRET_QUERY]
    return "/" + "/".join(inner) + ("?" + "&".join(kept) if query and kept else "")


def _hop_by_hop(headers: HTTPHeaders) -> AbstractSet[str]:
    named = {name.strip().lower() for value in headers.get_list("Connection") for name in value.split(",")}
    return _OF_ONE_CONNECTION | named
