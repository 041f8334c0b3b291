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

from jupyter_mlops.client.capture.pickler import is_importable
from jupyter_mlops.client.capture.reach import real_globals, uses

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
_MARSHAL = 2
"""The last version whose bytes do not depend on which objects are shared."""


class Fingerprinter:
    """Digests objects of one namespace; functions of it count without the globals they read.

    Parameters
    ----------
    namespace:
        The captured globals: names that have a fingerprint of their own.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._globals = real_globals(namespace)
        self._done: dict[int, bytes] = {}
        self._open: dict[int, int] = {}
        self._keep: list[Any] = []

    def fingerprint(self, obj: Any) -> str:
        """Digest of an object, in hex."""
        return self._digest(obj).hex()

    def _digest(self, obj: Any) -> bytes:
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
        if isinstance(obj, type):
            return self._class(obj)
        special = _array_like(obj)
        if special is not None:
            return special(self, obj)
        if isinstance(obj, enum.Enum):
            return _hash(b"member", self._digest(kind), obj.name.encode())
        return self._reduced(obj)

    def _all(self, tag: bytes, parts: Iterable[Any]) -> bytes:
        return _hash(tag, *map(self._digest, parts))

    def _sequence(self, obj: Any) -> bytes:
        tag = type(obj).__name__.encode()
        if _PLAIN.issuperset(set(map(type, obj))):
            return _hash(tag, marshal.dumps(list(obj), _MARSHAL))
        return self._all(tag, obj)

    def _mapping(self, obj: dict[Any, Any]) -> bytes:
        if _PLAIN.issuperset(set(map(type, obj))) and _PLAIN.issuperset(set(map(type, obj.values()))):
            return _hash(b"dict", marshal.dumps(list(obj.items()), _MARSHAL))
        return _hash(b"dict", *(self._digest(part) for item in obj.items() for part in item))

    def _set(self, obj: Any) -> bytes:
        return _hash(type(obj).__name__.encode(), *sorted(map(self._digest, obj)))

    def _bytes(self, obj: Any) -> bytes:
        return _hash(b"bytes", obj)

    def _buffer(self, obj: pickle.PickleBuffer) -> bytes:
        return _hash(b"buffer", obj.raw())

    def _module(self, obj: ModuleType) -> bytes:
        return _hash(b"module", obj.__name__.encode())

    def _builtin(self, obj: Any) -> bytes:
        owner = getattr(obj, "__self__", None)
        own = b"" if owner is None or isinstance(owner, ModuleType) else self._digest(owner)
        return _hash(b"builtin", str(getattr(obj, "__module__", "")).encode(), obj.__qualname__.encode(), own)

    def _descriptor(self, obj: Any) -> bytes:
        return _hash(b"descriptor", obj.__name__.encode())

    def _method(self, obj: MethodType) -> bytes:
        return self._all(b"method", (obj.__func__, obj.__self__))

    def _cell(self, obj: CellType) -> bytes:
        try:
            return self._all(b"cell", (obj.cell_contents,))
        except ValueError:
            return _hash(b"empty cell")

    def _code(self, obj: CodeType) -> bytes:
        shape = (obj.co_argcount, obj.co_posonlyargcount, obj.co_kwonlyargcount, obj.co_flags, obj.co_name)
        names = (obj.co_names, obj.co_varnames, obj.co_freevars, obj.co_cellvars)
        return self._all(
            b"code", (obj.co_code, getattr(obj, "co_exceptiontable", b""), shape, names, obj.co_consts)
        )

    def _function(self, obj: FunctionType) -> bytes:
        if obj.__globals__ is not self._globals and is_importable(str(obj.__module__)) and _named(obj):
            return _hash(b"named", f"{obj.__module__}.{obj.__qualname__}".encode())
        parts: list[Any] = [obj.__code__, obj.__defaults__, obj.__kwdefaults__, obj.__annotations__]
        parts += [obj.__closure__, _attributes(obj.__dict__)]
        if obj.__globals__ is not self._globals:
            found = uses(obj.__code__).reads
            parts.append({name: obj.__globals__[name] for name in found if name in obj.__globals__})
        return self._all(b"function", parts)

    def _class(self, obj: type) -> bytes:
        if is_importable(str(obj.__module__)) and _named(obj):
            return _hash(b"named", f"{obj.__module__}.{obj.__qualname__}".encode())
        content = {name: part for name, part in sorted(vars(obj).items()) if name not in _CLASS_NOISE}
        for slot in _slots(obj):
            content.pop(slot, None)
        return self._all(b"class", (obj.__qualname__, type(obj), obj.__bases__, content))

    def _cached(self, obj: Any) -> bytes:
        return self._all(b"cached", (obj.__wrapped__, obj.cache_parameters()))

    def _reduced(self, obj: Any) -> bytes:
        """Anything else counts as what pickle would write of it."""
        kind = type(obj)
        reducer = cloudpickle.Pickler.dispatch_table.get(kind) or copyreg.dispatch_table.get(kind)
        reduced = reducer(obj) if reducer is not None else obj.__reduce_ex__(5)
        if isinstance(reduced, str):
            return _hash(b"global", str(getattr(obj, "__module__", "")).encode(), reduced.encode())
        function, arguments, state, items, pairs = (*reduced[:5], None, None, None)[:5]
        if isinstance(state, dict):
            state = _attributes(state)
        listed = list(items) if items is not None else None
        mapped = dict(pairs) if pairs is not None else None
        return self._all(b"object", (function, arguments, state, listed, mapped))

    def _array(self, obj: Any) -> bytes:
        kind, shape = f"{type(obj).__name__} {obj.dtype.str}".encode(), str(obj.shape).encode()
        if obj.dtype.hasobject:
            return _hash(b"array", kind, shape, self._digest(obj.ravel().tolist()))
        if obj.dtype.names:  # field by field: the padding between fields is anybody's bytes
            return _hash(b"array", kind, shape, *(self._digest(obj[name]) for name in obj.dtype.names))
        import numpy as np

        return _hash(
            b"array", kind, shape, np.ascontiguousarray(obj).view(np.ndarray).reshape(-1).view(np.uint8).data
        )

    def _frame(self, obj: Any) -> bytes:
        columns = [obj.iloc[:, i] for i in range(obj.shape[1])]
        parts = (
            list(obj.columns),
            list(obj.columns.names),
            obj.index,
            [column.array for column in columns],
            obj.attrs,
        )
        return self._all(type(obj).__name__.encode(), parts)

    def _series(self, obj: Any) -> bytes:
        return self._all(type(obj).__name__.encode(), (obj.name, obj.index, obj.array, obj.attrs))

    def _index(self, obj: Any) -> bytes:
        return self._all(type(obj).__name__.encode(), (list(obj.names), obj.array))

    def _extension(self, obj: Any) -> bytes:
        name = str(obj.dtype)
        if name in {"str", "string"}:  # stored in chunks or as objects, which is not content
            return self._all(name.encode(), (list(obj),))
        if hasattr(obj, "to_numpy") and type(obj).__name__ == "NumpyExtensionArray":
            return self._array(obj.to_numpy())
        return self._reduced(obj)


_Handler = Callable[[Fingerprinter, Any], bytes]

_HANDLERS: dict[type, _Handler] = {
    list: Fingerprinter._sequence,
    tuple: Fingerprinter._sequence,
    dict: Fingerprinter._mapping,
    set: Fingerprinter._set,
    frozenset: Fingerprinter._set,
    bytearray: Fingerprinter._bytes,
    pickle.PickleBuffer: Fingerprinter._buffer,
    ModuleType: Fingerprinter._module,
    BuiltinFunctionType: Fingerprinter._builtin,
    MethodType: Fingerprinter._method,
    CellType: Fingerprinter._cell,
    CodeType: Fingerprinter._code,
    FunctionType: Fingerprinter._function,
    functools._lru_cache_wrapper: Fingerprinter._cached,
    GetSetDescriptorType: Fingerprinter._descriptor,
    MemberDescriptorType: Fingerprinter._descriptor,
    type(dataclasses.MISSING): lambda _, __: _hash(b"dataclasses.MISSING"),
}


def _array_like(obj: Any) -> _Handler | None:
    """How to read numpy's and pandas' own containers; subclasses count as what pickle writes of them."""
    kind = type(obj)
    match kind.__module__.partition(".")[0], kind.__name__:
        case "numpy", "ndarray" | "matrix" | "memmap":
            return Fingerprinter._array
        case "pandas", "DataFrame":
            return Fingerprinter._frame
        case "pandas", "Series":
            return Fingerprinter._series
        case "pandas", "Index":
            return Fingerprinter._index
        case "pandas", name if name.endswith("Array") and hasattr(obj, "dtype"):
            return Fingerprinter._extension
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
