"""Fingerprints: equal for equal content, whichever process captured it.

A pickle will not do: its bytes depend on which strings are shared, on the order of sets, on file names,
process ids and identities of classes. Here every object's digest is made of what it is and of its parts'
digests; code counts by what it does, not by where it was written.
"""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import functools
import marshal
import pickle
import sys
import typing
import weakref
from collections.abc import Callable, Iterable
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import cloudpickle
from blake3 import blake3

from jupyter_mlops.capture.hashing import Digests
from jupyter_mlops.capture.limits import Watch
from jupyter_mlops.capture.look import module_of
from jupyter_mlops.capture.pickler import is_importable
from jupyter_mlops.capture.reach import real_globals, uses
from jupyter_mlops.capture.reducers import BY_VALUE
from jupyter_mlops.schema.snapshots import BUFFER_THRESHOLD

_PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})
_CLASS_NOISE = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__module__",
        "__firstlineno__",
        "__static_attributes__",
        "_abc_impl",
        "__annotate_func__",
    }
)
_PIECE = 8 * 2**20
_MARSHAL = 2
"""The last version whose bytes do not depend on which objects are shared."""


class Fingerprinter:
    """Digests objects of one namespace; functions of it count without the globals they read.

    Parameters
    ----------
    namespace:
        The captured globals: names that have a fingerprint of their own.
    digests:
        Digests of memory that the capture knows already.
    watch:
        Is told that it goes on.
    """

    def __init__(self, namespace: dict[str, Any], digests: Digests, watch: Watch) -> None:
        self.digests = digests
        self.watch = watch
        self.globals = real_globals(namespace)
        self._local = {"__main__", self.globals.get("__name__")}
        self._done: dict[int, bytes] = {}
        self._open: dict[int, int] = {}
        self._keep: list[Any] = []

    def fingerprint(self, obj: Any) -> str:
        """Digest of an object, in hex."""
        limit = sys.getrecursionlimit()
        # Python goes several frames deep for each level that pickle, which has passed, took in one.
        sys.setrecursionlimit(limit * 8)
        try:
            return self.digest(obj).hex()
        finally:
            sys.setrecursionlimit(limit)

    def digest(self, obj: Any) -> bytes:
        """Digest of an object."""
        self.watch.beats += 1
        if type(obj) is bytes and len(obj) >= BUFFER_THRESHOLD:
            return _hash(b"large bytes", self.digests.of(memoryview(obj)).encode())
        if type(obj) in _PLAIN:
            return _hash(b"plain", marshal.dumps(obj, _MARSHAL))
        key = id(obj)
        if key in self._done:
            return self._done[key]
        if key in self._open:  # a cycle: told by how far up it leads
            return _hash(b"cycle", str(len(self._open) - self._open[key]).encode())
        self._open[key] = len(self._open)
        try:
            digest = self._compute(obj)
        finally:
            del self._open[key]
        self._done[key] = digest
        self._keep.append(obj)  # an id is only good while its object lives
        return digest

    def _compute(self, obj: Any) -> bytes:
        kind = type(obj)
        handler = _HANDLERS.get(kind)
        if handler is not None:
            return handler(self, obj)
        if issubclass(kind, type):
            return _class(self, obj)
        special = _array_like(obj)
        if special is not None:
            return special(self, obj)
        if issubclass(kind, enum.Enum):
            return _hash(b"member", self.digest(kind), obj.name.encode())
        return _reduced(self, obj)

    def by_name(self, obj: Any) -> bool:
        """Whether pickle writes only the name of this class or function: it belongs to a module to import."""
        module = str(obj.__module__)
        return (module not in self._local or is_importable(module)) and module in sys.modules and _named(obj)

    def combine(self, tag: bytes, parts: Iterable[Any]) -> bytes:
        """Digest of something made of parts."""
        return _hash(tag, *map(self.digest, parts))


def _sequence(own: Fingerprinter, obj: Any) -> bytes:
    tag = type(obj).__name__.encode()
    if _PLAIN.issuperset(set(map(type, obj))):
        return _hash(tag, marshal.dumps(list(obj), _MARSHAL))
    return own.combine(tag, obj)


def _mapping(own: Fingerprinter, obj: dict[Any, Any]) -> bytes:
    if _PLAIN.issuperset(set(map(type, obj))) and _PLAIN.issuperset(set(map(type, obj.values()))):
        return _hash(b"dict", marshal.dumps(list(obj.items()), _MARSHAL))
    return _hash(b"dict", *(own.digest(part) for item in obj.items() for part in item))


