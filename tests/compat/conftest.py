"""The ways that lead the old SDK to a server."""

from __future__ import annotations

import pytest
from azsdk import Sdk, through_jupyter
from support import PASSWORD


@pytest.fixture(scope="module", params=["directly", pytest.param("jupyter", marks=pytest.mark.slow)])
def sdk(request, server):
    """The address and the credential that an old notebook would have."""
    sdk = Sdk(server.url, ("admin", PASSWORD)) if request.param == "directly" else through_jupyter(request)
    yield sdk
    sdk.close()


@pytest.fixture(scope="module")
def client(sdk):
    return sdk.connect(sdk.auth)
