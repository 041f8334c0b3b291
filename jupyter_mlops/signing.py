"""Tokens signed with the data directory's key (RFC 7519, HS256).

The server signs logins with it; the Jupyter extension, which runs under the same account, signs the
Jupyter identity. Whoever can read the key file is that account.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from jupyter_mlops.errors import NotAuthenticated
from jupyter_mlops.schema.access import Identity, Role

KEY_BYTES = 32
ISSUER = "jupyter-mlops"
ACCESS = "access"
_ALGORITHMS = ["HS256"]
_ROLES = frozenset(role.value for role in Role)
LEEWAY = 30
"""Seconds by which the clocks of two machines may differ."""


def read_key(data_dir: Path) -> OctKey:
    """Read the data directory's signing key, making it (0600) on first use.

    Parameters
    ----------
    data_dir:
        The data directory; it must exist.
    """
    path = data_dir / "signing-key"
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        secret = secrets.token_bytes(KEY_BYTES)
        draft = path.with_name(f"signing-key.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # fails when another process was first: then its key counts
        except FileExistsError:
            secret = path.read_bytes()
        finally:
            draft.unlink()
    return OctKey.import_key(secret)


def sign(key: OctKey, identity: Identity, lifetime: float, audience: str = ISSUER) -> str:
    """Make an access token.

    Parameters
    ----------
    key:
        The data directory's key.
    identity:
        Whom the token stands for.
    lifetime:
        Seconds until it expires.
    audience:
        `jupyter-mlops`, or a server's instance id for a token that must not outlive that server.
    """
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": audience,
        "sub": identity.name,
        "role": identity.role.value,
        "local": identity.local,
        "sid": identity.session,
        "use": ACCESS,
        "iat": now,
        "exp": now + int(lifetime),
        "jti": secrets.token_hex(8),
    }
    return jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, key, algorithms=_ALGORITHMS)


def verify(key: OctKey, token: str, audiences: tuple[str, ...] = (ISSUER,)) -> tuple[Identity, float]:
    """Check an access token.

    Parameters
    ----------
    key:
        The data directory's key.
    token:
        The compact serialisation that the caller sent.
    audiences:
        The audiences that this server answers to.

    Returns
    -------
    tuple of Identity and float
        Who is calling, and the second since 1970 at which the token expires.

    Raises
    ------
    NotAuthenticated
        For anything but a token of ours that is in force.
    """
    try:
        decoded = jwt.decode(token, key, algorithms=_ALGORITHMS)
    except (JoseError, ValueError, TypeError, UnicodeError, RecursionError):
        raise NotAuthenticated("Unauthorized (invalid or expired token)") from None
    claims: dict[str, Any] = decoded.claims
    if set(decoded.header) - {"alg", "typ"} or not _in_force(claims, audiences):
        raise NotAuthenticated("Unauthorized (invalid or expired token)")
    identity = Identity(
        name=claims["sub"], role=Role(claims["role"]), local=claims["local"] is True, session=claims["sid"]
    )
    return identity, float(claims["exp"])


def _in_force(claims: dict[str, Any], audiences: tuple[str, ...]) -> bool:
    texts = all(isinstance(claims.get(name), str) for name in ("sub", "role", "sid", "aud"))
    exp = claims.get("exp")
    return (
        texts
        and claims.get("iss") == ISSUER
        and claims["aud"] in audiences
        and claims.get("use") == ACCESS
        and claims["role"] in _ROLES
        and claims["sub"] != ""
        and isinstance(claims.get("local"), bool)
        and isinstance(exp, int)
        and not isinstance(exp, bool)
        and time.time() < exp + LEEWAY
    )
