"""Batches beside plain programs that do the same work, interleaved: what durability, isolation and the wire cost.

    python benchmarks/batches.py                                   # the sizes of the goals: long, and 4 GiB of memory
    python benchmarks/batches.py --rows 100000 --rounds 3          # shorter
    python benchmarks/batches.py --only add --only artifacts       # some figures

A figure is the ratio of two times, or two rates, of the same round; the median of the rounds counts. The plain programs
are functions of this file, in this process, with nothing between them and the model.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from beside import beside
from report import facts, heading

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support import RunningServer

from jupyter_mlops import DeployClient

CHUNK = 50_000
FEATURES = 10
ARROW = "application/vnd.apache.arrow.stream"

Round = dict[str, float]


class Bench:
    """The server under measurement, its services, and the sizes."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.server = RunningServer(folder / "data")
        self.client = DeployClient(self.server.url, auth=self.server.token)
        self.made: dict[Any, Any] = {}
        self.used = 0.0
        """Seconds of processors that the last batch took, those of all its processes together."""

    def publish(
        self,
        name: str,
        function: Callable[..., Any],
        inputs: dict[str, type],
        outputs: dict[str, type],
        kernels: int = 1,
        adjust: Callable[[Any], Any] = lambda definition: definition,
    ) -> Any:
        """Publish a function with so many kernels, and wait until they are there."""
        if name not in self.made:
            definition = self.client.service(name).version("1").code_fn(function).kernels(kernels, kernels)
            self.made[name] = adjust(definition.inputs(**inputs).outputs(**outputs)).deploy()
            deadline = time.monotonic() + 60
            while len(self.server.kernels(name, "1")) < kernels and time.monotonic() < deadline:
                time.sleep(0.1)
        return self.made[name]

    def run(self, service: Any, records: Any, parallel: int = 10) -> float:
        """Seconds from `start()` to the end, as the client sees it."""
        used = self.processor()
        began = time.perf_counter()
        job = service.batch(records, parallel).start()
        done = job.wait(progress=False)
        seconds = time.perf_counter() - began
        self.used = self.processor() - used
        if done.state != "Complete" or job.progress().failed:
            raise SystemExit(f"a batch ended as {job.progress()}")
        job.delete()
        return seconds

    def send(self, name: str, body: Any, media: str) -> tuple[float, float]:
        """The same with a body as it is, sent in one request; also how many MiB the server grew at most."""
        process, stop, most = psutil.Process(self.server.process.pid), threading.Event(), [0]
        before = process.memory_info().rss

        def watch() -> None:
            while not stop.wait(0.02):
                most[0] = max(most[0], process.memory_info().rss - before)

        watcher = threading.Thread(target=watch)
        watcher.start()
        used = self.processor()
        began = time.perf_counter()
        answer = self.server.request("POST", f"/api/{name}/1/batch", body, headers={"Content-Type": media}, timeout=600)
        if answer.status != 202:
            raise SystemExit(f"the batch was refused: {answer.body!r}")
        batch = answer.json()["batchExecutionId"]
        seen: dict[str, Any] = {"sequence": 0, "state": ""}
        while seen["state"] not in {"Complete", "Failed", "Cancelled"}:
            path = f"/api/{name}/1/batch/{batch}/progress?wait=20&after={seen['sequence']}"
            seen = self.server.request("GET", path).json()
        seconds = time.perf_counter() - began
        self.used = self.processor() - used
        stop.set()
        watcher.join()
        if seen["state"] != "Complete" or seen["failed"]:
            raise SystemExit(f"a batch ended as {seen}")
        self.server.request("DELETE", f"/api/{name}/1/batch/{batch}")
        return seconds, most[0] / 2**20

    def processor(self) -> float:
        """Seconds of processors that client, server and kernels have used until now."""
        server = psutil.Process(self.server.process.pid)
        return time.process_time() + sum(
            process.cpu_times().user + process.cpu_times().system
            for process in (server, *server.children(recursive=True))
        )

    def close(self) -> None:
        """Stop the server."""
        self.client.close()
        self.server.stop()


