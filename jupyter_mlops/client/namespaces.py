"""Which globals a function is captured from, and by what names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_mlops.capture import Overlay
from jupyter_mlops.capture.pickler import is_importable


def function_namespace(
    function: Callable[..., Any], init: Any, objects: Mapping[str, Any]
) -> tuple[dict[str, Any], str, str | None]:
    """The globals to capture a function from, and its name and `init`'s name in them.

    The function's own globals are used as they are when they hold all that is needed, so that nothing is
    copied; objects given along take the place of globals of their names.
    """
    own = getattr(function, "__globals__", None)
    if own is None or is_importable(str(getattr(function, "__module__", ""))):
        own = sys.modules["__main__"].__dict__
    name = _free(getattr(function, "__name__", "function"), function, own, objects)
    extra = {name: function, **objects}
    init_name = None
    if init is not None:
        init_name = _free(getattr(init, "__name__", "init"), init, own, extra)
        extra[init_name] = init
    if all(own.get(key, _ABSENT) is value for key, value in extra.items()):
        return own, name, init_name
    return Overlay(own, extra), name, init_name


_ABSENT = object()


def _free(name: str, value: Any, own: Mapping[str, Any], taken: Mapping[str, Any]) -> str:
    """A name for a value that no other value has."""
    name = name if name.isidentifier() else "function"
    while own.get(name, value) is not value or taken.get(name, value) is not value:
        name += "_"
    return name
