"""The load: what is sent, whether the answer is right, and `wrk` that sends it."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

WARM_UP_SECONDS = 1
ARROW = "application/vnd.apache.arrow.stream"
_RESULT = "RESULT "

_SCRIPT = """
wrk.method = "POST"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
{headers}

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{marker}{{"requests": %.0f, "seconds": %.6f, "p50_ms": %.6f, "p99_ms": %.6f, ' ..
    '"refused": %.0f, "broken": %.0f}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""

_http = urllib3.PoolManager(retries=False)


class BenchmarkError(Exception):
    """The run cannot go on, and the message says why."""


@dataclass(frozen=True)
class Target:
    """An address, what is sent to it, and what must come back."""

    url: str
    body: dict[str, Any] | bytes
    """JSON, or an Arrow stream."""
    answer: float
    path: tuple[str | int, ...] = ("answer",)
    """Where the answer stands in the JSON that comes back; of Arrow the column, and the row."""
    token: str = ""
    tolerance: float = 1e-9

    def headers(self) -> dict[str, str]:
        """What goes with every request."""
        media = ARROW if isinstance(self.body, bytes) else "application/json"
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"Content-Type": media, "Accept": media} | bearer

    def content(self) -> bytes:
        """The body, as it is sent."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def check(self) -> None:
        """Send one request.

        Raises
        ------
        BenchmarkError
            When the answer is not the right one: fast and wrong does not count.
        """
        reply = _http.request("POST", self.url, body=self.content(), headers=self.headers(), timeout=60)
        read = _arrow if isinstance(self.body, bytes) else json.loads
        found: Any = read(reply.data) if reply.status == 200 else None
        for key in self.path if found is not None else ():
            found = found[key] if isinstance(found, list) or key in found else {}
        if not isinstance(found, int | float) or not math.isclose(found, self.answer, rel_tol=self.tolerance):
            raise BenchmarkError(f"{self.url}: expected {self.answer}, got {reply.status} {reply.data[:400]!r}")


def _arrow(body: bytes) -> dict[str, list[Any]]:
    import pyarrow as pa

    found: dict[str, list[Any]] = pa.ipc.open_stream(body).read_all().to_pydict()
    return found


def wrk() -> str:
    """Path of the load generator.

    Raises
    ------
    BenchmarkError
        When it is not installed.
    """
    found = shutil.which("wrk")
    if found is None:
        raise BenchmarkError(
            "the load generator `wrk` is not installed: `apt install wrk` on Debian and Ubuntu, "
            "`brew install wrk` on macOS, or https://github.com/wg/wrk"
        )
    return found


def measure(target: Target, clients: int, seconds: int) -> dict[str, float]:
    """Check the answer, warm up, and send as many calls as the target takes.

    Parameters
    ----------
    target:
        What is called.
    clients:
        Connections that are kept busy.
    seconds:
        How long.

    Returns
    -------
    dict
        `calls_per_second`, `p50_ms`, `p99_ms`.

    Raises
    ------
    BenchmarkError
        When an answer is wrong, or any answer was an error.
    """
    target.check()
    _send(target, clients, WARM_UP_SECONDS)
    target.check()  # it waits its turn behind what the warm-up left, so that none of that is counted
    found = _send(target, clients, seconds)
    return {
        "calls_per_second": found["requests"] / found["seconds"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
    }


def _send(target: Target, clients: int, seconds: int) -> dict[str, float]:
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in target.headers().items())
    with tempfile.TemporaryDirectory(prefix="jupyter-mlops-wrk-") as directory:
        script = Path(directory) / "call.lua"
        body = Path(directory) / "body"
        body.write_bytes(target.content())
        script.write_text(_SCRIPT.format(body=body, headers=headers, marker=_RESULT))
        script.chmod(0o600)  # it holds a token
        command = [wrk(), "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout=10s", "--latency", "-s", str(script)]
        ended = subprocess.run([*command, target.url], capture_output=True, text=True, check=False)
    lines = [line.removeprefix(_RESULT) for line in ended.stdout.splitlines() if line.startswith(_RESULT)]
    if ended.returncode != 0 or not lines:
        raise BenchmarkError(f"wrk failed on {target.url}:\n{ended.stdout}{ended.stderr}")
    found: dict[str, float] = json.loads(lines[-1])
    if found["refused"] or found["broken"] or not found["requests"]:
        raise BenchmarkError(f"not every call of {target.url} was answered with success:\n{ended.stdout}")
    return found
