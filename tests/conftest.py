"""Fixtures that every suite shares."""

from pathlib import Path

import pytest
from support import RunningServer


@pytest.fixture
def start_server(tmp_path):
    """Start servers by hand; each is stopped at the end."""
    servers = []

    def start(*arguments: str, data_dir: Path | None = None, **more) -> RunningServer:
        server = RunningServer(data_dir or tmp_path / "data", *arguments, **more)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the tests of a module."""
    running = RunningServer(tmp_path_factory.mktemp("mlops") / "data")
    yield running
    assert running.stop() == 0
