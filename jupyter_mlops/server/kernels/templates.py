"""Templates: processes that have loaded what kernels need, and are forked to make them (Linux only).

One *base* per interpreter has imported ipykernel and the modules that snapshots have needed so far. Forked from
it, one template per revision has the snapshot loaded; the kernels of a pool are forks of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from jupyter_mlops.errors import MLOpsError, PublishRefused
from jupyter_mlops.inner_end import CHANNEL_VARIABLE
from jupyter_mlops.schema.channel import Fork, Forked, Warm, Warmed
from jupyter_mlops.server.kernels.channel import Connection, Listener, Spoken

log = logging.getLogger(__name__)

T = TypeVar("T", Warmed, Forked)

START_SECONDS = 60.0


class ForkedProcess:
    """A process forked by a template, with the methods of `subprocess.Popen` that jupyter_client uses.

    Parameters
    ----------
    pid:
        The fork; held by a descriptor, so that no later process can be taken for it.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._descriptor = -1
            self.returncode = -1

    def poll(self) -> int | None:
        """-1 when it has ended, else None; the template, its parent, keeps no exit codes."""
        if self.returncode is None and select.select([self._descriptor], [], [], 0)[0]:
            self._ended()
        return self.returncode

    def wait(self) -> int:
        """Wait until it has ended."""
        if self.returncode is None:
            select.select([self._descriptor], [], [])
            self._ended()
        return -1

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def _ended(self) -> None:
        os.close(self._descriptor)
        self.returncode = -1


class Template:
    """A running template.

    Parameters
    ----------
    process:
        The process, started or forked.
    connection:
        What it is told through.
    """

    def __init__(self, process: ForkedProcess | subprocess.Popen[bytes], connection: Connection) -> None:
        self._process = process
        self._connection = connection
        self._asked: deque[asyncio.Future[Spoken]] = deque()
        self.alive = True
        self.imported: set[str] = set()
        """Modules that it was told to import for others' sake."""
        connection.on_message = self._receive
        connection.on_lost = self._lost

    async def warm(self, modules: Sequence[str], stream: str, buffers: tuple[str, ...]) -> Warmed:
        """Import modules and load a snapshot in it."""
        return await self._ask(Warm(tuple(modules), stream, buffers), Warmed)

    async def fork(self, arguments: Sequence[str], directory: Path, environment: dict[str, str], log: Path) -> int:
        """Fork it; the pid of the child.

        Parameters
        ----------
        arguments:
            The words of a kernel's command line; none makes another template.
        directory, environment, log:
            The child's current directory, variables, and the file for what it prints.
        """
        forked = await self._ask(Fork(tuple(arguments), str(directory), environment, str(log)), Forked)
        return forked.pid

    async def end(self) -> None:
        """Kill it, and wait for its end."""
        self.alive = False
        self._connection.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def _ask(self, message: Warm | Fork, kind: type[T]) -> T:
        if not self.alive:
            raise PublishRefused("the template has ended")
        future: asyncio.Future[Spoken] = asyncio.get_running_loop().create_future()
        self._asked.append(future)
        self._connection.send(message)
        answer = await future
        assert isinstance(answer, kind)
        return answer

    def _receive(self, message: Spoken) -> None:
        future = self._asked.popleft()
        if not future.done():
            future.set_result(message)

    def _lost(self) -> None:
        self.alive = False
        for future in self._asked:
            if not future.done():
                future.set_exception(PublishRefused("the process that loads the service ended while it did"))
        self._asked.clear()