def add(bench: Bench) -> Round:
    """`add` on one kernel, beside the loop that encodes each result."""

    def add_(a: float, b: float) -> float:
        return a + b

    rows = bench.options.add_rows
    service = bench.publish("add", add_, {"a": float, "b": float}, {"answer": float})
    records = {"a": [float(n) for n in range(rows)], "b": [n / 7 for n in range(rows)]}
    began, used = time.perf_counter(), time.process_time()
    encode = json.dumps
    for a, b in zip(records["a"], records["b"], strict=True):
        encode({"answer": add_(a, b)})
    plain, used = time.perf_counter() - began, time.process_time() - used
    ours = bench.run(service, records)
    return {"plain s": plain, "ours s": ours, "processors": bench.used / used, "figure": ours / plain}


def _data(bench: Bench, rows: int) -> tuple[np.ndarray, pa.Table]:
    if ("data", rows) not in bench.made:
        values = np.random.default_rng(1).normal(size=(rows, FEATURES))
        table = pa.table({f"x{n}": values[:, n] for n in range(FEATURES)})
        bench.made["data", rows] = values, table
    found: tuple[np.ndarray, pa.Table] = bench.made["data", rows]
    return found


def _model(bench: Bench, kind: str) -> tuple[Any, str]:
    """A fitted model, and the name of the batchable service that predicts with it."""
    if kind not in bench.made:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression

        values, _ = _data(bench, 5000)
        target = (values.sum(axis=1) > 0).astype(int)
        model = LogisticRegression() if kind == "logistic" else RandomForestClassifier(100, n_jobs=1, random_state=1)
        model.fit(values, target)

        def score(**columns: Any) -> Any:
            import numpy as np

            stacked = np.column_stack([columns[f"x{n}"] for n in range(10)])
            return model.predict_proba(stacked)[:, 1]

        names = [f"x{n}" for n in range(FEATURES)]
        source = f"def score({', '.join(names)}):\n    return inner({', '.join(f'{n}={n}' for n in names)})\n"
        space: dict[str, Any] = {"inner": score}
        exec(source, space)  # noqa: S102  # a signature with ten names
        sample = dict.fromkeys(names, 0.5)
        bench.publish(
            kind,
            space["score"],
            dict.fromkeys(names, float),
            {"p": float},
            adjust=lambda definition: definition.batchable().sample(sample),
        )
        bench.made[kind + " model"] = model
    return bench.made[kind + " model"], kind


def _arrow_body(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=CHUNK)
    return sink.getvalue()


def _plain(bench: Bench, model: Any, parts: Callable[[], Any]) -> tuple[float, float]:
    """Predict by chunks, write Parquet, have it on disk; seconds that passed, and that the processor took."""
    path = bench.folder / "plain.parquet"
    began, used = time.perf_counter(), time.process_time()
    writer = None
    for values in parts():
        table = pa.table({"p": model.predict_proba(values)[:, 1]})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return time.perf_counter() - began, time.process_time() - used


def _from_arrow(body: bytes) -> Any:
    rows = 0
    for batch in pa.ipc.open_stream(body):
        rows += batch.num_rows
        yield np.column_stack([column.to_numpy() for column in batch.columns])


def _scored_arrow(bench: Bench, kind: str, rows: int) -> Round:
    model, name = _model(bench, kind)
    body = _arrow_body(_data(bench, rows)[1])
    return _beside(bench, name, body, ARROW, _plain(bench, model, lambda: _from_arrow(body)))


def _beside(bench: Bench, name: str, body: bytes, media: str, plain: tuple[float, float]) -> Round:
    ours, grown = bench.send(name, body, media)
    seconds, used = plain
    return {
        "plain s": seconds,
        "ours s": ours,
        "processors": bench.used / used,
        "MiB grown": grown,
        "figure": ours / seconds,
    }


def logistic_arrow(bench: Bench) -> Round:
    """A logistic regression, rows sent as Arrow, beside the program that reads the same and writes Parquet."""
    return _scored_arrow(bench, "logistic", bench.options.rows)


