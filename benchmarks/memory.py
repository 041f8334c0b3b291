"""Measure the memory that each kernel of a pool has for itself, with 1 GiB of objects that all of them share (Linux).

    python benchmarks/memory.py                   # a forest and an array of 1 GiB each, 4 kernels; 5 GiB of memory
    python benchmarks/memory.py --mebibytes 256   # less

Kernels are forks of a process that has loaded the snapshot; what one writes it gets for itself. Every kernel answers
calls that read all of the object first. `private` is what would be free again if that kernel ended: the kernel's own
figures from /proc/PID/smaps_rollup. As in `run.py` nothing here is a test: a goal that is missed is shown.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import report
from servers import Process

from jupyter_mlops import DeployClient
from jupyter_mlops.client.service import Service
from jupyter_mlops.discovery import running_server

MEBIBYTE = 2**20
MOST = 120
"""MiB that a kernel may have for itself."""

_NODE = 72
"""Bytes of a tree's node and its value in scikit-learn."""

_SOURCE = """
import time

def forest_score(a: float, b: float) -> float:
    time.sleep(0.05)                          # so that calls which come together go to all kernels
    return float(model.predict([[a, b]])[0])

def array_score(i: int) -> float:
    time.sleep(0.05)
    return float(array.sum() + array[i])
"""


def main() -> int:
    """Measure and print."""
    options = _options()
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(_SOURCE, names)  # noqa: S102  # as in a cell
    with tempfile.TemporaryDirectory(prefix="jupyter-mlops-bench-", dir=options.folder) as folder:
        data = Path(folder) / "data"
        process = Process(["-m", "jupyter_mlops", "serve", "--port=0", f"--data-dir={data}"], Path(folder) / "log")
        try:
            found = running_server(data)
            assert found is not None
            with DeployClient(found.url, found.token) as client:
                rows = [
                    *_measured(client, names, "forest", options, {"a": 0.3, "b": 0.4}),
                    *_measured(client, names, "array", options, {"i": 5}),
                ]
        finally:
            process.stop()
    print(f"\n{report.heading(report.facts())}\n")
    print("| object | kernel | private MiB | proportional share, MiB | at most |\n|---|---|---|---|---|")
    for what, number, private, share in rows:
        print(f"| {what} | {number} | {private:.0f} | {share:.0f} | {MOST} |")
    worst = max(private for _, _, private, _ in rows)
    print(f"\n{'ok' if worst <= MOST else 'MISSED'}: at most {worst:.0f} MiB for a kernel alone")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the private memory of a pool's kernels.")
    parser.add_argument("--mebibytes", type=int, default=1024, help="of each object (1024)")
    parser.add_argument("--kernels", type=int, default=4, help="of each pool (4)")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="on which disk")
    return parser.parse_args()


def _measured(
    client: DeployClient, names: dict[str, Any], what: str, options: argparse.Namespace, inputs: dict[str, Any]
) -> list[tuple[str, int, float, float]]:
    """Publish a function on one object, let every kernel of its pool answer, and look at their memory."""
    made = _forest(options.mebibytes) if what == "forest" else _array(options.mebibytes)
    names["model" if what == "forest" else "array"] = made
    definition = client.service(what).version("1").code_fn(names[f"{what}_score"]).kernels(options.kernels)
    service = definition.timeout(300).deploy()
    _until_there(service, options.kernels)
    with ThreadPoolExecutor(options.kernels * 2) as threads:
        for response in threads.map(lambda _: service(**inputs), range(options.kernels * 20)):
            response.raise_for_error()
    kernels = service.pool().kernels
    rows = [(f"{what}, {options.mebibytes} MiB", n, *_memory(one.pid)) for n, one in enumerate(kernels, 1)]
    client.delete_service(what, version="1")
    names.pop("model" if what == "forest" else "array")
    return rows


def _forest(mebibytes: int) -> Any:
    """A random forest of that size: some trees are grown, and copied, because growing all takes minutes."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

    rows = np.random.default_rng(0).random((60_000, 2))
    model = RandomForestRegressor(4, max_features=1, random_state=0).fit(rows, rows.sum(axis=1) + rows[:, 0] * 0.01)
    grown = list(model.estimators_)
    size = sum(tree.tree_.node_count for tree in grown) * _NODE
    model.estimators_ = [copy.deepcopy(tree) for _ in range(max(mebibytes * MEBIBYTE // size, 1)) for tree in grown]
    model.n_estimators = len(model.estimators_)
    return model


def _array(mebibytes: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).random(mebibytes * MEBIBYTE // 8)


def _until_there(service: Service, kernels: int) -> None:
    deadline = time.monotonic() + 120
    while len(service.pool().kernels) < kernels:
        assert time.monotonic() < deadline, f"no {kernels} kernels within two minutes"
        time.sleep(0.2)


def _memory(pid: int) -> tuple[float, float]:
    """Private and proportional memory of a process, in MiB."""
    found: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        key, value = line.split(":")
        found[key] = int(value.split()[0])
    return (found["Private_Clean"] + found["Private_Dirty"]) / 1024, found["Pss"] / 1024


if __name__ == "__main__":
    sys.exit(main())
