"""Ways to write what neither pickle nor cloudpickle writes, though it can be made again from its parts."""

from __future__ import annotations

import contextvars
import functools
import struct
import typing
import weakref
from collections.abc import Callable
from typing import Any

from jupyter_mlops.classes import context_variable


def _cache(obj: Any) -> Any:
    """Write a function under `functools.lru_cache` by value: its own way is a name that nobody could import."""
    options = obj.cache_parameters()
    info = functools._CacheInfo  # noqa: SLF001
    return type(obj), (obj.__wrapped__, options["maxsize"], options["typed"], info), dict(vars(obj))


def _cached_property(obj: Any) -> Any:
    """Leave out the lock that Python 3.11 keeps in it."""
    return type(obj), (obj.func,), {"attrname": obj.attrname, "__doc__": obj.__doc__}


def _weak_dict(obj: Any) -> Any:
    """Write what it holds now, without the references that tell it when a part is gone."""
    return type(obj), (dict(obj),)


def _new_type(obj: Any) -> Any:
    """Write a `typing.NewType` by value; its own way is its name in a module."""
    return type(obj), (obj.__name__, obj.__supertype__), {"__module__": obj.__module__}


def _struct(obj: Any) -> Any:
    """Write a compiled format as the format."""
    return type(obj), (obj.format,)


def _context_variable(obj: Any) -> Any:
    """Write a context variable with the value it has here as its default."""
    try:
        return context_variable, (obj.name, obj.get())
    except LookupError:
        return type(obj), (obj.name,)


BY_VALUE: dict[type, Callable[[Any], Any]] = {
    functools._lru_cache_wrapper: _cache,  # noqa: SLF001
    functools.cached_property: _cached_property,
    weakref.WeakKeyDictionary: _weak_dict,
    weakref.WeakValueDictionary: _weak_dict,
    typing.NewType: _new_type,
    struct.Struct: _struct,
    contextvars.ContextVar: _context_variable,
}
