"""A scoring process on a worker of the cluster, as the task that uses it sees it."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from jupyter_mlops.framing import Frames, frame
from jupyter_mlops.schema.channel import (
    MARK_BYTES,
    MAX_FRAME,
    RUNNING,
    UNWANTED,
    WITHDRAWN,
    Greeting,
    Load,
    Loaded,
    Slice,
    SliceReply,
)
from jupyter_mlops.schema.driver import Task, Yield

LOAD_SECONDS = 120.0
WATCH_SECONDS = 0.1
"""How often the row that runs is looked at."""
GRACE_SECONDS = 2.0
"""How long an interrupted row may take to end before its process is killed."""
STOP_SECONDS = 0.7
"""The same when the batch was cancelled."""
_PIECE = 2**20
_TAIL = 12

_DECODER = msgspec.msgpack.Decoder(Greeting | Loaded | SliceReply)


class DoesNotLoad(Exception):
    """The revision cannot be called on this worker; the message says why."""


class Child:
    """One process that has a revision loaded, and runs slices of it one after another.

    Parameters
    ----------
    directory:
        A new one, which goes with it.
    load:
        The revision, its paths being this machine's.

    Raises
    ------
    DoesNotLoad
        With the reason.
    """

    def __init__(self, directory: Path, load: Load) -> None:
        self._directory = directory
        self._next = 1
        self._stop: tuple[bool, float] | None = None
        self._reason = ""
        self.used = time.monotonic()
        """When it last ended a slice, on the monotonic clock."""
        (directory / "work").mkdir(parents=True, mode=0o700)
        mark = directory / "mark"
        mark.write_bytes(bytes(MARK_BYTES))
        with mark.open("r+b") as file:
            self._page = memoryview(mmap.mmap(file.fileno(), MARK_BYTES)).cast("Q")
        self._frames = Frames(MAX_FRAME)
        self._connection, theirs = socket.socketpair()
        with theirs, (directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyter_mlops.runtime.remote", str(theirs.fileno())],
                cwd=directory / "work",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"MPLBACKEND": "Agg"},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._load(msgspec.structs.replace(load, mark=str(mark)))

    def run(self, task: Task, rows: bytes, worker: str) -> Yield:
        """Run a slice to its end, or to this process's.

        Parameters
        ----------
        task, rows:
            What to run.
        worker:
            Address of this worker, for the answer.
        """
        number, self._stop = self._next, None
        inputs, results = (self._directory / f"{kind}-{number}" for kind in ("inputs", "results"))
        inputs.write_bytes(rows)
        request = Slice(
            id=number,
            path=str(inputs),
            offset=0,
            length=len(rows),
            start=0,
            count=task.count,
            first=task.first,
            columnar=task.columnar,
            results=str(results),
            end=0,
            seconds=task.seconds,
        )
        self._next = request.last() + 1
        try:
            self._send(request)
            reply, reason = self._watch(request, task.timeout)
            found = results.read_bytes() if results.exists() else b""
        finally:
            for path in (inputs, results):
                path.unlink(missing_ok=True)
            self.used = time.monotonic()
        if reply is not None:
            return Yield(worker, done=reply.done, seconds=reply.seconds, results=found)
        marked = self._page[RUNNING]
        row = task.first + marked - number if number <= marked <= request.last() else None
        return Yield(worker, row=row, reason=reason, results=found)

    def stop(self, *, gently: bool) -> None:
        """Let the slice end that runs: at once, or gently after its running row; called from another thread."""
        self._stop = gently, time.monotonic()

    def alive(self) -> bool:
        """Whether it can run another slice."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it, with its process group, and remove its directory."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._connection.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _load(self, load: Load) -> None:
        self._send(load)
        error = self._loaded()
        if error:
            self.close()
            raise DoesNotLoad(error)

    def _loaded(self) -> str:
        """Wait until the revision is loaded; why it is not, or nothing."""
        deadline = time.monotonic() + LOAD_SECONDS
        try:
            while time.monotonic() < deadline:
                for message in self._receive():
                    if isinstance(message, Loaded):
                        return message.error
        except OSError:
            lines = (self._directory / "log").read_text(errors="replace").splitlines()
            words = "\n".join(lines[-_TAIL:])
            return f"the process ended while the service loaded; its last words:\n{words}"
        return f"the service did not load within {LOAD_SECONDS:.0f} s"

    def _watch(self, request: Slice, timeout: float) -> tuple[SliceReply | None, str]:
        """Wait for the answer, or for this process's end and its reason."""
        step, since, late = -1, time.monotonic(), False
        self._reason = "ended"
        while True:
            try:
                for message in self._receive():
                    if isinstance(message, SliceReply):
                        return message, ""
            except OSError:
                self._process.wait()
                return None, self._reason
            now, running = time.monotonic(), self._page[RUNNING]
            self._heed(request, running, now)
            if running != step:
                step, since, late = running, now, False
            elif not late and now - since > timeout:
                late = True
                self._interrupt(running)
            elif now - since > timeout + GRACE_SECONDS:
                self._kill(f"ran past the deadline of {timeout:g} s, heeded no interrupt")

    def _heed(self, request: Slice, running: int, now: float) -> None:
        """Do what `stop` asked for."""
        if self._stop is None:
            return
        gently, when = self._stop
        self._page[WITHDRAWN] = request.last()
        if not gently:
            self._interrupt(running)
        if not gently and now - when > STOP_SECONDS:
            self._kill("was stopped")

    def _interrupt(self, running: int) -> None:
        if running and self._page[UNWANTED] != running:
            self._page[UNWANTED] = running
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGINT)

    def _kill(self, reason: str) -> None:
        self._reason = reason
        self._process.kill()

    def _send(self, message: Load | Slice) -> None:
        self._connection.settimeout(LOAD_SECONDS)
        with contextlib.suppress(ConnectionError):  # then reading tells
            self._connection.sendall(frame(msgspec.msgpack.encode(message)))

    def _receive(self) -> list[Greeting | Loaded | SliceReply]:
        """What has come, after a short wait when nothing has.

        Raises
        ------
        ConnectionResetError
            When the process has ended.
        """
        if not select.select([self._connection], [], [], WATCH_SECONDS)[0]:
            return []
        data = self._connection.recv(_PIECE)
        if not data:
            raise ConnectionResetError
        return [_DECODER.decode(message) for message in self._frames.feed(data)]