def _set(own: Fingerprinter, obj: Any) -> bytes:
    return _hash(type(obj).__name__.encode(), *sorted(map(own.digest, obj)))


def _bytes(_: Fingerprinter, obj: Any) -> bytes:
    return _hash(b"bytes", obj)


def _buffer(_: Fingerprinter, obj: pickle.PickleBuffer) -> bytes:
    return _hash(b"buffer", obj.raw())


def _module(_: Fingerprinter, obj: ModuleType) -> bytes:
    return _hash(b"module", obj.__name__.encode())


def _builtin(own: Fingerprinter, obj: Any) -> bytes:
    owner = getattr(obj, "__self__", None)
    bound = b"" if owner is None or isinstance(owner, ModuleType) else own.digest(owner)
    return _hash(b"builtin", str(getattr(obj, "__module__", "")).encode(), obj.__qualname__.encode(), bound)


def _descriptor(_: Fingerprinter, obj: Any) -> bytes:
    return _hash(b"descriptor", obj.__name__.encode())


def _method(own: Fingerprinter, obj: MethodType) -> bytes:
    return own.combine(b"method", (obj.__func__, obj.__self__))


def _cell(own: Fingerprinter, obj: CellType) -> bytes:
    try:
        return own.combine(b"cell", (obj.cell_contents,))
    except ValueError:
        return _hash(b"empty cell")


def _code(own: Fingerprinter, obj: CodeType) -> bytes:
    shape = (obj.co_argcount, obj.co_posonlyargcount, obj.co_kwonlyargcount, obj.co_flags, obj.co_name)
    names = (obj.co_names, obj.co_varnames, obj.co_freevars, obj.co_cellvars)
    return own.combine(b"code", (obj.co_code, getattr(obj, "co_exceptiontable", b""), shape, names, obj.co_consts))


def _function(own: Fingerprinter, obj: FunctionType) -> bytes:
    if obj.__globals__ is not own.globals and own.by_name(obj):
        return _hash(b"named", f"{obj.__module__}.{obj.__qualname__}".encode())
    parts: list[Any] = [obj.__code__, obj.__defaults__, obj.__kwdefaults__, obj.__annotations__]
    parts += [obj.__closure__, _attributes(obj.__dict__)]
    if obj.__globals__ is not own.globals:
        found = uses(obj.__code__).reads
        parts.append({name: obj.__globals__[name] for name in found if name in obj.__globals__})
    return own.combine(b"function", parts)


def _class(own: Fingerprinter, obj: type) -> bytes:
    if own.by_name(obj):
        return _hash(b"named", f"{obj.__module__}.{obj.__qualname__}".encode())
    content = {name: part for name, part in sorted(vars(obj).items()) if name not in _CLASS_NOISE}
    for slot in _slots(obj):
        content.pop(slot, None)
    return own.combine(b"class", (obj.__qualname__, type(obj), obj.__bases__, content))


def _cached(own: Fingerprinter, obj: Any) -> bytes:
    return own.combine(b"cached", (obj.__wrapped__, obj.cache_parameters()))


def _cached_property(own: Fingerprinter, obj: Any) -> bytes:
    return own.combine(b"cached property", (obj.func, obj.attrname))


def _typevar(own: Fingerprinter, obj: Any) -> bytes:
    return own.combine(b"typevar", (obj.__name__, obj.__bound__, obj.__constraints__))


def _weak(_: Fingerprinter, obj: Any) -> bytes:
    return _hash(type(obj).__name__.encode())  # what is in it comes and goes with use


def _reduced(own: Fingerprinter, obj: Any) -> bytes:
    """Anything else counts as what pickle would write of it."""
    kind = type(obj)
    reducer = BY_VALUE.get(kind) or cloudpickle.Pickler.dispatch_table.get(kind) or copyreg.dispatch_table.get(kind)
    reduced = reducer(obj) if reducer is not None else obj.__reduce_ex__(5)
    if isinstance(reduced, str):
        return _hash(b"global", str(getattr(obj, "__module__", "")).encode(), reduced.encode())
    function, arguments, state, items, pairs = (*reduced[:5], None, None, None)[:5]
    if isinstance(state, dict):
        state = _attributes(state)
    listed = list(items) if items is not None else None
    mapped = dict(pairs) if pairs is not None else None
    return own.combine(b"object", (function, arguments, state, listed, mapped))


