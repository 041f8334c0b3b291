"""Publishing functions of a test as a Python program does."""

import itertools

import pytest

from jupyter_mlops import DeployClient

_names = itertools.count(1)


@pytest.fixture
def client(server):
    return DeployClient(server.url, auth=server.token)


@pytest.fixture
def publish(client):
    """Publish a function under a new name; types by keyword, such as `x=float`; with sample `row`s it is batchable."""

    def deploy(
        function, outputs=None, *, init=None, artifacts=(), objects=None, timeout=None, row=None, pool=None, **inputs
    ):
        definition = client.service(f"service{next(_names)}").version("1").code_fn(function, init)
        definition = definition.inputs(**inputs).artifacts(list(artifacts)).objects(**(objects or {}))
        if row is not None:
            definition = definition.batchable().sample(row)
        definition = definition.pool(**(pool or {}))
        if outputs is None:
            outputs = {"answer": float}
        definition = definition.outputs(**outputs)
        if timeout is not None:
            definition = definition.timeout(timeout)
        return definition.deploy()

    return deploy
