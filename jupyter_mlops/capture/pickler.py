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
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as internals

from jupyter_mlops import classes
from jupyter_mlops.capture.labels import Labels
from jupyter_mlops.capture.limits import CAPTURE_SECONDS, Watch
from jupyter_mlops.capture.look import bases, class_attributes, module_of
from jupyter_mlops.capture.reach import Uses, annotated, belongs_to_shell, real_globals, uses
from jupyter_mlops.capture.reducers import BY_VALUE
from jupyter_mlops.capture.sharing import PANDAS_INSIDES, Arrays, is_plain_array, reduce_pandas
from jupyter_mlops.objects import BYTES_REFERENCE, CODE_REFERENCE, MAIN_REFERENCE, PYTHON
from jupyter_mlops.schema.snapshots import BUFFER_THRESHOLD

PROTOCOL = 5

_REFERENCE = "name"
_MEETABLE = frozenset({list, dict, set, frozenset, tuple, str})
_FILES = io.IOBase.__mro__[1]
_ANSWERING = frozenset(
    {"__getattr__", "__getattribute__", "__setattr__", "__setitem__", "append", "extend"}  # pickle uses all of them
)
_OWN_STATE = frozenset({"__setstate__", "__reduce__", "__reduce_ex__"})
_WITH_SETTER = 6


