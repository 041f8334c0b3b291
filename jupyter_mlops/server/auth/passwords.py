"""Passwords: hashed with Argon2id, checked in constant effort."""

from __future__ import annotations

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from jupyter_mlops.errors import InvalidRequest

MINIMUM = 12
MAXIMUM = 128
_LONGEST_CHECKED = 1024
"""Characters of an attempt that are looked at; longer passwords than today's rule allows were once set."""

_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """Hash a password for storage.

    Raises
    ------
    InvalidRequest
        When it is shorter than 12 characters, or longer than 128; there is no other rule.
    """
    if not MINIMUM <= len(password) <= MAXIMUM:
        raise InvalidRequest(
            f"a password has {MINIMUM} to {MAXIMUM} characters, of any kind; this one has {len(password)}",
            fields="$.password",
        )
    return _hasher.hash(password)


def check_password(stored: str | None, password: str) -> bool:
    """Whether the password is right; as slow for an unknown user (`stored` is None) as for a known one."""
    try:
        _hasher.verify(stored or _nobody(), password[: _LONGEST_CHECKED + 1])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


@cache
def _nobody() -> str:
    """A hash that no password has, made when it is first needed: it takes as long as any."""
    return _hasher.hash("nobody has this password")
