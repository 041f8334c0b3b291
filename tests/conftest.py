"""A real server for the tests that need one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from jupyter_mlops.discovery import read_server_file

PASSWORD = "a password for the tests"


@dataclass
class Server:
    """A server process of its own, with its data directory."""

    url: str
    token: str
    data_dir: Path
    process: subprocess.Popen


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("server") / "data"
    environment = dict(os.environ, JUPYTER_MLOPS_ADMIN_PASSWORD=PASSWORD)
    with (data_dir.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_mlops", "serve", "--port", "0", "--data-dir", data_dir],
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
        )
    line = process.stdout.readline()
    assert "ready at" in line, (data_dir.parent / "log").read_text()
    found = read_server_file(data_dir)
    yield Server(found.url, found.token, data_dir, process)
    process.terminate()
    process.wait(timeout=20)
    process.stdout.close()
