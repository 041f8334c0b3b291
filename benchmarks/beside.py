"""Single calls beside a batch of the same service: what it leaves of their tail."""

from __future__ import annotations

import time
from typing import Any

from load import Target, measure

CLIENTS = 4
SECONDS = 4
ROWS = 1_000_000


def beside(server: Any, name: str) -> dict[str, float]:
    """Call a service that adds two numbers, alone and then beside a batch of a million rows.

    Parameters
    ----------
    server:
        The `RunningServer` under measurement.
    name:
        A published service with inputs `a` and `b` and the output `answer`.

    Returns
    -------
    dict
        `alone ms` and `beside ms`, the 99th percentiles; `rows/s` of the batch; and the `figure`, how many times.
    """
    target = Target(f"{server.url}/api/{name}/1", {"a": 1.5, "b": 2}, 3.5, ("outputParameters", "answer"), server.token)
    alone = measure(target, CLIENTS, SECONDS)["p99_ms"]
    records = {"a": [1.5] * ROWS, "b": [2.0] * ROWS}
    batch = server.request("POST", f"/api/{name}/1/batch", records, timeout=100).json()["batchExecutionId"]
    began, before = time.perf_counter(), _completed(server, batch)
    with_batch = measure(target, CLIENTS, SECONDS)["p99_ms"]
    rate = (_completed(server, batch) - before) / (time.perf_counter() - began)
    server.request("DELETE", f"/api/{name}/1/batch/{batch}")
    return {"alone ms": alone, "beside ms": with_batch, "rows/s": rate, "figure": with_batch / alone}


def _completed(server: Any, batch: str) -> int:
    return int(server.request("GET", f"/batches/{batch}").json()["completed"])
