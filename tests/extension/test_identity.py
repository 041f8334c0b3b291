"""Who is calling: the account behind Jupyter's one secret, or the name that a provider knows."""

from __future__ import annotations

import getpass

import pytest
from jupyter_server.auth import IdentityProvider, PasswordIdentityProvider, User

from jupyter_mlops.extension.identity import identify, jwt_or
from jupyter_mlops.schema.access import Role

GENERATED = User(username="0123456789abcdef0123456789abcdef", name="Anonymous Io")


class KnowsPeople(IdentityProvider):
    """As a hub's provider, which gives real names."""


class OnlyLooksElse(PasswordIdentityProvider):
    """A provider of one's own that still invents names."""


@pytest.mark.parametrize("provider", [IdentityProvider, PasswordIdentityProvider, OnlyLooksElse])
def test_whoever_holds_jupyters_secret_is_the_account(provider):
    identity = identify(GENERATED, provider())
    assert (identity.name, identity.role, identity.local) == (getpass.getuser(), Role.OWNER, True)


def test_a_stock_provider_knows_no_names():
    assert identify(User(username="ann"), IdentityProvider()).name == getpass.getuser()


def test_a_provider_that_knows_people_is_believed():
    assert identify(User(username="ann"), KnowsPeople()).name == "ann"


@pytest.mark.parametrize("header", ["", "token abc", "Bearer abc", "Basic a.b.c", "Bearer a.b.c d"])
def test_what_is_no_jwt_stays_in_jupyter(header):
    assert jwt_or(header, None) is None
    assert jwt_or(header, "x.y.z") == "Bearer x.y.z"


def test_the_callers_own_jwt_comes_first():
    assert jwt_or("Bearer a-1.b_2.c", "x.y.z") == "Bearer a-1.b_2.c"
