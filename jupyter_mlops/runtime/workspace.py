"""A session inside its kernel: variables, code that runs on them, and snapshots of both."""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from jupyter_mlops.codec import json_of
from jupyter_mlops.errors import Conflict, InternalError, MLOpsError, NotFound
from jupyter_mlops.runtime.console import LiveConsole
from jupyter_mlops.runtime.exchange import capture_into, dump, load_dump, restore
from jupyter_mlops.runtime.load import limit_threads, user_traceback
from jupyter_mlops.runtime.mark import Mark
from jupyter_mlops.runtime.workdir import WorkDir
from jupyter_mlops.schema.channel import (
    Capture,
    DeleteObject,
    Done,
    Execute,
    GetObject,
    ListObjects,
    Open,
    Restore,
    SessionRequest,
    SetObject,
)
from jupyter_mlops.schema.sessions import ExecuteResponse, WorkspaceObject


def open_workspace(request: Open) -> Workspace:
    """Make this process a session.

    Parameters
    ----------
    request:
        What the server says about it.
    """
    console = LiveConsole(request.console_limit, request.console)
    sys.stdout = sys.stderr = console
    limit_threads(request.threads)
    shell = InteractiveShell.instance()
    shell.display_pub = _Display(parent=shell)  # type: ignore[no-untyped-call]
    return Workspace(shell, console, Mark(request.mark), WorkDir(Path.cwd(), {}))


class _Display(DisplayPublisher):
    """A session has no front end: the text of what is displayed belongs to its console."""

    def publish(self, data: dict[str, Any], *_: Any, **__: Any) -> None:
        print(data.get("text/plain", ""))  # noqa: T201  # standard output is the console


class Workspace:
    """Serves a session's requests, one at a time.

    Parameters
    ----------
    shell:
        IPython's; its transformations and magics are known to the code.
    console:
        Takes what an execution prints.
    mark:
        Where the running request's id is written before user code runs.
    workdir:
        The working directory.
    """

    def __init__(self, shell: InteractiveShell, console: LiveConsole, mark: Mark, workdir: WorkDir) -> None:
        self._shell = shell
        self._console = console
        self._mark = mark
        self._workdir = workdir
        self._namespace: dict[str, Any] = sys.modules["__main__"].__dict__
        self._count = itertools.count(1)
        self._running = 0
        self._armed = False
        self._task: asyncio.Task[Any] | None = None

    async def serve(self, request: SessionRequest) -> Done:
        """Do what is asked; a refusal is an answer too."""
        self._running = request.id
        self._mark.begin(request.id)
        try:
            body = await self._execute(request) if isinstance(request, Execute) else self._do(request)
            return Done(request.id, body)
        except MLOpsError as error:
            return Done(request.id, error=type(error).__name__, message=error.message)
        except Exception as error:  # noqa: BLE001  # a full disk, or a defect of ours: who asked waits for an answer
            message = f"the session could not do this ({type(error).__name__}: {error})"
            return Done(request.id, error=InternalError.__name__, message=message)
        finally:
            self._mark.end()

    def interrupt(self) -> None:
        """Stop the running request, at most once; called from the SIGINT handler.

        Raises
        ------
        KeyboardInterrupt
            Into the user's code, when it is running.
        """
        if self._mark.unwanted() != self._running:
            return
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        elif self._armed:
            self._armed = False
            raise KeyboardInterrupt

    def _do(self, request: SessionRequest) -> bytes:
        match request:
            case ListObjects():
                return msgspec.msgpack.encode(self._names())
            case SetObject(name=name, path=path):
                self._namespace[name] = self._user_code(lambda: load_dump(path))
            case GetObject(name=name, path=path):
                value = self._find(name)
                self._user_code(lambda: dump(name, value, path))
            case DeleteObject(name=name):
                self._find(name)
                del self._namespace[name]
            case Capture(folder=folder):
                names = self._names(modules=True)
                manifest = self._user_code(lambda: capture_into(Path(folder), self._namespace, names))
                return msgspec.msgpack.encode(manifest)
            case Restore() as snapshot:
                self._namespace.update(self._user_code(lambda: restore(snapshot)))
        return b""

    def _user_code(self, work: Callable[[], Any]) -> Any:
        """Do what runs the objects' own code, so that it can be interrupted."""
        try:
            self._armed = True
            return work()
        except (KeyboardInterrupt, SystemExit) as error:
            raise Conflict(f"it was stopped by {type(error).__name__}") from None
        finally:
            self._armed = False

    def _find(self, name: str) -> Any:
        if name not in self._namespace or self._hidden(name):
            raise NotFound(f"the session has no object {name!r}")
        return self._namespace[name]

    def _names(self, *, modules: bool = False) -> list[str]:
        """The user's variables; modules are found by their own names, and only a snapshot asks for them."""
        return [
            name
            for name, value in self._namespace.items()
            if not self._hidden(name) and (modules or not inspect.ismodule(value))
        ]

    def _hidden(self, name: str) -> bool:
        return name.startswith("__") or name in self._shell.user_ns_hidden or name == "_exit_code"

    async def _execute(self, request: Execute) -> bytes:
        self._workdir.accept()
        self._console.begin()
        error = ""
        outputs: tuple[WorkspaceObject, ...] = ()
        try:
            self._namespace.update(msgspec.msgpack.decode(request.inputs))
            await self._run(request.code)
            outputs = tuple(WorkspaceObject(name=name, value=self._output(name)) for name in request.outputs)
        # The code is the user's: whatever it raises, sys.exit() included, is this request's answer.
        except BaseException as raised:  # noqa: BLE001
            self._armed = False
            stopped = isinstance(raised, KeyboardInterrupt | asyncio.CancelledError)
            readable = isinstance(raised, _NoValue)
            error = "the execution was cancelled" if stopped else str(raised) if readable else user_traceback(raised)
        finally:
            self._task = None
        changed, _ = self._workdir.changes()
        return msgspec.json.encode(
            ExecuteResponse(
                success=not error,
                error_message=error,
                output_parameters=outputs,
                console_output=self._console.end(),
                changed_files=changed,
            )
        )

    async def _run(self, code: str) -> None:
        """Run statements one group after another; the value of a last expression is displayed, as in a notebook."""
        name = f"<execution {next(self._count)}>"
        with self._shell.builtin_trap:
            source = self._shell.transform_cell(code)  # type: ignore[no-untyped-call]
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
            tree = compile(source, name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            assert isinstance(tree, ast.Module)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            await self._step(compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
            if isinstance(last, ast.Expr):
                expression = ast.Expression(last.value)
                value = await self._step(compile(expression, name, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
                if value is not None:
                    display(value)  # type: ignore[no-untyped-call]

    async def _step(self, code: Any) -> Any:
        self._armed = True
        if self._mark.unwanted() == self._running:
            self.interrupt()
        # This is what a session is for: its owner's code, run in the kernel made for it.
        value = eval(code, self._namespace)  # noqa: S307
        self._armed = False
        if code.co_flags & inspect.CO_COROUTINE:
            self._task = asyncio.ensure_future(value)
            value = await self._task
            self._task = None
        return value

    def _output(self, name: str) -> Any:
        if name not in self._namespace:
            raise _NoValue(f"the code ran, and left no variable {name!r}")
        try:
            return json_of(self._namespace[name])
        except (TypeError, ValueError, RecursionError) as error:
            raise _NoValue(
                f"the code ran, and {name!r} has no JSON form ({error}); fetch it as bytes: GET .../workspace/{name}"
            ) from None


class _NoValue(Exception):
    """An output cannot be given; the message says why."""
