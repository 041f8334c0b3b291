"""The process that forks the processes that judge models: it has loaded what they need, and reads no model itself.

Run as `python -m jupyter_mlops.realtime.nursery`: each line that comes in is a `Task`, each that goes out an `Ending`.
Whatever a model does to the fork that reads it, it does to nobody else.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from pathlib import Path

import msgspec

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.realtime.check import judge
from jupyter_mlops.realtime.limits import address_space, die_with_parent, limit_process
from jupyter_mlops.schema.realtime import Ending, Task, Verdict

IDLE_SECONDS = 300.0
"""How long it waits for another model before it ends."""
_FILE_LIMIT = 2**20
_CHUNK = 65536


def main() -> None:
    """Judge models, one after another, until nobody asks any more."""
    die_with_parent()
    gc.freeze()
    decode = msgspec.json.Decoder(Task).decode
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.buffer.readline()
        if not line:
            break
        sys.stdout.buffer.write(msgspec.json.encode(_attend(decode(line))) + b"\n")
        sys.stdout.buffer.flush()


def _attend(task: Task) -> Ending:
    """Let a fork judge a model, and wait for its end."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _judge(task, writer)
    os.close(writer)
    told, late = _read(reader, time.monotonic() + task.seconds)
    os.close(reader)
    if late:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    verdict = None if late or code else msgspec.json.decode(told, type=Verdict)
    return Ending(verdict, signal=max(0, -code), code=max(0, code), late=late)


def _read(reader: int, deadline: float) -> tuple[bytes, bool]:
    """What the fork says until it ends, and whether the time was over before."""
    told = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([reader], [], [], left)[0]:
            break
        data = os.read(reader, _CHUNK)
        if not data:
            return bytes(told), False
        told += data
    return b"", True


def _judge(task: Task, writer: int) -> None:
    """In the fork: judge the model, say so, and end without anything of what the nursery would do at its end."""
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1):
            os.dup2(nowhere, number)
        die_with_parent()
        os.chdir(task.folder)
        limit_process(memory=address_space() + task.memory, seconds=int(task.seconds) + 1, file=_FILE_LIMIT)
        told = memoryview(msgspec.json.encode(_verdict(task)))
        while told:
            told = told[os.write(writer, told) :]
        code = 0
    finally:
        os._exit(code)


def _verdict(task: Task) -> Verdict:
    try:
        return judge(Path(task.path))
    except InvalidRequest as error:
        return Verdict(error=error.message)
    except MemoryError:
        return Verdict(error=f"reading or running it needs more than the {task.memory} bytes that a check may use")


if __name__ == "__main__":
    main()
