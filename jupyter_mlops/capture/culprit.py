"""Find what it is, inside an object, that cannot be pickled. Only done after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from types import MethodType, ModuleType
from typing import Any

from jupyter_mlops.capture.look import children, module_of
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
        for step, child in islice(_parts(obj), MAX_CHILDREN):
            if id(child) not in seen and fails(child):
                seen.add(id(child))
                path, obj = path + step, child
                break
        else:
            break
    return path, obj


def _parts(obj: Any) -> Iterator[tuple[str, Any]]:
    if type(obj) is MethodType:
        yield ".__self__", obj.__self__
    yield from children(obj)
    kind = type(obj)
    if not issubclass(kind, type | ModuleType) and not is_importable(module_of(kind)):
        yield ".__class__", kind
