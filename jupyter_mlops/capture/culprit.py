"""Find what it is, inside an object, that cannot be pickled. Only done after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from types import FunctionType, MethodType, ModuleType
from typing import Any

from jupyter_mlops.capture.pickler import is_importable

MAX_DEPTH = 12
MAX_CHILDREN = 1000


def find_culprit(path: str, obj: Any, fails: Callable[[Any], bool]) -> tuple[str, Any]:
    """Follow an object that cannot be pickled to the part of it that is to blame.

    Parameters
    ----------
    path:
        How the object is reached, such as a variable's name.
    obj:
        The object.
    fails:
        Whether an object cannot be pickled.

    Returns
    -------
    tuple of str and Any
        The attribute path, such as `model.callback.lock`, and the object there.
    """
    seen = {id(obj)}
    for _ in range(MAX_DEPTH):
        for step, child in islice(_children(obj), MAX_CHILDREN):
            if id(child) not in seen and fails(child):
                seen.add(id(child))
                path, obj = path + step, child
                break
        else:
            break
    return path, obj


def _children(obj: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, dict):
        yield from ((f"[{key!r}]", value) for key, value in list(obj.items()))
    elif isinstance(obj, list | tuple | set | frozenset):
        yield from ((f"[{index}]", value) for index, value in enumerate(list(obj)))
    elif isinstance(obj, MethodType):
        yield ".__self__", obj.__self__
    elif isinstance(obj, FunctionType):
        yield from _function_parts(obj)
    elif isinstance(obj, type):
        yield from ((f".{name}", value) for name, value in list(vars(obj).items()) if not name.startswith("__"))
    elif not isinstance(obj, ModuleType):
        yield from _attributes(obj)


def _function_parts(obj: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or (), strict=True):
        try:
            yield f".{name}", cell.cell_contents
        except ValueError:  # an empty cell holds nothing
            continue
    yield from ((f".default[{index}]", value) for index, value in enumerate(obj.__defaults__ or ()))
    yield from ((f".{name}", value) for name, value in (obj.__kwdefaults__ or {}).items())
    yield from ((f".{name}", value) for name, value in obj.__dict__.items())


def _attributes(obj: Any) -> Iterator[tuple[str, Any]]:
    yield from ((f".{name}", value) for name, value in list(getattr(obj, "__dict__", {}).items()))
    for kind in type(obj).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(obj, name):
                yield f".{name}", getattr(obj, name)
    if not is_importable(type(obj).__module__):
        yield ".__class__", type(obj)
