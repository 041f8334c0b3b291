"""How large a value is, in the words of its kind: rows and columns, items, characters."""

from __future__ import annotations

from typing import Any

from jupyter_mlops.capture.limits import guarded
from jupyter_mlops.capture.look import bases, class_attributes, length_of, module_of

_SECONDS = 0.5
_LIBRARIES = frozenset(
    {"numpy", "pandas", "scipy", "torch", "tensorflow", "polars", "pyarrow", "xarray", "jax", "jaxlib", "cupy", "dask"}
)


def shape_of(value: Any) -> str:
    """Say a value's size, such as `1,000 x 12`, `3 items` or `40 characters`; empty when it has none.

    Parameters
    ----------
    value:
        Any object. Only the `shape` of known libraries' own classes is asked for.
    """
    if module_of(type(value)).partition(".")[0] in _LIBRARIES:
        shape = _library_shape(value)
    else:  # a class derived of a library's may put its own code in the way
        shape = guarded(lambda: _library_shape(value), _SECONDS, None) if _is_derived(value) else None
    if shape is not None:
        return " x ".join(f"{length:,}" for length in shape) or "scalar"
    length = length_of(value)
    if length is None:
        return ""
    unit = "character" if issubclass(type(value), str) else "item"
    if issubclass(type(value), bytes | bytearray):
        unit = "byte"
    return f"{length:,} {unit}{'s' * (length != 1)}"


def _is_derived(value: Any) -> bool:
    return any(module_of(kind).partition(".")[0] in _LIBRARIES for kind in bases(type(value)))


def _library_shape(value: Any) -> tuple[int, ...] | None:
    for kind in bases(type(value)):
        if module_of(kind).partition(".")[0] in _LIBRARIES:
            found = class_attributes(kind).get("shape")
            if hasattr(type(found), "__get__"):
                shape = found.__get__(value)  # type: ignore[union-attr]  # asked above
                return tuple(int(length) for length in shape)
    return None
