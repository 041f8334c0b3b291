"""Batches on a real Dask cluster of two worker processes: as on this machine, whatever is lost meanwhile."""

import contextlib
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from support import RunningServer, eventually

from jupyter_mlops import DeployClient

CODE = """
import os
if x == 5 and not os.path.exists(good): raise ValueError(f'no {x}')
if x == 11: os._exit(3)
print('row', x)
open('note.txt', 'w').write(str(x))
y = x * 0.1
"""
RUN = "import sys; from jupyter_mlops.cli import main; sys.argv[0] = 'mlops'; sys.exit(main())"


class Cluster:
    """A scheduler on a port of its own, and two workers that are started again when they end."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.log = (folder / "cluster.log").open("a")
        self.folder = folder
        self.start()

    def process(self, kind, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, start_new_session=True)

    def start(self):
        """Start all of it; workers do not outlive their scheduler."""
        self.scheduler = self.process("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        options = ("--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--death-timeout", "60")
        folders = ("--local-directory", str(self.folder))
        self.workers = [self.process("worker", self.address, *options, *folders) for _ in range(2)]

    def end(self):
        for process in (self.scheduler, *self.workers):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def scoring(self):
        """The processes that run rows."""
        all_ = [process for worker in self.workers for process in psutil.Process(worker.pid).children(recursive=True)]
        return [process for process in all_ if "jupyter_mlops.runtime.remote" in " ".join(process.cmdline())]

    def close(self):
        self.end()
        self.log.close()


class Batch:
    """A batch that was submitted."""

    def __init__(self, server, name, records, query="?engine=dask"):
        self.server, self.base = server, f"/api/{name}/1/batch"
        answer = server.request("POST", self.base + query, records)
        assert answer.status == 202, answer
        self.path = f"{self.base}/{answer.json()['batchExecutionId']}"

    def progress(self):
        return self.server.request("GET", f"{self.path}/progress").json()

    def reaches(self, *states, seconds=60):
        return eventually(lambda: (p := self.progress())["state"] in states and p, seconds)

    def results(self):
        done = self.reaches("Complete", "Failed")
        assert done["state"] == "Complete", done
        return self.server.request("GET", self.path).json()["batchExecutionResults"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    running = Cluster(tmp_path_factory.mktemp("dask"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, cluster):
    running = RunningServer(tmp_path_factory.mktemp("mlops") / "data", f"--dask={cluster.address}")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def naps(server):
    code = "import time\ntime.sleep(x / 1000)\ny = x"
    assert server.publish_code("naps", "1", code, "x:numeric", "y:numeric").status == 201
    return "naps"


@pytest.mark.slow
class TestCluster:
    def test_results_artifacts_and_failures_are_those_of_this_machine(self, server, tmp_path):
        good = repr(str(tmp_path / "good"))
        published = server.publish_code(
            "echo", "1", f"good = {good}\n{CODE}", "x:integer", "y:numeric", outputFileNames=["note.txt"]
        )
        assert published.status == 201
        records = [{"x": n} for n in range(40)]
        there, here = (Batch(server, "echo", records, f"?engine={engine}") for engine in ("dask", "local"))
        found = there.results()
        assert found == here.results()
        assert [result["success"] for result in found] == [n not in {5, 11} for n in range(40)]
        assert "ValueError: no 5" in found[5]["errorMessage"]
        assert "3 times" in found[11]["errorMessage"]
        assert there.progress()["artifacts"] == 38
        (tmp_path / "good").touch()
        assert server.request("POST", f"{there.path}/retry").status == 200
        again = there.results()
        assert again[5]["outputParameters"] == {"y": 0.5}
        assert [result for n, result in enumerate(again) if n not in {5, 11}] == [
            result for n, result in enumerate(found) if n not in {5, 11}
        ]

    def test_a_snapshot_is_shipped_and_rows_run_together(self, server):
        import numpy as np

        weights = np.arange(40_000, dtype=float)  # large enough to be a buffer of its own

        def weigh(x):
            return np.asarray(x) * weights[:2].sum()

        with DeployClient(server.url, auth=server.token) as client:
            definition = client.service("weigh").version("1").code_fn(weigh).inputs(x=float).outputs(y=float)
            service = definition.batchable().sample({"x": 1.0}).deploy()
            records = {"x": [n / 7 for n in range(25_000)]}
            there, here = (service.batch(records, engine=engine).start() for engine in ("dask", "local"))
            found = there.wait(progress=False)
            assert found.state == "Complete", found
            assert there.to_frame()["y"].equals(here.wait(progress=False) and here.to_frame()["y"])

    def test_a_row_past_its_deadline_fails_alone(self, server):
        code = "import time\nif x: time.sleep(30)\ny = x"
        assert server.publish_code("late", "1", code, "x:integer", "y:integer", timeout=1).status == 201
        first, second = Batch(server, "late", [{"x": 0}, {"x": 1}]).results()
        assert first["success"]
        assert "deadline of 1 s" in second["errorMessage"]

    def test_cancel_stops_what_runs_and_retry_goes_on(self, server, tmp_path):
        go = tmp_path / "go"
        code = f"import os, time\nwhile x and not os.path.exists({str(go)!r}): time.sleep(0.02)\ny = x"
        assert server.publish_code("stays", "1", code, "x:numeric", "y:numeric").status == 201
        batch = Batch(server, "stays", [{"x": 0}] * 20 + [{"x": 1}] * 2)
        eventually(lambda: batch.progress()["completed"] >= 8, 40)
        assert server.request("POST", f"{batch.path}/cancel").json()["state"] == "Cancelled"
        eventually(lambda: server.request("POST", f"{batch.path}/retry").status == 200, 5)
        assert batch.progress()["completed"] <= 20
        go.touch()
        assert [result["outputParameters"]["y"] for result in batch.results()] == [0] * 20 + [1] * 2

    def test_a_lost_worker_costs_its_rows_a_second_try(self, server, naps, cluster):
        batch = Batch(server, naps, [{"x": 50}] * 100)
        eventually(lambda: batch.progress()["completed"] >= 10, 40)
        (scoring, *_) = cluster.scoring()
        scoring.parent().kill()
        assert [result["outputParameters"]["y"] for result in batch.results()] == [50] * 100
        assert 0 < batch.progress()["attempts"] <= 40
        assert eventually(lambda: not cluster.scoring(), 10), "who runs no rows keeps no processes"

    def test_a_lost_scheduler_is_waited_for(self, server, naps, cluster):
        batch = Batch(server, naps, [{"x": 50}] * 100)
        eventually(lambda: batch.progress()["completed"] >= 10, 40)
        cluster.end()
        waiting = eventually(lambda: (p := batch.progress())["reason"] and p, 20)
        assert waiting["state"] == "InProgress"
        assert "Dask scheduler" in waiting["reason"]
        cluster.start()
        assert [result["outputParameters"]["y"] for result in batch.results()] == [50] * 100
        assert batch.progress()["reason"] == ""

    def test_the_batch_goes_on_when_the_server_or_its_driver_was_killed(self, server, naps):
        batch = Batch(server, naps, [{"x": 50}] * 120)
        eventually(lambda: batch.progress()["completed"] >= 10, 40)
        driver = next(p for p in server.processes() if "jupyter_mlops.driver.main" in " ".join(p.cmdline()))
        driver.kill()
        seen = batch.progress()["completed"]
        eventually(lambda: batch.progress()["completed"] > seen, 40)
        server.stop(kill=True)
        server.start()
        assert [result["outputParameters"]["y"] for result in batch.results()] == [50] * 120


def test_without_a_scheduler_the_engine_is_refused(start_server):
    server = start_server()
    assert server.publish_code("one", "1", "y = x", "x:numeric", "y:numeric").status == 201
    refused = server.request("POST", "/api/one/1/batch?engine=dask", [{"x": 1}])
    assert refused.status == 400
    assert "--dask tcp://HOST:PORT" in refused.json()["message"]
    assert refused.json()["fields"] == "engine"


def test_without_dask_the_line_to_install_it_is_told(start_server):
    launch = ("-c", f"import sys; sys.modules['distributed'] = None\n{RUN}")
    server = start_server("--dask=tcp://127.0.0.1:1", launch=launch)
    assert server.publish_code("one", "1", "y = x", "x:numeric", "y:numeric").status == 201
    refused = server.request("POST", "/api/one/1/batch?engine=dask", [{"x": 1}])
    assert refused.status == 400
    assert "pip install 'jupyter_mlops[dask]'" in refused.json()["message"]
