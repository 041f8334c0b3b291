"""Batches in real kernels: with somebody at the notebook, and run by a program."""

from __future__ import annotations

import os
import time
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from support import eventually

from jupyter_mlops import DeployClient

ROOT = Path(__file__).parents[2]
WIDGET = "application/vnd.jupyter.widget-view+json"
RECORDS = "[{'x': n} for n in range(150)]"


@pytest.fixture(scope="module")
def client(server):
    """A client, and two services: one that takes a while for each row, one that would take for ever."""
    with DeployClient(server.url, auth=server.token) as client:

        def nap(x: int) -> int:
            import time

            time.sleep(0.01)
            return 2 * x

        def sleep(x: int) -> int:
            import time

            time.sleep(600)
            return x

        client.deploy_service("nap", version="1", code_fn=nap)
        client.deploy_service("sleep", version="1", code_fn=sleep)
        yield client


@pytest.fixture
def connected(client, server, monkeypatch):
    """Kernels find the server."""
    monkeypatch.setenv("JUPYTER_MLOPS_URL", server.url)
    monkeypatch.setenv("JUPYTER_MLOPS_TOKEN", server.token)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    return client


class Kernel:
    """A kernel, driven as JupyterLab does."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(60)
        self.messages: list = []

    def run(self, code: str) -> list:
        """Run a cell, and return the messages of its own that came until it was done."""
        identifier = self.client.execute(code, allow_stdin=True)
        since = len(self.messages)
        while not any(self._ends(message, identifier) for message in self.messages[since:]):
            self.messages.append(self.client.get_iopub_msg(timeout=60))
        return [one for one in self.messages[since:] if one["parent_header"].get("msg_id") == identifier]

    def hear(self, kind: str, holds: str) -> dict:
        """Wait for a message that comes by itself, and has a text in it."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            message = self.client.get_iopub_msg(timeout=60)
            self.messages.append(message)
            if message["msg_type"] == kind and holds in repr(message["content"]):
                return message["content"]
        pytest.fail(f"no {kind} with {holds}")

    def end(self) -> int | None:
        """Ask it to end, and return its exit code."""
        process = self.manager.provisioner.process
        self.client.shutdown()
        self.client.stop_channels()
        eventually(lambda: process.poll() is not None, 30)
        code = process.poll()
        self.manager.cleanup_resources()
        return code

    def _ends(self, message, identifier) -> bool:
        return (
            message["parent_header"].get("msg_id") == identifier
            and message["msg_type"] == "status"
            and message["content"]["execution_state"] == "idle"
        )


@pytest.fixture
def kernel(connected):
    kernel = Kernel()
    yield kernel
    if kernel.manager.is_alive():
        kernel.end()


def displays(messages):
    return [one["content"] for one in messages if one["msg_type"] == "display_data"]


@pytest.mark.slow
def test_with_somebody_there_it_is_widgets_that_move_and_a_picture_that_stays(kernel, connected):
    kernel.run("%load_ext jupyter_mlops")
    (shown,) = displays(kernel.run(f"%batch nap/1 {RECORDS} --as job"))
    assert {WIDGET, "text/html", "text/plain"} == set(shown["data"])
    assert "of 150 rows" in shown["data"]["text/plain"]
    kernel.hear("comm_msg", "rows/s")
    last = kernel.hear("update_display_data", "Complete, 150 of 150 rows")
    assert last["transient"]["display_id"] == shown["transient"]["display_id"]
    assert last["data"][WIDGET]["model_id"] == shown["data"][WIDGET]["model_id"], "its buttons stay"
    assert "<script" not in last["data"]["text/html"]
    (again,) = displays(kernel.run("job"))
    assert again["data"][WIDGET]["model_id"] == shown["data"][WIDGET]["model_id"], "one monitor, shown twice"
    (third,) = displays(kernel.run("job.monitor(); 1"))
    assert WIDGET in third["data"]
    eventually(lambda: "jupyter-mlops-batch" not in threads(kernel))


def threads(kernel):
    ran = kernel.run("import threading; print([one.name for one in threading.enumerate()])")
    return next(one["content"]["text"] for one in ran if one["msg_type"] == "stream")


@pytest.mark.slow
def test_a_kernel_that_watches_ends_when_it_is_told_and_another_attaches(kernel, connected):
    (shown,) = displays(kernel.run(f"%load_ext jupyter_mlops\n%batch sleep/1 {RECORDS}"))
    (identifier,) = [one.id for one in connected.batches() if one.name == "sleep"]
    assert identifier in shown["data"]["text/plain"]
    assert "jupyter-mlops-batch" in threads(kernel)
    assert kernel.end() == 0
    assert connected.get_batch(identifier).state() == "InProgress"
    other = Kernel()
    (shown,) = displays(other.run(f"%load_ext jupyter_mlops\n%batch attach {identifier} --as job"))
    assert WIDGET in shown["data"]
    other.run("job.cancel()")
    other.hear("update_display_data", "Cancelled")
    assert other.end() == 0


def test_run_by_a_program_the_notebook_keeps_the_last_state(connected, tmp_path):
    cells = ["%load_ext jupyter_mlops", f"%batch nap/1 {RECORDS} --as job", "job.wait(progress=False).state", "job"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
    for number in (1, 3):
        (output,) = notebook.cells[number].outputs
        assert output.output_type == "display_data"
        assert set(output.data) == {"text/html", "text/plain"}, "nothing that needs a kernel"
        assert "Complete, 150 of 150 rows" in output.data["text/plain"]
        assert "Newest results" in output.data["text/html"]
    assert "widgets" not in notebook.metadata
