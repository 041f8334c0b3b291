"""The old SDK, imported in this one place: it needs the shim, and its import of `imp` warns."""

from __future__ import annotations

import json
import uuid
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "the imp module is deprecated", DeprecationWarning)
    import azsdk_shim
    from azureml.common.http_client import HttpException
    from azureml.deploy import DeployClient
    from azureml.deploy.server import MLServer

__all__ = ["HttpException", "MLServer", "Sdk", "azsdk_shim", "fresh", "through_jupyter"]


class Sdk:
    """Makes the SDK's clients, and closes their connections, which they leave to chance."""

    def __init__(self, url: str, auth: Any) -> None:
        self.url = url
        self.auth = auth
        self._opened = []

    def connect(self, auth: Any) -> Any:
        client = DeployClient(self.url, use=MLServer, auth=auth)
        self._opened.append(client._http_client)
        return client

    def ask(self, client: Any, path: str) -> Any:
        return json.loads(client._http_client.get(path).text)

    def close(self) -> None:
        for http in self._opened:
            http.close()


def fresh(name: str) -> str:
    """A name that no other test has: they share a server."""
    return f"{name}{uuid.uuid4().hex[:8]}"


def through_jupyter(request: Any) -> Sdk:
    """The module's server below a Jupyter server, with Jupyter's own token."""
    from jupyter_processes import TOKEN

    url = request.getfixturevalue("jupyter").url.replace("127.0.0.1", "localhost")
    return Sdk(f"{url}mlops", TOKEN)
