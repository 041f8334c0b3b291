"""Kernels are killed under load; every answer must reach its own caller and nothing may leak.

    python campaigns/kernel_faults.py [--kills 500] [--calls 100000] [--callers 16]

Callers send a nonce and expect it back. Some hang up at a random moment, some send a call that runs past its
deadline, some a call that ends its own kernel. Meanwhile kernels are killed from outside. The run fails when an
answer carries another's nonce, when more calls died than kernels did, or when a process, a socket, a file or a
connection file is left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support import RunningServer

CODE = """
import os, sys, time
if how == "exit": os._exit(3)
if how == "sys.exit": sys.exit(3)
if how == "late": time.sleep(5)
if how == "slow": time.sleep(0.02)
answer = nonce
"""
NAME, VERSION = "nonce", "1"


async def request(server: RunningServer, nonce: int, how: str, patience: float | None) -> tuple[int, bytes]:
    """Send one call over a connection of its own; 0 when the caller hung up."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    body = json.dumps({"nonce": nonce, "how": how}).encode()
    head = (
        f"POST /api/{NAME}/{VERSION} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head.encode() + body)
        answer = await asyncio.wait_for(reader.read(-1), patience)
    except TimeoutError:
        return 0, b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    status, _, content = answer.partition(b"\r\n\r\n")
    return int(status.split()[1]), content


async def caller(server: RunningServer, nonces: list[int], seen: Counter[str], dice: random.Random) -> None:
    """Send calls until there are no nonces left."""
    while nonces:
        nonce = nonces.pop()
        how = dice.choices(["", "slow", "late", "exit", "sys.exit"], [0.95, 0.04, 0.003, 0.002, 0.005])[0]
        patience = dice.random() * 0.02 if dice.random() < 0.02 else None
        status, content = await request(server, nonce, how, patience)
        seen[f"status {status}" if status else "hung up"] += 1
        if status == 200 and how != "sys.exit":
            found = json.loads(content)["outputParameters"].get("answer")
            seen["wrong"] += found != nonce


async def killer(server: RunningServer, kills: int, seen: Counter[str], dice: random.Random) -> None:
    """Kill kernels, one at a time."""
    while seen["killed"] < kills:
        await asyncio.sleep(dice.random() * 0.15)
        pids = await asyncio.to_thread(server.kernels, NAME, VERSION)
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(dice.choice(pids), dice.choice([signal.SIGKILL, signal.SIGSEGV]))
                seen["killed"] += 1


def left(server: RunningServer) -> dict[str, int]:
    """What could leak: processes, open files of the server, entries of its run directory."""
    process = psutil.Process(server.process.pid)
    (kernel, *_) = server.kernels(NAME, VERSION)
    run = Path(os.readlink(f"/proc/{kernel}/cwd")).parents[1]
    return {
        "processes": sum(p.status() != psutil.STATUS_ZOMBIE for p in process.children(recursive=True)),
        "zombies": sum(p.status() == psutil.STATUS_ZOMBIE for p in process.children(recursive=True)),
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "run directory": len(list(run.iterdir())),
    }


async def run(arguments: argparse.Namespace) -> bool:
    """Run the campaign and print its table; say whether it passed."""
    dice = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as directory:
        server = RunningServer(Path(directory) / "data")
        server.publish_code(
            NAME, VERSION, CODE, "nonce:integer,how:character", "answer:integer",
            timeout=2, pool={"initialPoolSize": 2, "maxPoolSize": 2},
        )  # fmt: skip
        await asyncio.sleep(1)
        before = left(server)
        seen: Counter[str] = Counter()
        nonces = list(range(arguments.calls))
        started = time.monotonic()
        kills = asyncio.ensure_future(killer(server, arguments.kills, seen, dice))
        while nonces or not kills.done():
            nonces = nonces or list(range(10**9, 10**9 + 1000))  # go on calling until every kill is done
            await asyncio.gather(*(caller(server, nonces, seen, dice) for _ in range(arguments.callers)))
        await kills
        seconds = time.monotonic() - started
        await asyncio.sleep(6)
        after = left(server)
        ended = server.stop()
    print(f"seed {arguments.seed}, {seconds:.0f} s\n")
    for name, count in sorted(seen.items()):
        print(f"| {name} | {count} |")
    print(f"| left, before | {before} |\n| left, after | {after} |\n| exit code | {ended} |")
    leaked = {name for name in before if after[name] > before[name] + 5}
    return seen["wrong"] == 0 and not leaked and ended == 0 and seen["status 500"] == 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    passed = asyncio.run(run(parser.parse_args()))
    print("\npassed" if passed else "\nFAILED")
    sys.exit(not passed)
