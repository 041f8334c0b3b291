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
        campaign = Campaign(server)
        try:
            campaign.run(hostile.mutated(originals(), arguments.models, arguments.seed), arguments.publishers)
        finally:
            server.stop()
    for line in campaign.wrong[:20]:
        print(line)
    sys.exit(1 if campaign.wrong else 0)


def originals() -> list[bytes]:
    """Good models."""
    made = (
        models.linear(),
        models.labelled(),
        models.greedy(),
        models.looping(3),
        hostile.functions(3),
        models.mixing(),
    )
    return [*(graph.SerializeToString() for graph in made), models.LINEAR, models.LABELLED]


class Campaign:
    """One run against one server.

    Parameters
    ----------
    server:
        What is attacked.
    """

    def __init__(self, server: RunningServer) -> None:
        self.wrong: list[str] = []
        self._server = server
        self._counts: Counter[str] = Counter()
        self._done = threading.Event()

    def run(self, mutants: list[bytes], publishers: int) -> None:
        """Publish the models."""
        server = self._server
        assert models.publish(server, "lines/1", models.LINEAR).status == 201
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        began = time.monotonic()
        with ThreadPoolExecutor(publishers) as threads:
            for _ in threads.map(self._attack, range(len(mutants)), mutants):
                pass
        self._done.set()
        watcher.join()
        if server.process.poll() is not None:
            self.wrong.append("the server ended")
        if server.request("GET", "/services/mutant").json():
            self.wrong.append("a service is left")
        if any(path.is_file() for path in (server.data_dir / "uploads").rglob("*")):
            self.wrong.append("an upload is left")
        print(f"{len(mutants)} models in {time.monotonic() - began:.0f} s")
        for name, count in sorted(self._counts.items()):
            print(f"  {name}: {count}")

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            answer = self._server.request("POST", "/api/lines/1", {"a": 1.0, "b": 0.0}, timeout=30)
            self._counts["answers of the other service"] += 1
            if answer.status != 200:
                self.wrong.append(f"the other service answered {answer.status}: {answer.body[:200]!r}")

    def _attack(self, number: int, content: bytes) -> None:
        answer = models.publish(self._server, f"mutant/{number}", content)
        self._counts[f"publish {answer.status}"] += 1
        if answer.status == 201:
            self._call(number)
        elif answer.status != 422:
            self.wrong.append(f"model {number}: the publish answered {answer.status}: {answer.body[:200]!r}")

    def _call(self, number: int) -> None:
        sent = {"Prefer": "status=strict"}
        called = self._server.request("POST", f"/api/mutant/{number}", {"x": [1]}, headers=sent, timeout=90)
        self._counts[f"call {called.status}"] += 1
        self._server.request("DELETE", f"/services/mutant/{number}")
        if called.status == 500:
            self.wrong.append(f"model {number}: the call met a defect: {called.body[:200]!r}")


if __name__ == "__main__":
    main()
