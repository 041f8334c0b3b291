"""The pickler of snapshots: cloudpickle, with one shared `__main__` and buffers out of the stream."""

from __future__ import annotations

import dataclasses
import functools
import io
import pickle
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as internals

from jupyter_mlops.capture.labels import Labels
from jupyter_mlops.capture.reach import Uses, belongs_to_shell, real_globals, uses
from jupyter_mlops.capture.reducers import BY_VALUE
from jupyter_mlops.schema.snapshots import BUFFER_THRESHOLD

MAIN_REFERENCE = ("main",)
"""Persistent id under which a stream names the namespace that its functions share."""

PROTOCOL = 5


class _Main:
    """Stands in the stream for the captured namespace itself."""


class CapturePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles objects of one namespace so that they share `__main__` again when they are loaded.

    Parameters
    ----------
    file:
        Where the stream goes.
    namespace:
        The globals that become the scoring kernel's `__main__`.
    labels:
        Names for the source files of code.
    buffer_callback:
        Takes each buffer of 64 KiB or more instead of the stream.
    stop:
        Objects, by id, at which to stop: other captured names. None for the real stream.
    dropped:
        Names that must not go along.
    """

    def __init__(
        self,
        file: Any,
        namespace: dict[str, Any],
        labels: Labels,
        *,
        buffer_callback: Callable[[pickle.PickleBuffer], bool],
        stop: Mapping[int, str] | None = None,
        dropped: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(file, protocol=PROTOCOL, buffer_callback=buffer_callback)
        self._namespace = namespace
        self._globals = real_globals(namespace)
        self._labels = labels
        self._stop = stop
        self._dropped = dropped
        self._main = _Main()
        self._root: Any = None
        # Functions of the namespace get the marker for their globals, and with it the kernel's `__main__`.
        self.globals_ref[id(self._globals)] = self._main
        self.uses = Uses()
        self.modules: dict[str, None] = {}

    def dump(self, obj: Any) -> None:
        """Write one object."""
        self._root = obj
        super().dump(obj)

    def persistent_id(self, obj: Any) -> Any:
        """Name the namespace, and in a measuring pass the other captured names, instead of writing them."""
        if obj is self._main or obj is self._globals:
            return MAIN_REFERENCE
        if self._stop is not None and obj is not self._root:
            name = self._stop.get(id(obj))
            if name is not None:
                return ("name", name)
        return None

    def reducer_override(self, obj: Any) -> Any:
        """Choose how functions, classes, code and files are written."""
        kind = type(obj)
        if kind is CodeType:
            return internals._code_reduce(obj.replace(co_filename=self._labels.label(obj.co_filename)))  # noqa: SLF001
        if kind is FunctionType:
            if obj.__globals__ is self._globals:
                return self._dynamic_function_reduce(obj)
        elif issubclass(kind, type):
            if obj.__module__ == self._namespace.get("__name__") and not is_importable(obj.__module__):
                return internals._dynamic_class_reduce(obj)  # noqa: SLF001
        elif kind in BY_VALUE:  # a cached function of an installed module still goes by its name
            if not is_importable(str(getattr(obj, "__module__", "__main__"))) or not hasattr(obj, "__wrapped__"):
                return BY_VALUE[kind](obj)
        elif obj is dataclasses.MISSING:
            return "MISSING"  # a copy of the sentinel would no longer be the sentinel
        elif isinstance(obj, io.IOBase) and not isinstance(obj, io.BytesIO | io.StringIO):
            raise TypeError(f"cannot pickle {kind.__name__!r} object")  # cloudpickle would copy the file's text
        self._note_module(obj, kind)
        return super().reducer_override(obj)

    def _dynamic_function_reduce(self, func: FunctionType) -> Any:
        reduced = super()._dynamic_function_reduce(func)
        found = uses(func.__code__)
        self.modules |= found.imports
        if func.__globals__ is not self._globals:
            return reduced
        self.uses.reads |= found.reads
        self.uses.writes |= found.writes
        slots = reduced[2][1]
        # A measuring pass weighs the function alone; its globals are names of their own.
        slots["__globals__"] = {
            name: value
            for name, value in slots["__globals__"].items()
            if self._stop is None and name not in self._dropped and not belongs_to_shell(name, self._namespace)
        }
        return reduced

    def _function_getnewargs(self, func: FunctionType) -> Any:
        arguments = super()._function_getnewargs(func)
        if func.__globals__ is not self._globals:
            self.globals_ref[id(func.__globals__)].pop("__file__", None)  # a path of this machine
        return arguments

    def _note_module(self, obj: Any, kind: type) -> None:
        if isinstance(obj, ModuleType):
            self.modules[obj.__name__] = None
        elif isinstance(obj, type | FunctionType | BuiltinFunctionType):
            self.modules[str(obj.__module__)] = None
        self.modules[str(kind.__module__)] = None


class Sink:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: Any) -> int:
        """Count the bytes."""
        size = memoryview(data).nbytes
        self.size += size
        return size


def goes_out_of_band(buffer: pickle.PickleBuffer) -> bool:
    """Whether a buffer is large enough to leave the stream."""
    return buffer.raw().nbytes >= BUFFER_THRESHOLD


@functools.lru_cache(maxsize=1000)
def is_importable(module_name: str) -> bool:
    """Whether a module is installed, so that a scoring kernel can import it: not `__main__`, not a script's.

    Parameters
    ----------
    module_name:
        A name as in `__module__`.
    """
    if module_name == "__main__":
        return False
    module = sys.modules.get(module_name)
    if module is None:
        return False
    file = getattr(module, "__file__", None)
    if file is None:
        return True
    path = Path(file).resolve()
    # An environment can be layered on others, and a user has a site of their own.
    if any(parent.name in {"site-packages", "dist-packages"} for parent in path.parents):
        return True
    homes = [Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib")]
    return any(path.is_relative_to(home) for home in homes)
