"""Lets models be judged in throw-away processes, and says how one ended that gave no verdict."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from jupyter_mlops.errors import PublishRefused
from jupyter_mlops.schema.realtime import Ending, Task, Verdict

MEMORY = 3 * 2**30
"""Bytes that a check may use beside some copies of the model."""
_COPIES = 4
_AT_A_TIME = 2
_START_SECONDS = 60.0
_LONGEST_LINE = 256 * 2**20
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Checker:
    """Judges models, a few at a time, each in a fork of a process that has loaded what that needs.

    Parameters
    ----------
    environment:
        Variables of the processes.
    directory:
        Where their empty working directories are made.
    seconds:
        How long a check may take.
    """

    def __init__(self, environment: Mapping[str, str], directory: Path, seconds: float) -> None:
        self._environment = {**environment, **_THREADS}
        self._directory = directory
        self._seconds = seconds
        self._turn = asyncio.Semaphore(_AT_A_TIME)
        self._idle: list[asyncio.subprocess.Process] = []

    async def check(self, path: Path) -> Verdict:
        """Judge a model file, named by its whole path.

        Raises
        ------
        PublishRefused
            When it is refused, or its check ends before a verdict, with the reason.
        """
        memory = MEMORY + _COPIES * (await asyncio.to_thread(path.stat)).st_size
        async with self._turn:
            with tempfile.TemporaryDirectory(prefix="check-", dir=self._directory) as folder:
                ending = await self._ask(Task(str(path), self._seconds, memory, folder))
        verdict = ending.verdict or Verdict(error=self._told(ending))
        if verdict.error:
            raise PublishRefused(f"the model is refused: {verdict.error}", fields="$.model")
        return verdict

    async def close(self) -> None:
        """End the processes that are left."""
        for process in self._idle:
            await _end(process)
        self._idle.clear()

    async def _ask(self, task: Task) -> Ending:
        """Let an idle nursery do it, or a new one when there is none."""
        process = await self._nursery()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(task) + b"\n")
            async with asyncio.timeout(_START_SECONDS + task.seconds):
                ending = msgspec.json.decode(await process.stdout.readline(), type=Ending)
        except (TimeoutError, OSError, ValueError) as error:
            await _end(process)
            if isinstance(error, TimeoutError):
                return Ending(late=True)
            return Ending(code=process.returncode or 1)
        except BaseException:
            await _end(process)
            raise
        self._idle.append(process)
        return ending

    async def _nursery(self) -> asyncio.subprocess.Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "jupyter_mlops.realtime.nursery",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._directory,
            env=self._environment,
            start_new_session=True,
            limit=_LONGEST_LINE,
        )

    def _told(self, ending: Ending) -> str:
        if ending.late or ending.signal == signal.SIGXCPU:
            return f"reading it and answering a few made-up rows took longer than the {self._seconds:g} s of a check"
        how = f"by {signal.Signals(ending.signal).name}" if ending.signal else f"with code {ending.code}"
        return (
            f"reading or running it ended the process that checked it ({how}): it is damaged, needs too much memory, "
            "or meets a defect of onnxruntime"
        )


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
