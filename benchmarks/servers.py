"""The contestants as processes, and what each of them serves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import models
import work
from load import BenchmarkError, Target
from publish import NotThere, publish

from jupyter_mlops import DeployClient
from jupyter_mlops.discovery import ServerFile, running_server

HERE = Path(__file__).parent
STOP_SECONDS = 60

TORNADO, FASTAPI, MLSERVER, OURS = "bare Tornado", "FastAPI", "MLServer", "jupyter_mlops"
FLOORS = {TORNADO: "floors.bare_tornado", FASTAPI: "floors.fastapi_uvicorn", MLSERVER: "floors.mlserver_cars"}
MLSERVER_PYTHON = "MLSERVER_PYTHON"
"""The variable that names a Python with MLServer, which wants older packages than ours."""

ADD, CARS, CARS_ROWS, BURN_1, BURN_2 = "add", "cars", "cars batchable", "burn, 1 kernel", "burn, 2 kernels"
STARTED = "cars to be restarted"
"""A service of its own for the kernel that is killed, so that the others stay warm."""
ECHO, CARS_ONNX = "echo", "cars as ONNX"
FRAMES = {name: f"{models.ROWS:,} rows of Arrow, {name} model" for name in (models.LINEAR, models.TREE)}

_CAR = {"hp": 120.0, "wt": 2.8}
_ROW = {"inputData": {name: [value] for name, value in _CAR.items()}}


class Process:
    """A server that says on its first line of output where it listens.

    Parameters
    ----------
    arguments:
        What follows the name of the interpreter.
    log:
        Where its standard error goes.
    python:
        The interpreter.
    """

    def __init__(self, arguments: Iterable[str], log: Path, python: str = sys.executable) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER_MLOPS")}
        with log.open("w") as sink:
            self._process = subprocess.Popen(
                [python, *arguments],
                stdout=subprocess.PIPE,
                stderr=sink,
                cwd=HERE,
                env=environment,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if " ready at " not in f" {line}":
            self.stop()
            raise BenchmarkError(f"{' '.join(arguments)} did not start:\n{log.read_text()[-4000:]}")
        self.url = line.split()[-1]

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Servers:
    """The floors and our server, with their services published; a context manager.

    Parameters
    ----------
    wanted:
        (server, service) pairs that will be measured; only these are started and published. Our server
        with no service, `""`, is the server alone.
    """

    def __init__(self, wanted: Iterable[tuple[str, str]]) -> None:
        self._wanted = set(wanted)
        self._stack = ExitStack()
        self._targets: dict[tuple[str, str], Target] = {}
        self.missing: dict[tuple[str, str], str] = {}
        """Pairs that this version of the package cannot serve, with the reason."""
        self.client: DeployClient
        self.found: ServerFile

    def __enter__(self) -> Self:
        with self._stack:
            directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="jupyter-mlops-bench-")))
            for server in sorted({server for server, _ in self._wanted} & {TORNADO, FASTAPI}):
                self._start_floor(server, directory)
            if (MLSERVER, CARS) in self._wanted:
                self._start_mlserver(directory)
            if any(server == OURS for server, _ in self._wanted):
                self._start_ours(directory)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def target(self, server: str, service: str) -> Target:
        """What to call for a service of a server."""
        return self._targets[server, service]

    def pool(self, service: str) -> dict[str, Any]:
        """What the pool of one of our services is doing now."""
        name = _NAMES[service]
        found: dict[str, Any] = self.client.transport.json("GET", f"/services/{name}/1.0/pool/kernels")
        return found

    def _start_floor(self, server: str, directory: Path) -> None:
        process = Process(["-m", FLOORS[server]], directory / f"{FLOORS[server]}.log")
        self._stack.callback(process.stop)
        x, y = 1.5, 2.25
        self._targets[server, ADD] = Target(f"{process.url}/add", {"x": x, "y": y}, x + y)
        self._targets[server, CARS] = Target(f"{process.url}/cars", _CAR, work.cars(**_CAR))

        self._targets[server, ECHO] = Target(f"{process.url}/echo", _ROW, _CAR["hp"], ("inputData", "hp", 0))
        self._targets[server, CARS_ONNX] = Target(f"{process.url}/cars-onnx", _CAR, work.cars(**_CAR), tolerance=1e-5)
        for name, service in FRAMES.items():
            if (server, service) in self._wanted:
                self._targets[server, service] = _of_frames(f"{process.url}/frames/{name}", name)

    def _start_mlserver(self, directory: Path) -> None:
        python = os.environ.get(MLSERVER_PYTHON, "")
        if not python:
            reason = (
                f"set {MLSERVER_PYTHON} to the Python of a virtual environment with "
                "`pip install mlserver scikit-learn pandas`"
            )
            self.missing[MLSERVER, CARS] = reason
            return
        process = Process(["-m", FLOORS[MLSERVER]], directory / "mlserver.log", python)
        self._stack.callback(process.stop)
        tensors = [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in _CAR.items()]
        url = f"{process.url}/v2/models/cars/infer"
        path = ("outputs", 0, "data", 0)
        self._targets[MLSERVER, CARS] = Target(url, {"inputs": tensors}, work.cars(**_CAR), path, tolerance=1e-5)

    def _start_ours(self, directory: Path) -> None:
        """Start it as users do: tokens, checks, metrics, an access log in a file, and what functions print is kept."""
        data = directory / "data"
        process = Process(
            ["-m", "jupyter_mlops", "serve", "--port", "0", "--data-dir", str(data)], directory / "server.log"
        )
        self._stack.callback(process.stop)
        found = running_server(data)
        assert found is not None
        self.found = found
        self.client = self._stack.enter_context(DeployClient(found.url, found.token))
        for server, service in sorted(self._wanted):
            if server == OURS and service:
                try:
                    self._publish(service)
                except NotThere as reason:
                    self.missing[server, service] = str(reason)

    def _publish(self, service: str) -> None:
        if service == CARS_ONNX or service in FRAMES.values():
            self._publish_model(service)
            return
        name, client = _NAMES[service], self.client
        body: dict[str, Any] = dict(_CAR)
        answer = work.cars(**_CAR)
        if service == ADD:
            body, answer = {"x": 1.5, "y": 2.25}, 3.75
            publish(client, name, work.add)
        elif service == CARS:
            publish(client, name, work.cars, maximum=1)
        elif service == STARTED:
            publish(client, name, work.cars)
        elif service == CARS_ROWS:
            declared = {"inputs": {"hp": float, "wt": float}, "outputs": {"answer": float}}
            publish(client, name, work.cars_rows, maximum=1, batchable=tuple(_CAR.values()), **declared)
        else:
            body = {"steps": work.steps_of_a_call()}
            answer = work.burn(**body)
            publish(client, name, work.burn, maximum=1 if service == BURN_1 else 2)
        self._targets[OURS, service] = self.ours(name, body, answer)

    def _publish_model(self, service: str) -> None:
        name = next((name for name, title in FRAMES.items() if title == service), models.CAR)
        published = f"realtime-{name}"
        self.client.deploy_realtime(published, version="1.0", serialized_model=models.box(name))
        url, token = f"{self.found.url}/api/{published}/1.0", self.found.token
        path = ("outputParameters", "outputData", "probability_1", 0)
        target = Target(url, _ROW, work.cars(**_CAR), path, token, 1e-5)
        self._targets[OURS, service] = target if name == models.CAR else _of_frames(url, name, token)

    def ours(self, name: str, body: dict[str, Any], answer: float) -> Target:
        """What to call for a service of our server by its name."""
        path = ("outputParameters", "answer")
        return Target(f"{self.found.url}/api/{name}/1.0", body, answer, path, self.found.token)


def _of_frames(url: str, name: str, token: str = "") -> Target:
    last = float(models.model(name).predict(models.matrix()[-1:])[0])
    return Target(url, models.frame(), last, ("prediction", models.ROWS - 1), token, 1e-4)


_NAMES = {
    ADD: "add",
    CARS: "cars",
    CARS_ROWS: "cars-rows",
    BURN_1: "burn-1",
    BURN_2: "burn-2",
    STARTED: "cars-restarted",
}