def _array(own: Fingerprinter, obj: Any) -> bytes:
    kind, shape = f"{type(obj).__name__} {obj.dtype.str}".encode(), str(obj.shape).encode()
    if obj.dtype.hasobject:
        return _hash(b"array", kind, shape, own.digest(obj.ravel().tolist()))
    if obj.dtype.names:  # field by field: the padding between fields is anybody's bytes
        return _hash(b"array", kind, shape, *(own.digest(obj[name]) for name in obj.dtype.names))
    return _hash(b"array", kind, shape, _content(own, obj).encode())


def _content(own: Fingerprinter, obj: Any) -> str:
    """Digest of an array's items in their order, whichever way they are stored."""
    import numpy as np

    plain = np.ndarray.view(obj, np.ndarray)
    if plain.flags.c_contiguous:
        return own.digests.of(plain.reshape(-1).view(np.uint8).data)
    hasher = blake3(max_threads=blake3.AUTO)
    # A piece at a time: a copy of a large array would need its memory once more.
    rows = max(_PIECE * len(plain) // plain.nbytes, 1) if plain.nbytes else 1
    for start in range(0, len(plain), rows):
        own.watch.beats += 1
        hasher.update(np.ascontiguousarray(plain[start : start + rows]).reshape(-1).view(np.uint8).data)
    return hasher.hexdigest()


def _frame(own: Fingerprinter, obj: Any) -> bytes:
    if hasattr(obj, "_iter_column_arrays"):  # much faster, for many small frames
        columns = list(obj._iter_column_arrays())  # noqa: SLF001
    else:
        columns = [obj.iloc[:, i].array for i in range(obj.shape[1])]
    parts = (
        list(obj.columns),
        list(obj.columns.names),
        obj.index,
        columns,
        obj.attrs,
    )
    return own.combine(type(obj).__name__.encode(), parts)


def _series(own: Fingerprinter, obj: Any) -> bytes:
    return own.combine(type(obj).__name__.encode(), (obj.name, obj.index, obj.array, obj.attrs))


def _index(own: Fingerprinter, obj: Any) -> bytes:
    return own.combine(type(obj).__name__.encode(), (list(obj.names), obj.array))


def _extension(own: Fingerprinter, obj: Any) -> bytes:
    name = str(obj.dtype)
    if name in {"str", "string"}:  # stored in chunks or as objects, which is not content
        return own.combine(name.encode(), (list(obj),))
    if hasattr(obj, "to_numpy") and type(obj).__name__ == "NumpyExtensionArray":
        return _array(own, obj.to_numpy())
    return _reduced(own, obj)


_Handler = Callable[[Fingerprinter, Any], bytes]

_HANDLERS: dict[type, _Handler] = {
    list: _sequence,
    tuple: _sequence,
    dict: _mapping,
    set: _set,
    frozenset: _set,
    bytearray: _bytes,
    pickle.PickleBuffer: _buffer,
    ModuleType: _module,
    BuiltinFunctionType: _builtin,
    MethodType: _method,
    CellType: _cell,
    CodeType: _code,
    FunctionType: _function,
    functools._lru_cache_wrapper: _cached,  # noqa: SLF001
    functools.cached_property: _cached_property,
    typing.TypeVar: _typevar,
    weakref.WeakKeyDictionary: _weak,
    weakref.WeakValueDictionary: _weak,
    GetSetDescriptorType: _descriptor,
    MemberDescriptorType: _descriptor,
    type(dataclasses.MISSING): lambda _, __: _hash(b"dataclasses.MISSING"),
}


def _array_like(obj: Any) -> _Handler | None:
    """How to read numpy's and pandas' own containers; subclasses count as what pickle writes of them."""
    kind = type(obj)
    match module_of(kind).partition(".")[0], kind.__name__:
        case "numpy", "ndarray" | "matrix" | "memmap":
            return _array
        case "pandas", "DataFrame":
            return _frame
        case "pandas", "Series":
            return _series
        case "pandas", "Index":
            return _index
        case "pandas", name if name.endswith("Array") and hasattr(obj, "dtype"):
            return _extension
        case _:
            return None


def _hash(tag: bytes, *parts: Any) -> bytes:
    hasher = blake3(tag)
    for part in parts:
        size = part.nbytes if isinstance(part, memoryview) else len(part)
        hasher.update(b"\0%d\0" % size)
        hasher.update(part)
    return hasher.digest()


def _attributes(state: dict[Any, Any]) -> dict[Any, Any]:
    """An object's attributes in one order: the order of assignment is no content."""
    if all(type(name) is str for name in state):
        return dict(sorted(state.items()))
    return state


def _slots(obj: type) -> tuple[str, ...]:
    slots = vars(obj).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _named(obj: Any) -> bool:
    """Whether the object can be found by its qualified name."""
    return "<" not in obj.__qualname__
