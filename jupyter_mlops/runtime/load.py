"""Bring a revision back to life: its objects into `__main__`, its files into the working directory."""

from __future__ import annotations

import contextlib
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

from jupyter_mlops.environments import differences
from jupyter_mlops.inputs import InputReader
from jupyter_mlops.objects import OtherPython, load_objects
from jupyter_mlops.runtime.console import Console
from jupyter_mlops.runtime.workdir import WorkDir
from jupyter_mlops.schema.channel import Load
from jupyter_mlops.schema.services import Definition
from jupyter_mlops.schema.snapshots import Environment

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Service:
    """A revision that is ready to be called."""

    definition: Definition
    reader: InputReader
    namespace: dict[str, Any]
    workdir: WorkDir
    function: Callable[..., Any] | None
    """What is called with the inputs by name; None for a service that is code."""
    code: CodeType | None
    init_code: CodeType | None

    @property
    def asynchronous(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(
            getattr(self.function, "__call__", None)  # noqa: B004
        )


def differing(recorded: Environment) -> tuple[str, ...]:
    """What this Python has otherwise than the one where a snapshot was captured, a line each.

    Parameters
    ----------
    recorded:
        The snapshot's record.
    """
    if recorded.executable in {"", sys.executable}:
        return ()
    return tuple(
        f"{row.what}: captured with {row.recorded}, {row.here or 'not installed'} here"
        for row in differences(recorded).rows
    )


def load(request: Load, console: Console) -> tuple[str, Service | None]:
    """Load a revision.

    Parameters
    ----------
    request:
        What the server says about it.
    console:
        Where `init` prints to.

    Returns
    -------
    tuple of str and Service or None
        A readable error and None, or an empty error and the service.
    """
    console.begin()
    try:
        service = _load(request)
    # What a snapshot does while it loads is the user's code: any exception is the answer, not a defect of ours.
    except BaseException as error:  # noqa: BLE001
        return explain(error), None
    finally:
        printed = console.end()
        if sys.__stderr__ is not None:
            sys.__stderr__.write(printed)
    return "", service


def _load(request: Load) -> Service:
    namespace = sys.modules["__main__"].__dict__
    for source in request.sources:
        lines = source.text.splitlines(keepends=True)
        linecache.cache[source.filename] = (len(source.text), None, lines, source.filename)
    workdir = WorkDir(Path.cwd(), dict(request.files))
    definition = request.definition
    objects: dict[str, Any] = {}
    if request.stream:
        objects = load_objects(request.stream, request.buffers)
    namespace.update(objects)
    limit_threads(request.threads)
    function = objects[definition.function] if definition.function else None
    code = init_code = None
    if function is None:
        code = _compile(definition.code, "<service code>")
        init_code = _compile(definition.init_code, "<init code>") if definition.init_code else None
    if definition.init:
        try:
            objects[definition.init]()
        except Exception as error:
            raise _InitFailed(user_traceback(error)) from error
    workdir.settle()
    return Service(
        definition=definition,
        reader=InputReader(definition.inputs),
        namespace=namespace,
        workdir=workdir,
        function=function,
        code=code,
        init_code=init_code,
    )


class _InitFailed(Exception):
    """The service's `init` raised; the message is its traceback."""


def limit_threads(threads: int) -> None:
    """Keep libraries that a template has imported to this kernel's share of the cores; variables tell the others."""
    if "numpy" in sys.modules:
        with contextlib.suppress(ImportError):
            import_module("threadpoolctl").threadpool_limits(threads)


def _compile(code: str, name: str) -> CodeType:
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    return compile(code, name, "exec")


def explain(error: BaseException, what: str = "the service", again: str = "publish again") -> str:
    """Say in a sentence why a snapshot or an object does not load, and what to do.

    Parameters
    ----------
    error:
        What loading raised.
    what, again:
        What was loaded, and what to do when its needs are met.
    """
    match error:
        case _InitFailed():
            return f"init raised:\n{error}"
        case ModuleNotFoundError():
            name = (error.name or str(error)).partition(".")[0]
            return (
                f"{what} needs the module {name!r}, which {sys.executable} does not have; install it there "
                f"({sys.executable} -m pip install {name}) and {again}. A module that is a file of your own "
                "belongs in a notebook cell, or in an installed package"
            )
        case OtherPython():
            return f"{'the snapshot' if what == 'the service' else what} does not load here: {error}"
        case SyntaxError():
            return f"the service's code is not Python: {error}"
        case KeyboardInterrupt() | SystemExit():
            return f"loading was stopped by {type(error).__name__}"
        case _:
            loaded = "the snapshot" if what == "the service" else what
            return f"{loaded} does not load: {type(error).__name__}: {error}"


def user_traceback(error: BaseException) -> str:
    """Format an exception from the first frame that is the user's.

    Parameters
    ----------
    error:
        What the user's code raised.
    """
    frames = error.__traceback__
    while frames is not None and Path(frames.tb_frame.f_code.co_filename).parent == _HERE:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))