def logistic_json(bench: Bench) -> Round:
    """The same, rows sent as JSON records, beside the same with JSON decoding."""
    model, name = _model(bench, "logistic")
    rows = bench.options.rows
    if "json" not in bench.made:
        values, _ = _data(bench, rows)
        names = [f"x{n}" for n in range(FEATURES)]
        bench.made["json"] = msgspec.json.encode([dict(zip(names, row, strict=True)) for row in values.tolist()])
    body = bench.made["json"]

    def parts() -> Any:
        records = msgspec.json.decode(body)
        for first in range(0, len(records), CHUNK):
            yield np.array([list(record.values()) for record in records[first : first + CHUNK]])

    return _beside(bench, name, body, "application/json", _plain(bench, model, parts))


def forest_arrow(bench: Bench) -> Round:
    """A forest of 100 trees, rows sent as Arrow."""
    return _scored_arrow(bench, "forest", bench.options.forest_rows)


def two_kernels(bench: Bench) -> Round:
    """CPU-bound rows of 20 ms on two kernels, beside one."""

    def burn(n: int) -> int:
        import time

        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            n += 1
        return n

    times = {}
    for kernels in (1, 2):
        service = bench.publish(f"burn-{kernels}", burn, {"n": int}, {"answer": int}, kernels)
        times[kernels] = bench.run(service, {"n": list(range(bench.options.burn_rows))})
    return {"one s": times[1], "two s": times[2], "figure": times[1] / times[2]}


def artifacts(bench: Bench) -> Round:
    """Rows that write 10 kB each, on one kernel."""

    def draw(n: int) -> int:
        with open("row.bin", "wb") as file:
            file.write(b"%010d" % n * 1000)
        return n

    service = bench.publish("draw", draw, {"n": int}, {"answer": int}, adjust=lambda one: one.artifact("row.bin"))
    seconds = bench.run(service, {"n": list(range(bench.options.artifact_rows))})
    return {"ours s": seconds, "figure": bench.options.artifact_rows / seconds}


def monitor(bench: Bench) -> Round:
    """Rows of 1 ms with a viewer who takes every progress event, beside nobody looking."""

    def nap(n: int) -> int:
        import time

        time.sleep(0.001)
        return n

    bench.publish("nap", nap, {"n": int}, {"answer": int})
    rows = bench.options.monitor_rows

    def run(*, watched: bool) -> tuple[float, float]:
        answer = bench.server.request("POST", "/api/nap/1/batch", [{"n": n} for n in range(rows)])
        batch = answer.json()["batchExecutionId"]
        began, events, stop = time.perf_counter(), [0], threading.Event()

        def look() -> None:
            sequence = 0
            while not stop.is_set():
                path = f"/api/nap/1/batch/{batch}/progress?wait=5&after={sequence}"
                seen = bench.server.request("GET", path).json()
                events[0] += seen["sequence"] > sequence
                sequence = seen["sequence"]
                if seen["state"] == "Complete":
                    return

        viewer = threading.Thread(target=look)
        if watched:
            viewer.start()
        while bench.server.request("GET", f"/batches/{batch}").json()["state"] != "Complete":
            time.sleep(0.25)
        seconds = bench.server.request("GET", f"/batches/{batch}").json()
        stop.set()
        if watched:
            viewer.join()
        took = _elapsed(seconds)
        bench.server.request("DELETE", f"/api/nap/1/batch/{batch}")
        return took, events[0] / (time.perf_counter() - began)

    order = (False, True) if len(bench.made.setdefault("orders", [])) % 2 == 0 else (True, False)
    bench.made["orders"].append(order)
    found = {watched: run(watched=watched) for watched in order}
    return {
        "alone s": found[False][0],
        "watched s": found[True][0],
        "events/s": found[True][1],
        "figure": found[True][0] / found[False][0],
    }


def _calls_beside(bench: Bench, kernels: int) -> Round:
    def add_(a: float, b: float) -> float:
        return a + b

    name = f"calls-{kernels}"
    bench.publish(name, add_, {"a": float, "b": float}, {"answer": float}, kernels)
    return beside(bench.server, name)


