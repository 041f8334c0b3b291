"""Real Jupyter servers as processes, each with its own configuration and the data directory it is given."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import urllib3

TOKEN = "a-jupyter-token"
BASE = "/user/ann%40example.org/"
PASSWORD = "correct horse battery staple"


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class RunningJupyter:
    """`jupyter server` or `jupyter lab`, below a prefix, as a hub would start it."""

    def __init__(self, home: Path, data_dir: Path, *arguments: str, program: str = "jupyter_server") -> None:
        self.home = home
        self.data_dir = data_dir
        port = free_port()
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}{BASE}"
        (home / "config" / "labconfig").mkdir(parents=True)
        (home / "work").mkdir()
        # JupyterLab's question about news would lie over the page.
        disabled = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (home / "config" / "labconfig" / "page_config.json").write_text(json.dumps(disabled))
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY_"))}
        places = {f"JUPYTER_{name.upper()}_DIR": str(home / name) for name in ("config", "data", "runtime")}
        self.log = (home / "jupyter.log").open("w")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", program, "--allow-root", "--no-browser", "--ip=127.0.0.1"),
                *(f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
                *(f"--ServerApp.base_url={BASE}", *arguments),
            ],
            cwd=home / "work",
            env=environment
            | places
            | {"JUPYTER_MLOPS_DATA_DIR": str(data_dir), "JUPYTER_MLOPS_ADMIN_PASSWORD": PASSWORD},
            stdout=self.log,
            stderr=self.log,
        )
        self.http = urllib3.PoolManager(retries=False)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return self.request("GET", "api/status").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def request(
        self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN, headers: Any = None
    ) -> Answer:
        """Send a request below the prefix, as the holder of Jupyter's token; `token=None` sends none."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"token {token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.http.request(method, self.url + path, body=data, headers=sent, redirect=False, timeout=60)
        return Answer(answer.status, answer.headers, answer.data)

    def log_in(self) -> dict[str, str]:
        """Log in as a browser does, and return the headers of its next requests."""
        answer = self.request("GET", "tree", token=None)
        page = self.http.request("GET", f"{self.url}login", redirect=False)
        cookies = cookies_of(page)
        form = {"password": TOKEN, "_xsrf": cookies["_xsrf"]}
        answer = self.http.request(
            "POST", f"{self.url}login", fields=form, encode_multipart=False, redirect=False,
            headers={"Cookie": cookie_header(cookies)},
        )  # fmt: skip
        assert answer.status == 302, answer.data
        return {"Cookie": cookie_header(cookies | cookies_of(answer)), "X-XSRFToken": cookies["_xsrf"]}

    def memory(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss

    def output(self) -> str:
        return Path(self.log.name).read_text()

    def stop(self) -> None:
        self.http.clear()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def cookies_of(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    pairs = [line.partition(";")[0].partition("=") for line in answer.headers.getlist("Set-Cookie")]
    return {name: value for name, _, value in pairs}


def cookie_header(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition, seconds: float = 10.0):
    """Wait until the condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def server_process(data_dir: Path) -> psutil.Process | None:
    """The server of a data directory, if it runs."""
    try:
        process = psutil.Process(json.loads((data_dir / "server.json").read_text())["pid"])
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return process if process.status() != psutil.STATUS_ZOMBIE else None


def stop_server(data_dir: Path) -> None:
    """End a server that was started by Jupyter and outlives it."""
    process = server_process(data_dir)
    if process is not None:
        process.terminate()
        process.wait(timeout=30)
