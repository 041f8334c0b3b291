"""Starts the process that judges a model, and says how it ended when it gives no verdict."""

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
from jupyter_mlops.schema.realtime import Verdict

MEMORY = 3 * 2**30
"""Bytes that a check may use beside some copies of the model."""
_COPIES = 4
_AT_A_TIME = 2
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Checker:
    """Judges models, a few at a time, each in a throw-away process.

    Parameters
    ----------
    environment:
        Variables of the process.
    directory:
        Where its empty working directory is made.
    seconds:
        How long a check may take.
    """

    def __init__(self, environment: Mapping[str, str], directory: Path, seconds: float) -> None:
        self._environment = {**environment, **_THREADS}
        self._directory = directory
        self._seconds = seconds
        self._turn = asyncio.Semaphore(_AT_A_TIME)

    async def check(self, path: Path) -> Verdict:
        """Judge a model file, named by its whole path.

        Raises
        ------
        PublishRefused
            When it is refused, or its check ends before a verdict, with the reason.
        """
        memory = MEMORY + _COPIES * (await asyncio.to_thread(path.stat)).st_size
        arguments = [str(path), str(round(self._seconds) + 1), str(memory)]
        async with self._turn:
            with tempfile.TemporaryDirectory(prefix="check-", dir=self._directory) as folder:
                verdict = await self._run(arguments, folder)
        if verdict.error:
            raise PublishRefused(f"the model is refused: {verdict.error}", fields="$.model")
        return verdict

    async def _run(self, arguments: list[str], folder: str) -> Verdict:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "jupyter_mlops.realtime.check",
            *arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=self._environment,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._seconds):
                told, _ = await process.communicate()
        except TimeoutError:
            return Verdict(error=self._too_long())
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            return msgspec.json.decode(told, type=Verdict)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Verdict(error=self._ending(process.returncode or 0))

    def _ending(self, code: int) -> str:
        if code in {-signal.SIGXCPU, -signal.SIGKILL}:
            return self._too_long()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        return (
            f"reading or running it ended the process that checked it ({how}): it is damaged, needs too much memory, "
            "or meets a defect of onnxruntime"
        )

    def _too_long(self) -> str:
        return f"reading it and answering a few made-up rows took longer than the {self._seconds:g} s of a check"
