"""The server's life is its own: who starts it, who shares it, who may end it."""

from __future__ import annotations

import threading
import time

import pytest
from jupyter_processes import eventually, server_process

pytest_plugins = ["jupyter_fixtures"]
CODE = {"code": "a = 1", "outputParameterDefinitions": [{"name": "a", "type": "numeric"}]}


def test_opening_jupyter_starts_nothing(start_jupyter, tmp_path):
    jupyter = start_jupyter()
    assert jupyter.request("GET", "api/contents").status == 200
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_two_jupyters_share_a_server_that_outlives_them(start_jupyter, tmp_path):
    first, second = start_jupyter(), start_jupyter()
    assert first.request("POST", "mlops/services/kept/1", CODE).status == 201
    (shown,) = second.request("GET", "mlops/services").json()
    assert shown["name"] == "kept"
    process = server_process(tmp_path / "data")
    first.stop()
    second.stop()
    third = start_jupyter()
    assert third.request("POST", "mlops/api/kept/1", {}).json()["outputParameters"] == {"a": 1}
    assert server_process(tmp_path / "data") == process


@pytest.mark.slow
def test_jupyter_answers_while_the_server_starts(start_jupyter, tmp_path):
    jupyter = start_jupyter()
    asking = [threading.Thread(target=jupyter.request, args=("GET", "mlops/services")) for _ in range(3)]
    for thread in asking:
        thread.start()
    longest = 0.0
    while any(thread.is_alive() for thread in asking):
        began = time.monotonic()
        assert jupyter.request("GET", "api/status").status == 200
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.5
    assert jupyter.output().count("Started a jupyter_mlops server") == 1


@pytest.mark.slow
def test_a_killed_server_is_replaced_with_its_services(start_jupyter, tmp_path):
    jupyter = start_jupyter()
    assert jupyter.request("POST", "mlops/services/kept/1", CODE).status == 201
    killed = server_process(tmp_path / "data")
    killed.kill()
    eventually(lambda: server_process(tmp_path / "data") is None)
    # A call that met the dying process is not repeated by itself: it may have run.
    eventually(lambda: jupyter.request("GET", "mlops/health").status == 200)
    assert jupyter.request("POST", "mlops/api/kept/1", {}).json()["outputParameters"] == {"a": 1}
    assert server_process(tmp_path / "data").pid != killed.pid


@pytest.mark.slow
def test_a_server_that_was_already_there_is_used(start_jupyter, start_server, tmp_path):
    server = start_server()
    jupyter = start_jupyter("--MLOpsExtension.stop_with_jupyter=True", data_dir=server.data_dir)
    assert jupyter.request("GET", "mlops/health").json() == server.request("GET", "/health").json()
    jupyter.stop()
    assert server.request("GET", "/health").status == 200  # not ours to stop


@pytest.mark.slow
def test_stop_with_jupyter(start_jupyter, tmp_path):
    jupyter = start_jupyter("--MLOpsExtension.stop_with_jupyter=True")
    assert jupyter.request("GET", "mlops/services").status == 200
    process = server_process(tmp_path / "data")
    jupyter.stop()
    assert not process.is_running()
