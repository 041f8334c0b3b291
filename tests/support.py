"""A real server on a data directory of its own, and a plain HTTP client for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

PASSWORD = "correct horse battery staple"
ADMIN_VARIABLE = "JUPYTER_MLOPS_ADMIN_PASSWORD"


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class RunningServer:
    """`python -m jupyter_mlops serve` as a process, with requests as the account that runs it."""

    def __init__(self, data_dir: Path, *arguments: str, launch: tuple[str, ...] = ("-m", "jupyter_mlops")) -> None:
        self.data_dir = data_dir
        self.arguments = arguments
        self.launch = launch
        self.process: subprocess.Popen[str]
        self.start()

    def start(self) -> None:
        command = [sys.executable, *self.launch, "serve", "--port=0", f"--data-dir={self.data_dir}"]
        if not any("common_modules" in argument for argument in self.arguments):
            command.append("--ServeApp.common_modules=")  # most tests need none, and all would wait for them
        self.log = (self.data_dir.parent / f"{self.data_dir.name}.log").open("a")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER_MLOPS")}
        self.process = subprocess.Popen(
            [*command, *self.arguments],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment | {ADMIN_VARIABLE: PASSWORD},
        )
        line = self.process.stdout.readline()
        assert line.startswith("jupyter-mlops ready at http://"), (line, Path(self.log.name).read_text())
        self.url = line.split()[-1]
        self.token = json.loads((self.data_dir / "server.json").read_text())["token"]
        self.http = urllib3.PoolManager(retries=False, maxsize=32)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        headers: Any = None,
        timeout: float = 60,
    ) -> Answer:
        """Send a request; `token=None` sends no credential, and bytes are sent as they are."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.http.request(method, self.url + path, body=data, headers=sent, timeout=timeout)
        return Answer(answer.status, answer.headers, answer.data)

    def publish_code(
        self, name: str, version: str, code: str, inputs: str = "", outputs: str = "", **more: Any
    ) -> Answer:
        """Publish code; `inputs` and `outputs` are written like `x:numeric,y:vector`."""
        request = {
            "code": code,
            "inputParameterDefinitions": parameters(inputs),
            "outputParameterDefinitions": parameters(outputs),
            **more,
        }
        return self.request("POST", f"/services/{name}/{version}", request)

    def call(self, name: str, version: str = "latest", **inputs: Any) -> Answer:
        return self.request("POST", f"/api/{name}/{version}", inputs)

    def kernels(self, name: str, version: str) -> list[int]:
        services = self.request("GET", "/status").json()["components"]["services"]["components"]
        return [kernel["pid"] for kernel in services[f"{name}/{version}"]["details"]["kernels"]]

    def processes(self) -> list[psutil.Process]:
        """Every process that this server started, and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, *, kill: bool = False) -> int:
        self.http.clear()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.log.close()
        return code


def parameters(text: str) -> list[dict[str, str]]:
    pairs = [part.partition(":") for part in text.split(",") if part]
    return [{"name": name, "type": kind} for name, _, kind in pairs]


def eventually(condition, seconds: float = 10.0, every: float = 0.05):
    """Wait until the condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(every)
    pytest.fail(f"not within {seconds} s: {condition}")