class Templates:
    """Every template of a server.

    Parameters
    ----------
    directory:
        The run directory, for the logs.
    listener:
        What templates connect to.
    path:
        A folder that holds this package and nothing else, for interpreters that lack it.
    environment:
        Variables of every process that the server starts.
    common:
        What a base imports after the first revision, whether that needed it or not; absent ones are passed over.
    """

    def __init__(
        self, directory: Path, listener: Listener, path: Path, environment: dict[str, str], common: Sequence[str]
    ) -> None:
        self._directory = directory
        self._listener = listener
        self._path = path
        self._environment = environment
        self._common = frozenset(common)
        self._bases: dict[str, asyncio.Task[Template]] = {}
        self._revisions: dict[str, asyncio.Task[Template | None]] = {}
        self._warming: set[asyncio.Task[None]] = set()

    async def of(self, revision: str, interpreter: str, stream: str, buffers: tuple[str, ...]) -> Template | None:
        """The template of a revision, made on first use; None when the revision cannot be forked.

        Parameters
        ----------
        revision:
            The revision's id.
        interpreter:
            Path of its Python.
        stream, buffers:
            Paths of its snapshot; an empty stream for a revision without one.

        Raises
        ------
        PublishRefused
            When the snapshot does not load.
        """
        task = self._revisions.get(revision)
        if task is None or (task.done() and not _usable(task)):
            task = asyncio.ensure_future(self._grow(interpreter, stream, buffers))
            self._revisions[revision] = task
        return await asyncio.shield(task)

    async def plain(self, interpreter: str) -> Template:
        """What a kernel without a snapshot is forked from: the interpreter's base itself."""
        return await self._base(interpreter)

    async def drop(self, revision: str) -> None:
        """End the template of a revision."""
        task = self._revisions.pop(revision, None)
        if task is not None:
            await _end(task)

    async def close(self) -> None:
        """End every template."""
        tasks = [*self._revisions.values(), *self._bases.values()]
        self._revisions.clear()
        self._bases.clear()
        await asyncio.gather(*(_end(task) for task in tasks))

    async def _grow(self, interpreter: str, stream: str, buffers: tuple[str, ...]) -> Template | None:
        base = await self._base(interpreter)
        template = await self._fork(base)
        warmed = await template.warm((), stream, buffers)
        if warmed.error:
            await template.end()
            raise PublishRefused(warmed.error)
        self._learn(base, warmed.modules)
        if not warmed.forkable:
            log.info("loading started threads, so this service's kernels start cold")
            await template.end()
            return None
        return template

    async def _base(self, interpreter: str) -> Template:
        task = self._bases.get(interpreter)
        if task is None or (task.done() and not _usable(task)):
            task = asyncio.ensure_future(self._start(interpreter))
            self._bases[interpreter] = task
        return await asyncio.shield(task)

    async def _start(self, interpreter: str) -> Template:
        channel, greeted = self._expect()
        with (self._directory / "templates.log").open("ab") as sink:
            process = subprocess.Popen(  # noqa: ASYNC220  # a few milliseconds, once an interpreter
                [interpreter, "-c", boot(self._path, "template")],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=self._directory,
                env=self._environment | channel | {"JPY_PARENT_PID": str(os.getpid())},
                start_new_session=True,
            )
        return await self._greeted(process, greeted)

    async def _fork(self, base: Template) -> Template:
        channel, greeted = self._expect()
        log_file = self._directory / "templates.log"
        pid = await base.fork((), self._directory, self._environment | channel, log_file)
        return await self._greeted(ForkedProcess(pid), greeted)

    def _expect(self) -> tuple[dict[str, str], asyncio.Future[Connection]]:
        key = secrets.token_urlsafe(24)
        return {CHANNEL_VARIABLE: f"{self._listener.address} {key}"}, self._listener.expect(key)

    async def _greeted(
        self, process: ForkedProcess | subprocess.Popen[bytes], greeted: asyncio.Future[Connection]
    ) -> Template:
        try:
            async with asyncio.timeout(START_SECONDS):
                while not greeted.done():
                    await asyncio.wait([greeted], timeout=0.1)
                    if process.poll() is not None:
                        break
        finally:
            if not greeted.done():
                greeted.cancel()
                process.kill()
                process.wait()
        if greeted.cancelled():
            raise PublishRefused("the process that shall load services ended at once; its log is templates.log")
        return Template(process, greeted.result())

    def _learn(self, base: Template, modules: tuple[str, ...]) -> None:
        """Let the base import meanwhile, for the next revision, what this one has brought in."""
        names = {name for name in modules if not name.startswith("_") and name not in sys.stdlib_module_names}
        new = (names | self._common) - base.imported
        if new:
            base.imported |= new
            task = asyncio.ensure_future(_warm(base, sorted(new)))
            self._warming.add(task)
            task.add_done_callback(self._warming.discard)


async def _warm(base: Template, modules: list[str]) -> None:
    with contextlib.suppress(PublishRefused):  # it has ended; the next one is told again
        await base.warm(modules, "", ())


def boot(path: Path, entry: str) -> str:
    """The program that starts a kernel (`kernel`) or a base (`template`) in any interpreter.

    Parameters
    ----------
    path:
        A folder that holds this package and nothing else.
    entry:
        Which of the two.
    """
    function = {"kernel": "cold", "template": "main"}[entry]
    return (
        f"import sys; sys.path[:] = [p for p in sys.path if p]; sys.path.append({str(path)!r}); "
        f"from jupyter_mlops.runtime.{entry} import {function}; {function}()"
    )


def available() -> bool:
    """Whether this system can fork kernels and watch them."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def _usable(task: asyncio.Task[Template] | asyncio.Task[Template | None]) -> bool:
    if task.cancelled() or task.exception() is not None:
        return False
    template = task.result()
    return template is None or template.alive


async def _end(task: asyncio.Task[Template] | asyncio.Task[Template | None]) -> None:
    with contextlib.suppress(MLOpsError, asyncio.CancelledError, OSError, TimeoutError):
        template = await task
        if template is not None:
            await template.end()
