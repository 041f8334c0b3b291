"""Servers and kernels are killed while batches run; every row must have one result, its own, and nothing be lost.

    python campaigns/batch_faults.py [--rows 600] [--kills 8] [--sites 0] [--seed N] [--only kills ...]

Four parts. `kills`: the server and its kernels are killed at random moments while rows of 1 ms, of 100 ms, and with an
artifact each are run; every row notes in a file beside the server that it was begun. `sweep`: the server ends itself at
its first commit, rename, sync or start of a process, then at the second, and so on, until a whole life of a batch
passes untouched; some of its recoveries are made to end in the same way. `disk`: the disk is full at several moments
of a batch; this needs root, for a small file system of its own. `storm`: a hundred clients repeat one submission with
one Idempotency-Key while the server is killed. `--rows 10000 --kills 70` is the long form.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import urllib3

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support import RunningServer

RUN = "import sys; from jupyter_mlops.cli import main; sys.argv[0] = 'mlops'; sys.exit(main())"
ROW = """
import os, time
noted = os.open(side, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(noted, b"%d\\n" % nonce); os.close(noted)
time.sleep(milliseconds / 1000)
if artifact: open("row.bin", "wb").write(nonce.to_bytes(8, "big") * 128)
if nonce == bad and not os.path.exists(good): raise ValueError("bad")
answer = nonce * 3 + 1
"""
KERNELS = 2
GONE = (urllib3.exceptions.HTTPError, OSError)


class Campaign:
    """One server on a data directory of its own, and what was counted."""

    def __init__(self, folder: Path, dice: random.Random, data: Path | None = None) -> None:
        self.folder = folder
        self.dice = dice
        self.counted: Counter[str] = Counter()
        self.notes: dict[str, Any] = {}
        self.server = RunningServer(data or folder / "data")

    def publish(self, name: str, milliseconds: float, *, artifact: bool, bad: int = -1) -> Path:
        """Publish a service whose rows note that they were begun; the file where they do."""
        side = self.folder / f"{name}.side"
        settings = {
            "side": str(side), "milliseconds": milliseconds, "artifact": artifact, "bad": bad,
            "good": str(self.folder / f"{name}.good"),
        }  # fmt: skip
        code = "".join(f"{key} = {value!r}\n" for key, value in settings.items()) + ROW
        files = {"outputFileNames": ["row.bin"]} if artifact else {}
        pool = {"initialPoolSize": 0, "maxPoolSize": KERNELS}
        answer = self.server.publish_code(name, "1", code, "nonce:integer", "answer:integer", pool=pool, **files)
        assert answer.status == 201, answer
        return side

    def submit(self, name: str, rows: int, key: str) -> str:
        """Submit once, however often the server goes away meanwhile."""
        records = [{"nonce": n} for n in range(rows)]
        answer = self.insist("POST", f"/api/{name}/1/batch?parallelCount=10", records, {"Idempotency-Key": key})
        assert answer.status == 202, answer
        return str(answer.json()["batchExecutionId"])

    def insist(self, method: str, path: str, body: Any = None, headers: Any = None) -> Any:
        """Send a request until a server answers it."""
        while True:
            try:
                answer = self.server.request(method, path, body, headers=headers)
                if answer.status not in {409, 503}:
                    return answer
            except GONE:
                pass
            self.revive()
            time.sleep(0.02)

    def revive(self, crash: int = 0) -> None:
        """Start the server again if it has ended."""
        if self.server.process.poll() is None:
            return
        self.counted["server ended"] += 1
        self.server.stop()
        self.start(crash)

    def start(self, crash: int = 0) -> None:
        """Start the server; with a number, so that it ends at that site."""
        setting = f"import os; os.environ['JUPYTER_MLOPS_CRASH_AT'] = '{crash}'\n" if crash else ""
        self.server.launch = ("-c", setting + RUN)
        try:
            self.server.start()
        except AssertionError:
            if self.server.process.wait(60) != 137 or not crash:
                raise

    def progress(self, batch: str) -> dict[str, Any]:
        """How far a batch is."""
        found: dict[str, Any] = self.insist("GET", f"/batches/{batch}").json()
        return found

    def finish(self, batch: str) -> None:
        """Wait until a batch has ended."""
        deadline = time.monotonic() + 3600
        while self.progress(batch)["state"] not in {"Complete", "Failed", "Cancelled"}:
            assert time.monotonic() < deadline, self.progress(batch)
            time.sleep(0.05)

    def check(self, name: str, batch: str, rows: int, *, artifact: bool, failed: int | None = None) -> bytes:
        """Count what is wrong with the results; they themselves, without what differs between runs."""
        answer = self.insist("GET", f"/api/{name}/1/batch/{batch}", None, {"Accept": "application/x-ndjson"})
        lines = [json.loads(line) for line in answer.body.splitlines()]
        indices = [line["index"] for line in lines]
        self.counted["lost"] += rows - len(set(indices))
        self.counted["recorded twice"] += len(indices) - len(set(indices)) + self._overlaps(batch, rows)
        for line in lines:
            n = line["index"]
            right = line["outputParameters"].get("answer") == n * 3 + 1 if n != failed else not line["success"]
            if artifact and right and line["success"]:
                right = base64.b64decode(line["outputFiles"]["row.bin"]) == n.to_bytes(8, "big") * 128
            if not right:
                print("not as it must be:", json.dumps(line)[:600], flush=True)
            self.counted["under the wrong row"] += not right
        for line in lines:
            del line["attempt"], line["seconds"]
        return json.dumps(lines).encode()

    def _overlaps(self, batch: str, rows: int) -> int:
        """Rows that the ledger has more than once, or not at all."""
        with contextlib.closing(sqlite3.connect(self.server.data_dir / "mlops.sqlite")) as database:
            query = "select first, count from batch_slices where batch = ?"
            counts = Counter(
                row for first, count in database.execute(query, (batch,)) for row in range(first, first + count)
            )
            assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        return sum(count != 1 for count in counts.values()) + (rows - len(counts))

    def close(self) -> None:
        """Stop the server, and count what it leaves."""
        running = self.server.processes()
        if self.server.stop() != 0:
            self.counted["bad exit"] += 1
        eventually(lambda: not any(map(_runs, running)))
        self.counted["processes left"] += sum(map(_runs, running))

    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.counted[name] for name in WRONG)


WRONG = (
    "lost", "recorded twice", "under the wrong row", "unlike the undisturbed run", "more than allowed",
    "left half done", "more than one batch", "late", "processes left", "bad exit",
)  # fmt: skip


def kills(folder: Path, options: argparse.Namespace, dice: random.Random) -> list[tuple[str, Campaign]]:
    """Kill servers and kernels at random moments."""
    done = []
    kinds = (("1 ms", 1, False, 5), ("100 ms", 100, False, 0.1), ("artifact", 2, True, 2))
    for title, milliseconds, artifact, share in kinds:
        rows = max(40, int(options.rows * share)) if options.rows < 10_000 else options.rows
        place = folder / title.replace(" ", "-")
        place.mkdir()
        campaign = Campaign(place, dice)
        side = campaign.publish("row", milliseconds, artifact=artifact)
        plain = campaign.submit("row", rows, "undisturbed")
        began = time.monotonic()
        campaign.finish(plain)
        seconds = time.monotonic() - began
        expected = campaign.check("row", plain, rows, artifact=artifact)
        side.unlink()
        batch = campaign.submit("row", rows, "disturbed")
        _disturb(campaign, batch, options, seconds)
        campaign.finish(batch)
        found = campaign.check("row", batch, rows, artifact=artifact)
        campaign.counted["unlike the undisturbed run"] += found != expected
        begun = Counter(side.read_text().split())
        ends = campaign.counted["server killed"] + campaign.counted["kernel killed"]
        again = sum(begun.values()) - rows
        allowed = int(ends * KERNELS * (1 + 1000 / milliseconds))
        campaign.counted["more than allowed"] += max(0, again - allowed)
        campaign.notes |= {"rows": rows, "executed again": again, "allowed": allowed}
        campaign.close()
        done.append((f"kills, rows of {title}", campaign))
    return done


def _disturb(campaign: Campaign, batch: str, options: argparse.Namespace, seconds: float) -> None:
    """Kill the server, or a kernel, again and again while the batch runs."""
    longest, most = 0.0, options.kills
    while sum(campaign.counted[f"{what} killed"] for what in ("server", "kernel")) < most:
        time.sleep(campaign.dice.uniform(0, seconds / most))
        if campaign.progress(batch)["state"] == "Complete":
            break
        if campaign.dice.random() < 0.4:
            pids = campaign.server.kernels("row", "1")
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(campaign.dice.choice(pids), campaign.dice.choice([signal.SIGKILL, signal.SIGSEGV]))
                    campaign.counted["kernel killed"] += 1
            continue
        campaign.server.stop(kill=True)
        campaign.counted["server killed"] += 1
        campaign.start()
        began, seen = time.monotonic(), campaign.progress(batch)
        while (now := campaign.progress(batch))["completed"] == seen["completed"] and now["state"] != "Complete":
            time.sleep(0.02)
        longest = max(longest, time.monotonic() - began)
    campaign.counted["late"] += longest > options.late
    campaign.notes["goes on within"] = f"{longest:.2f} s"


def sweep(folder: Path, options: argparse.Namespace, dice: random.Random) -> list[tuple[str, Campaign]]:
    """End the server at each of its sites in turn."""
    campaign = Campaign(folder, dice)
    rows, bad = 12, 3
    campaign.publish("row", 5, artifact=True, bad=bad)
    good = folder / "row.good"
    reached = 0
    for site in itertools.count(1):
        if options.sites and site > options.sites:
            break
        campaign.server.stop(kill=True)
        good.unlink(missing_ok=True)
        campaign.start(crash=site)
        recoveries = [dice.randint(1, 12)] if site % 4 == 0 else []
        before = campaign.counted["server ended"]
        compound = _revive_with(campaign, recoveries)
        batch = campaign.submit("row", rows, f"site-{site}")
        campaign.finish(batch)
        campaign.check("row", batch, rows, artifact=True, failed=bad)
        good.touch()
        while campaign.progress(batch)["failed"]:
            campaign.insist("POST", f"/api/row/1/batch/{batch}/retry")
            campaign.finish(batch)
        campaign.check("row", batch, rows, artifact=True)
        listed = campaign.insist("GET", "/api/row/1/batch").json()
        campaign.counted["more than one batch"] += listed != [batch]
        while campaign.insist("DELETE", f"/api/row/1/batch/{batch}").status != 404:
            pass
        campaign.revive = compound  # type: ignore[method-assign]
        ended = campaign.counted["server ended"] - before
        campaign.counted["compound"] += ended > 1
        folders = eventually(lambda: not os.listdir(folder / "data" / "batches"))
        campaign.counted["left half done"] += not folders
        if not ended:
            break
        reached = site
        print(f"  site {site}: {_sites(folder / 'data.log')[-1]}", flush=True)
    campaign.notes |= {"sites": reached, "kinds of sites": len(set(_sites(folder / "data.log")))}
    campaign.close()
    return [("sweep of crash sites", campaign)]


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _sites(log: Path) -> list[str]:
    """Where the server ended itself."""
    return [line.partition(": ")[2] for line in log.read_text().splitlines() if line.startswith("ending at site")]


def _revive_with(campaign: Campaign, recoveries: list[int]) -> Callable[..., None]:
    """Let the next recoveries end in the same way; what they did before."""
    plain = campaign.revive

    def revive(crash: int = 0) -> None:
        if campaign.server.process.poll() is None:
            return
        plain(crash=recoveries.pop() if recoveries else crash)

    campaign.revive = revive  # type: ignore[method-assign]
    return plain


def disk(folder: Path, options: argparse.Namespace, dice: random.Random) -> list[tuple[str, Campaign]]:
    """Fill the disk at several moments of a batch, and free it again."""
    if os.name != "posix" or os.geteuid() != 0:
        print("NOT RUN: the disk-full part needs root, to mount a small file system of its own")
        return []
    mount = folder / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(mount)], check=True)  # noqa: S607
    try:
        campaign = Campaign(folder, dice, mount / "data")
        campaign.publish("row", 5, artifact=True)
        filler, rows = mount / "filler", max(200, options.rows // 2)
        for round_, free in enumerate((0, 4, 16, 64, 256)):
            batch = campaign.submit("row", rows, f"round-{round_}")
            time.sleep(dice.uniform(0, 0.4))
            _fill(filler, free * 1024)
            waited = eventually(lambda b=batch: "disk space" in campaign.progress(b)["reason"], 8)
            campaign.counted["paused"] += waited
            refused = campaign.server.request("POST", "/api/row/1/batch", [{"nonce": 1}])
            campaign.counted[f"submission answered {refused.status}"] += 1
            campaign.counted["left half done"] += refused.status not in {202, 507}
            campaign.counted["late"] += campaign.server.request("GET", "/health").status != 200
            filler.unlink()
            began = time.monotonic()
            campaign.counted["late"] += not eventually(lambda b=batch: not campaign.progress(b)["reason"], 5)
            campaign.finish(batch)
            campaign.notes["after freeing"] = f"{time.monotonic() - began:.1f} s to the end"
            campaign.check("row", batch, rows, artifact=True)
            for one in campaign.insist("GET", "/api/row/1/batch").json():
                campaign.insist("DELETE", f"/api/row/1/batch/{one}")
        if not eventually(lambda: not os.listdir(mount / "data" / "batches")):
            campaign.counted["left half done"] += 1
            print("left:", os.listdir(mount / "data" / "batches"))
        campaign.close()
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)  # noqa: S607
    return [("full disk", campaign)]


def _fill(path: Path, free: int) -> None:
    """Leave so many bytes."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    os.truncate(path, max(0, path.stat().st_size - free))


def storm(folder: Path, options: argparse.Namespace, dice: random.Random) -> list[tuple[str, Campaign]]:  # noqa: ARG001
    """Repeat one submission by a hundred clients while the server is killed."""
    campaign = Campaign(folder, dice)
    campaign.publish("row", 1, artifact=False)
    body = json.dumps([{"nonce": n} for n in range(200)]).encode()
    ids: list[str] = []
    statuses: Counter[int] = Counter()

    def client() -> None:
        while True:
            try:
                answer = campaign.server.request("POST", "/api/row/1/batch", body, headers={"Idempotency-Key": "one"})
            except (*GONE, ValueError):
                time.sleep(0.05)
                continue
            statuses[answer.status] += 1
            if answer.status == 202:
                ids.append(answer.json()["batchExecutionId"])
                return
            time.sleep(0.02)

    clients = [threading.Thread(target=client) for _ in range(100)]
    for thread in clients:
        thread.start()
    for _ in range(2):
        time.sleep(dice.uniform(0, 0.3))
        campaign.server.stop(kill=True)
        campaign.counted["server killed"] += 1
        campaign.start()
    for thread in clients:
        thread.join()
    other = campaign.insist("POST", "/api/row/1/batch", [{"nonce": 1}], {"Idempotency-Key": "one"})
    campaign.counted["more than one batch"] += len(set(ids)) - 1 + (other.status != 422)
    campaign.counted["more than one batch"] += len(campaign.insist("GET", "/api/row/1/batch").json()) - 1
    campaign.finish(ids[0])
    campaign.check("row", ids[0], 200, artifact=False)
    campaign.notes |= {f"answered {status}": count for status, count in sorted(statuses.items())}
    campaign.close()
    return [("storm of one submission", campaign)]


def eventually(condition: Callable[[], Any], seconds: float = 10) -> bool:
    """Whether a condition comes to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


PARTS = {"kills": kills, "sweep": sweep, "disk": disk, "storm": storm}


def main() -> int:
    """Run the parts, and print what was counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--rows",
        type=int,
        default=600,
        help="rows of a batch (600; where fewer than 10,000, more of them where they are short)",
    )
    parser.add_argument("--kills", type=int, default=8, help="how often each batch is disturbed (8)")
    parser.add_argument("--sites", type=int, default=0, help="how far the sweep goes; 0 for all sites")
    parser.add_argument("--late", type=float, default=5, help="seconds in which a batch must go on after a kill (5)")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part only; may be repeated")
    options = parser.parse_args()
    passed = True
    print(f"seed {options.seed}")
    for name, part in PARTS.items():
        if options.only and name not in options.only:
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = part(Path(folder), options, random.Random(options.seed))
        for title, campaign in found:
            passed = passed and campaign.passed()
            counts = {key: value for key, value in campaign.counted.items() if value and key not in WRONG}
            wrong = {key: campaign.counted[key] for key in WRONG[:4]}
            wrong |= {key: campaign.counted[key] for key in WRONG[4:] if campaign.counted[key]}
            told = ", ".join(f"{key} {value}" for key, value in (wrong | counts | campaign.notes).items())
            print(f"| {title} | {told} | {'passed' if campaign.passed() else 'FAILED'} |", flush=True)
        print(f"({name}: {time.monotonic() - began:.0f} s)", flush=True)
    print("\npassed" if passed else "\nFAILED")
    return not passed


if __name__ == "__main__":
    sys.exit(main())
