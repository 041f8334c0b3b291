"""Bring a revision back to life: its objects into `__main__`, its files into the working directory."""

from __future__ import annotations

import inspect
import linecache
import mmap
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from jupyter_mlops.inputs import InputReader
from jupyter_mlops.runtime.console import Console
from jupyter_mlops.runtime.workdir import WorkDir
from jupyter_mlops.schema.channel import Load
from jupyter_mlops.schema.services import Definition

_HERE = Path(__file__).parent

MAIN_REFERENCE = ("main",)
"""Persistent id under which a stream names the namespace that its functions share."""


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
    except (KeyboardInterrupt, SystemExit) as error:
        return f"loading was stopped by {type(error).__name__}", None
    except ModuleNotFoundError as error:
        return _missing_module(error), None
    # What a snapshot does while it loads is the user's code: any exception is the answer, not a defect of ours.
    except Exception as error:  # noqa: BLE001
        return _explain(error), None
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
        with Path(request.stream).open("rb") as stream:
            objects = _Unpickler(stream, namespace, request.buffers).load()
    namespace.update(objects)
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


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: Any, namespace: dict[str, Any], buffers: tuple[str, ...]) -> None:
        super().__init__(stream, buffers=_mapped(buffers))
        self._namespace = namespace

    def persistent_load(self, pid: Any) -> Any:
        if pid == MAIN_REFERENCE:
            return self._namespace
        raise pickle.UnpicklingError(f"unknown reference {pid!r}")


def _mapped(paths: tuple[str, ...]) -> Iterator[mmap.mmap]:
    """Map each buffer privately: writable for the function, shared between kernels until written."""
    for path in paths:
        with Path(path).open("rb") as file:
            yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _compile(code: str, name: str) -> CodeType:
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    return compile(code, name, "exec")


def _missing_module(error: ModuleNotFoundError) -> str:
    name = (error.name or str(error)).partition(".")[0]
    return (
        f"the service needs the module {name!r}, which {sys.executable} does not have; install it there "
        f"({sys.executable} -m pip install {name}) and publish again. A module that is a file of your own "
        "belongs in a notebook cell, or in an installed package"
    )


def _explain(error: Exception) -> str:
    match error:
        case _InitFailed():
            return f"init raised:\n{error}"
        case SyntaxError():
            return f"the service's code is not Python: {error}"
        case _:
            return f"the snapshot does not load: {type(error).__name__}: {error}"


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