def beside_one(bench: Bench) -> Round:
    """Calls of 4 clients beside a batch of a million rows, on one kernel."""
    return _calls_beside(bench, 1)


def beside_two(bench: Bench) -> Round:
    """The same on two kernels."""
    return _calls_beside(bench, 2)


def _elapsed(progress: dict[str, Any]) -> float:
    from datetime import datetime

    started, ended = (datetime.fromisoformat(progress[key]) for key in ("started", "ended"))
    return (ended - started).total_seconds()


FIGURES: dict[str, tuple[Callable[[Bench], Round], str, str, float]] = {
    "add": (add, "times the plain loop", "at most", 8.0),
    "logistic-arrow": (logistic_arrow, "times the plain program", "at most", 12.0),
    "logistic-json": (logistic_json, "times the plain program", "at most", 12.0),
    "forest-arrow": (forest_arrow, "times the plain program", "at most", 1.3),
    "two-kernels": (two_kernels, "times faster than one", "at least", 1.8),
    "artifacts": (artifacts, "rows/s", "at least", 1000.0),
    "beside-one": (beside_one, "times the calls' p99 alone", "at most", 2.0),
    "beside-two": (beside_two, "times the calls' p99 alone", "at most", 2.0),
    "monitor": (monitor, "times the time without", "at most", 1.02),
}
MOST_GROWTH = 128.0
MOST_EVENTS = 10.0


def main() -> int:
    """Measure, and print."""
    options = _options()
    chosen = {name: figure for name, figure in FIGURES.items() if not options.only or name in options.only}
    rounds: dict[str, list[Round]] = {name: [] for name in chosen}
    found = facts()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options)
        try:
            for number in range(options.rounds):
                for name in chosen if number % 2 == 0 else reversed(chosen):
                    rounds[name].append(FIGURES[name][0](bench))
                    told = ", ".join(f"{key} {value:.3g}" for key, value in rounds[name][-1].items())
                    print(f"round {number + 1}  {name}: {told}", flush=True)
        finally:
            bench.close()
    print(f"\n{heading(found)}\n{options.rounds} rounds, medians; {_sizes(options)}\n")
    print("| figure | found | lowest to highest | goal | reached |\n|---|---|---|---|---|")
    for name, measured in rounds.items():
        _, unit, bound, goal = FIGURES[name]
        _print_row(f"`{name}`, {unit}", [one["figure"] for one in measured], bound, goal)
        if "processors" in measured[0]:
            found_ = statistics.median(one["processors"] for one in measured)
            print(f"| `{name}`, processor time of all processes beside the plain one's | {found_:.2f} | | | |")
        if "MiB grown" in measured[0]:
            _print_row(f"`{name}`, MiB the server grew", [one["MiB grown"] for one in measured], "at most", MOST_GROWTH)
        if "events/s" in measured[0]:
            _print_row(f"`{name}`, events/s", [one["events/s"] for one in measured], "at most", MOST_EVENTS)
    return 0


def _print_row(title: str, values: list[float], bound: str, goal: float) -> None:
    median = statistics.median(values)
    reached = median <= goal if bound == "at most" else median >= goal
    spread = f"{min(values):,.2f} to {max(values):,.2f}"
    print(f"| {title} | {median:,.2f} | {spread} | {bound} {goal:,g} | {'yes' if reached else 'NO'} |")


def _sizes(options: argparse.Namespace) -> str:
    names = ("add_rows", "rows", "forest_rows", "burn_rows", "artifact_rows", "monitor_rows")
    return ", ".join(f"{name.replace('_', ' ')} {getattr(options, name):,}" for name in names)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the logistic regression (1,000,000)")
    parser.add_argument("--add-rows", type=int, default=100_000)
    parser.add_argument("--forest-rows", type=int, default=1_000_000, help="rows of the forest (1,000,000)")
    parser.add_argument("--burn-rows", type=int, default=400)
    parser.add_argument("--artifact-rows", type=int, default=10_000)
    parser.add_argument("--monitor-rows", type=int, default=5_000)
    parser.add_argument("--only", action="append", choices=FIGURES, metavar="NAME", help=", ".join(FIGURES))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