class _Stand:
    """Stands in the stream for something that the stream only refers to."""

    def __call__(self) -> None:
        """A reduction's first part must look like a function."""


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
    arrays:
        Meets the arrays in a measuring pass; writes those that share memory in the real one.
    watch:
        Ends it when an object's own code hangs.
    stop:
        Objects, by id, at which to stop: other captured names. None for the real stream.
    dropped:
        Names that must not go along.
    meet:
        Is shown large containers and texts in a measuring pass, and may give one a name at which to stop.
    """

    def __init__(
        self,
        file: Any,
        namespace: dict[str, Any],
        labels: Labels,
        *,
        buffer_callback: Callable[[pickle.PickleBuffer], bool],
        arrays: Arrays | None = None,
        watch: Watch | None = None,
        stop: Mapping[int, str] | None = None,
        dropped: frozenset[str] = frozenset(),
        meet: Callable[[Any], str | None] | None = None,
    ) -> None:
        super().__init__(file, protocol=PROTOCOL, buffer_callback=buffer_callback)
        self._buffer = buffer_callback
        self._namespace = namespace
        self._globals = real_globals(namespace)
        self._labels = labels
        self._arrays = arrays or Arrays()
        self._watch = watch or Watch(CAPTURE_SECONDS)
        self._stop = stop
        self._dropped = dropped
        self._meet = meet
        self._main = _Stand()
        self._code = _Stand()
        self._root: Any = None
        self._bytes: dict[int, tuple[Any, int]] = {}
        self._cells: dict[int, CellType] = {}
        self._answering: dict[int, tuple[type, bool]] = {}
        # Functions of the namespace get the marker for their globals, and with it the kernel's `__main__`.
        self.globals_ref[id(self._globals)] = self._main
        self.uses = Uses()
        self.held: dict[str, None] = {}
        """Other captured names that it came to."""
        self.modules: dict[str, None] = {}
        self.has_code = False
        """Whether compiled functions are in it, which only one version of Python can run."""

    def dump(self, obj: Any) -> None:
        """Write one object.

        Raises
        ------
        TookTooLong
            When its own code hangs.
        """
        self._root = obj
        self._watch.run(lambda: super(CapturePickler, self).dump(obj))

    def persistent_id(self, obj: Any) -> Any:
        """Refer to the namespace, to code, to large bytes and, in a measuring pass, to the other captured names."""
        self._watch.beats += 1
        kind = type(obj)
        if kind is int or kind is float or (kind is str and self._meet is None):
            return None
        if obj is self._main or obj is self._globals:
            return MAIN_REFERENCE
        if self._stop is not None and obj is not self._root:
            name = self._stop.get(id(obj))
            if name is None and self._meet is not None and kind in _MEETABLE:
                name = self._meet(obj)
            if name is not None:
                self.held[name] = None
                return (_REFERENCE, name)
        if obj is self._code:
            return (CODE_REFERENCE, PYTHON)
        if (kind is bytes or kind is bytearray) and len(obj) >= BUFFER_THRESHOLD:
            return (BYTES_REFERENCE, self._number(obj), kind is bytearray)
        return None

    def _number(self, content: bytes | bytearray) -> int:
        """The place of large bytes among all of them; the first time they are handed out as a buffer."""
        known = self._bytes.get(id(content))
        if known is None:
            known = self._bytes[id(content)] = content, len(self._bytes)
            self._buffer(pickle.PickleBuffer(content))
        return known[1]

    def reducer_override(self, obj: Any) -> Any:
        """Choose how functions, classes, code, arrays and files are written."""
        kind = type(obj)
        reduced = self._own_way(obj, kind)
        if reduced is not NotImplemented:
            return reduced
        self._note_module(obj, kind)
        if issubclass(kind, type):
            return internals._class_reduce(obj)  # noqa: SLF001
        # cloudpickle would ask for `__class__`, which may be the object's own code.
        return self._function_reduce(obj) if kind is FunctionType else NotImplemented

    def _own_way(self, obj: Any, kind: type) -> Any:
        if kind is CodeType:
            self.has_code = True
            return self._code, _code_arguments(obj.replace(co_filename=self._labels.label(obj.co_filename)))
        if kind is CellType and id(obj) in self._cells:
            return internals._make_empty_cell, ()  # noqa: SLF001  # the function that has it fills it
        if kind is FunctionType:
            return self._dynamic_function_reduce(obj) if obj.__globals__ is self._globals else NotImplemented
        if issubclass(kind, type):
            return self._class_reduce(obj)
        if kind in BY_VALUE:  # a cached function of an installed module still goes by its name
            return NotImplemented if _has_a_name(obj) else BY_VALUE[kind](obj)
        if obj is dataclasses.MISSING:
            return "MISSING"  # a copy of the sentinel would no longer be the sentinel
        if issubclass(kind, _FILES) and not issubclass(kind, io.BytesIO | io.StringIO):
            raise TypeError(f"cannot pickle {kind.__name__!r} object")  # cloudpickle would copy the file's text
        if is_plain_array(obj, kind):
            self.modules["numpy"] = None
            self._arrays.meet(obj)
            return self._arrays.reduce(obj)
        if module_of(kind) in PANDAS_INSIDES:
            return reduce_pandas(obj, kind)
        return self._filled_from_outside(obj) if self._gets_in_the_way(kind) else NotImplemented

    def _gets_in_the_way(self, kind: type) -> bool:
        """Whether a class of the notebook's own has code that runs when an object is filled, without its attributes."""
        known = self._answering.get(id(kind))
        if known is None:
            found: set[str] = set()
            for one in bases(kind) if not is_importable(module_of(kind)) else ():
                if one is not object:
                    found |= class_attributes(one).keys()
            answers = bool(found & _ANSWERING) and not found & _OWN_STATE
            known = self._answering[id(kind)] = kind, answers  # held, so that its id stays its own
        return known[1]

    def _filled_from_outside(self, obj: Any) -> Any:
        reduced = obj.__reduce_ex__(PROTOCOL)
        if type(reduced) is not tuple or len(reduced) == _WITH_SETTER:
            return reduced
        padded: list[Any] = [*reduced, None, None, None]
        make, arguments, state, items, pairs = padded[:5]
        if state is None and items is None and pairs is None:
            return reduced
        parts = (state, list(items or ()), list(pairs or ()))
        return make, arguments, parts, None, None, classes.fill

    def _class_reduce(self, obj: type) -> Any:
        if obj.__module__ != self._namespace.get("__name__") or is_importable(obj.__module__):
            return NotImplemented
        self._read_hints(class_attributes(obj).get("__annotations__"))
        make, arguments, state, *_ = internals._dynamic_class_reduce(obj)  # noqa: SLF001
        if make is internals._make_skeleton_class:  # noqa: SLF001
            return classes.make_class, arguments, state, None, None, classes.fill_class
        return make, arguments, (state, classes.members_of(obj)), None, None, classes.fill_enum

    def _dynamic_function_reduce(self, func: FunctionType) -> Any:
        reduced = super()._dynamic_function_reduce(func)
        slots = reduced[2][1]
        if func.__closure__ is not None:
            # cloudpickle's carry of the contents, in cells of their own; the function's cells go along empty, so
            # that functions which share one share it again.
            slots["__closure__"] = tuple(map(_carrier, func.__closure__))
        found = uses(func.__code__)
        self.modules |= found.imports
        if func.__globals__ is not self._globals:
            return reduced
        self.uses.reads |= found.reads
        self.uses.writes |= found.writes
        self._read_hints(func.__annotations__)
        # A measuring pass weighs the function alone; its globals are names of their own.
        slots["__globals__"] = {
            name: value
            for name, value in slots["__globals__"].items()
            if self._stop is None and name not in self._dropped and not belongs_to_shell(name, self._namespace)
        }
        return reduced

    def _read_hints(self, annotations: Any) -> None:
        found = annotated(annotations, self._namespace)
        self.uses.reads |= {name: None for name in found if name not in self._dropped}

    def _function_getnewargs(self, func: FunctionType) -> Any:
        *arguments, closure = super()._function_getnewargs(func)
        if func.__closure__ is not None:
            closure = func.__closure__
            self._cells |= {id(cell): cell for cell in closure}
        if func.__globals__ is not self._globals:
            self.globals_ref[id(func.__globals__)].pop("__file__", None)  # a path of this machine
        return (*arguments, closure)

    def _note_module(self, obj: Any, kind: type) -> None:
        if kind is ModuleType:
            self.modules[obj.__name__] = None
        elif issubclass(kind, type | FunctionType | BuiltinFunctionType):
            self.modules[str(obj.__module__)] = None
        self.modules[module_of(kind)] = None


def _has_a_name(obj: Any) -> bool:
    """Whether an installed module has it under its own name: a cached function, a type."""
    module = str(getattr(obj, "__module__", "__main__"))
    if not is_importable(module):
        return False
    return hasattr(obj, "__wrapped__") or getattr(sys.modules[module], str(getattr(obj, "__name__", "")), None) is obj


def _carrier(cell: CellType) -> CellType:
    try:
        return CellType(cell.cell_contents)
    except ValueError:
        return CellType()


def _code_arguments(code: CodeType) -> tuple[Any, ...]:
    arguments: tuple[Any, ...] = internals._code_reduce(code)[1]  # noqa: SLF001
    return arguments


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
