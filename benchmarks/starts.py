"""How long starting takes: a plain kernel, a kernel of ours, and a publish until its first answer."""

from __future__ import annotations

import itertools
import os
import signal
import statistics
import subprocess
import time

import work
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from jupyter_client.manager import KernelManager
from load import BenchmarkError, Target
from publish import publish
from servers import OURS, STARTED, Servers

IMPORTS = "import pandas, sklearn.linear_model"
"""What the revision of the other two needs."""

START_SECONDS = 120
WARM_CALLS = 9

_numbers = itertools.count(1)


def cold_kernel() -> float:
    """Seconds from starting an ipykernel through jupyter_client until it has done the imports."""
    manager = KernelManager(kernel_name=NATIVE_KERNEL_NAME)
    started = time.perf_counter()
    manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    try:
        client.start_channels()
        # Asked at once, without `wait_for_ready`, whose polling would make this look slower than it is.
        reply = client.execute_interactive(IMPORTS, timeout=START_SECONDS, store_history=False)
        seconds = time.perf_counter() - started
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if reply["content"]["status"] != "ok":
        raise BenchmarkError(f"the plain kernel could not run `{IMPORTS}`: {reply['content']}")
    return seconds


def new_kernel(servers: Servers) -> float:
    """Seconds that a call waits because its service's only kernel was killed: the call, minus a warm call."""
    target = servers.target(OURS, STARTED)
    warm = statistics.median(_call(target) for _ in range(WARM_CALLS))
    (kernel,) = servers.pool(STARTED)["kernels"]
    os.kill(kernel["pid"], signal.SIGKILL)
    return _call(target) - warm


def publish_to_answer(servers: Servers) -> float:
    """Seconds from publishing a function with a model of its own until its first answer, on a warm server."""
    number = next(_numbers)
    model = work.train(strength=1 + number)  # another one each time: what is there already is not sent again
    name = f"published-{number}"
    car = {"hp": 120.0, "wt": 2.8}
    answer = float(model.predict_proba(work.pd.DataFrame([car]))[0, 1])
    target = servers.ours(name, car, answer)
    started = time.perf_counter()
    publish(servers.client, name, work.cars, objects={"MODEL": model})
    target.check()
    seconds = time.perf_counter() - started
    servers.client.delete_service(name, "1.0")
    return seconds


def _call(target: Target) -> float:
    started = time.perf_counter()
    target.check()
    return time.perf_counter() - started
