"""Thousands of damaged models are published; each must be refused or harmless, and the server must not notice.

    python campaigns/hostile_models.py [--models 10000] [--seed 0] [--publishers 2]

Models are made of good ones by changing bytes of their encoding. A model that is taken is called once and deleted.
Meanwhile another service is called without a pause. The run fails when a publish ends otherwise than with 201 or 422,
a call with a defect of the server's own, when the other service does not answer, when the server is another process
at the end, or when something of what was refused is left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "tests" / "server")]
import hostile_models as hostile
import onnx_models as models
from support import RunningServer


def main() -> None:
    """Run the campaign, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--publishers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = RunningServer(Path(folder) / "data", "--ServeApp.realtime_check_seconds=5")
        try:
            wrong = campaign(server, arguments)
        finally:
            server.stop()
    for line in wrong[:20]:
        print(line)
    sys.exit(1 if wrong else 0)


def campaign(server: RunningServer, arguments: argparse.Namespace) -> list[str]:
    """Publish the models; what went wrong, a line each."""
    pid, wrong, counts, done = server.process.pid, [], Counter(), threading.Event()
    assert models.publish(server, "lines/1", models.LINEAR).status == 201

    def watch() -> None:
        while not done.wait(0.05):
            answer = server.request("POST", "/api/lines/1", {"a": 1.0, "b": 0.0}, timeout=30)
            counts["answers of the other service"] += 1
            if answer.status != 200:
                wrong.append(f"the other service answered {answer.status}: {answer.body[:200]!r}")

    def one(number: int, content: bytes) -> None:
        answer = models.publish(server, f"mutant/{number}", content)
        counts[f"publish {answer.status}"] += 1
        if answer.status == 201:
            sent = {"Prefer": "status=strict"}
            called = server.request("POST", f"/api/mutant/{number}", {"x": [1]}, headers=sent, timeout=90)
            counts[f"call {called.status}"] += 1
            server.request("DELETE", f"/services/mutant/{number}")
            if called.status == 500:
                wrong.append(f"model {number}: the call met a defect: {called.body[:200]!r}")
        elif answer.status != 422:
            wrong.append(f"model {number}: the publish answered {answer.status}: {answer.body[:200]!r}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    made = (
        models.linear(),
        models.labelled(),
        models.greedy(),
        models.looping(3),
        hostile.functions(3),
        models.mixing(),
    )
    originals = [*(graph.SerializeToString() for graph in made), models.LINEAR, models.LABELLED]
    mutants = hostile.mutated(originals, arguments.models, arguments.seed)
    began = time.monotonic()
    with ThreadPoolExecutor(arguments.publishers) as publishers:
        for _ in publishers.map(one, range(len(mutants)), mutants):
            pass
    done.set()
    watcher.join()
    if server.process.poll() is not None or server.process.pid != pid:
        wrong.append("the server ended")
    if server.request("GET", "/services/mutant").json():
        wrong.append("a service is left")
    if any(path.is_file() for path in (server.data_dir / "uploads").rglob("*")):
        wrong.append("an upload is left")
    print(f"{len(mutants)} models in {time.monotonic() - began:.0f} s")
    for name, count in sorted(counts.items()):
        print(f"  {name}: {count}")
    return wrong


if __name__ == "__main__":
    main()
