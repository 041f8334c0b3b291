"""Declared types: from what a user writes, hints or shows as a sample to a service's parameters."""

from __future__ import annotations

import datetime as dt
import types
import typing
from collections.abc import Mapping
from typing import Any

from jupyter_mlops.codec import scalar
from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.types import Parameter, ValueType

Declared = tuple[ValueType, str]
"""A wire type and the format that refines it."""

_TEXT: dict[str, Declared] = {
    "int": (ValueType.INTEGER, ""),
    "integer": (ValueType.INTEGER, ""),
    "float": (ValueType.NUMERIC, ""),
    "numeric": (ValueType.NUMERIC, ""),
    "str": (ValueType.CHARACTER, ""),
    "string": (ValueType.CHARACTER, ""),
    "character": (ValueType.CHARACTER, ""),
    "bool": (ValueType.LOGICAL, ""),
    "logical": (ValueType.LOGICAL, ""),
    "array": (ValueType.VECTOR, ""),
    "vector": (ValueType.VECTOR, ""),
    "ndarray": (ValueType.VECTOR, ""),
    "list": (ValueType.VECTOR, "list"),
    "series": (ValueType.VECTOR, "series"),
    "matrix": (ValueType.MATRIX, ""),
    "dataframe": (ValueType.DATA_FRAME, ""),
    "data.frame": (ValueType.DATA_FRAME, ""),
    "datetime": (ValueType.CHARACTER, "date-time"),
    "date-time": (ValueType.CHARACTER, "date-time"),
    "timestamp": (ValueType.CHARACTER, "date-time"),
    "date": (ValueType.CHARACTER, "date"),
}

KNOWN = "int, float, str, bool, datetime, date, list, numpy.ndarray, Series, matrix, DataFrame"

_SCALARS: tuple[tuple[type, Declared], ...] = (  # bool is an int, datetime a date: the order matters
    (bool, (ValueType.LOGICAL, "")),
    (int, (ValueType.INTEGER, "")),
    (float, (ValueType.NUMERIC, "")),
    (str, (ValueType.CHARACTER, "")),
    (dt.datetime, (ValueType.CHARACTER, "date-time")),
    (dt.date, (ValueType.CHARACTER, "date")),
)

_NUMPY_KINDS: dict[str, Declared] = {
    "b": (ValueType.LOGICAL, ""),
    "i": (ValueType.INTEGER, ""),
    "u": (ValueType.INTEGER, ""),
    "f": (ValueType.NUMERIC, ""),
    "U": (ValueType.CHARACTER, ""),
    "O": (ValueType.CHARACTER, ""),
    "T": (ValueType.CHARACTER, ""),
    "M": (ValueType.CHARACTER, "date-time"),
}


def parameter(name: str, declared: Declared) -> Parameter:
    """Name a declared type."""
    return Parameter(name=name, type=declared[0], format=declared[1])


def from_type(name: str, written: Any) -> Parameter:
    """Read a type that a user wrote: a class, or its name as text.

    Parameters
    ----------
    name:
        The input or output, for the message.
    written:
        Such as `float`, `"DataFrame"`, `numpy.array`, `list[float]` or `Optional[datetime]`.

    Raises
    ------
    InvalidRequest
        When it is none of the types a service can have.
    """
    found = from_hint(written)
    if found is None:
        raise InvalidRequest(f'Invalid encoding type "{_shown(written)}" for "{name}"; known are {KNOWN}')
    return parameter(name, found)


def from_hint(hint: Any) -> Declared | None:
    """Read a class, a text or a type hint; None when it says nothing a service can use."""
    if isinstance(hint, Parameter):
        return hint.type, hint.format
    if isinstance(hint, ValueType):
        return hint, ""
    if isinstance(hint, str):
        text = hint.strip().lower()
        for prefix in ("numpy.", "np.", "pandas.", "pd.", "datetime.", "dt."):
            text = text.removeprefix(prefix)
        return _TEXT.get(text)
    origin = typing.get_origin(hint)
    if origin is not None:
        return _from_generic(origin, typing.get_args(hint))
    if isinstance(hint, type):
        return _from_class(hint)
    if callable(hint) and getattr(hint, "__name__", "") == "array":  # numpy.array, the old client's spelling
        return ValueType.VECTOR, ""
    return None


def _from_generic(origin: Any, arguments: tuple[Any, ...]) -> Declared | None:
    if origin is typing.Annotated:
        return from_hint(arguments[0])
    if origin is typing.Literal:
        return from_value(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        rest = [argument for argument in arguments if argument is not type(None)]
        found = {from_hint(argument) for argument in rest}
        if found == {(ValueType.INTEGER, ""), (ValueType.NUMERIC, "")}:
            return ValueType.NUMERIC, ""
        return found.pop() if len(found) == 1 else None
    if _is_sequence(origin):
        inner = (typing.get_origin(arguments[0]) or arguments[0]) if arguments else None
        return ValueType.MATRIX if _is_sequence(inner) else ValueType.VECTOR, "list"
    return _from_class(origin) if isinstance(origin, type) else None


_ABSTRACT = frozenset({"Sequence", "MutableSequence", "Iterable", "Collection"})


def _is_sequence(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, list | tuple):
        return True
    return getattr(kind, "__module__", "") == "collections.abc" and getattr(kind, "__name__", "") in _ABSTRACT


def _from_class(kind: type) -> Declared | None:
    home = kind.__module__.partition(".")[0]
    match home, kind.__name__:
        case "numpy", "ndarray":
            return ValueType.VECTOR, ""
        case "numpy", "matrix":
            return ValueType.MATRIX, ""
        case "pandas", "DataFrame":
            return ValueType.DATA_FRAME, ""
        case "pandas", "Series" | "Index":
            return ValueType.VECTOR, "series"
        case "numpy", _ if hasattr(kind, "dtype"):
            return _from_numpy_scalar(kind)
        case _:
            pass
    if issubclass(kind, list | tuple):
        return ValueType.VECTOR, "list"
    return next((declared for base, declared in _SCALARS if issubclass(kind, base)), None)


def _from_numpy_scalar(kind: type) -> Declared | None:
    names = {base.__name__ for base in kind.__mro__}
    for name, code in (
        ("bool", "b"),
        ("bool_", "b"),
        ("integer", "i"),
        ("floating", "f"),
        ("str_", "U"),
        ("datetime64", "M"),
    ):
        if name in names:
            return _NUMPY_KINDS[code]
    return None


def from_dtype(dtype: Any) -> Declared | None:
    """The type of one value out of an array or column of this dtype."""
    if getattr(dtype, "name", "") == "category":
        return from_dtype(dtype.categories.dtype)
    return _NUMPY_KINDS.get(getattr(dtype, "kind", ""))


def from_value(value: Any) -> Declared | None:
    """The type that a value has; None when it can be no input or output, or is None."""
    dimensions = len(getattr(value, "shape", ()) or ())
    match type(value).__module__.partition(".")[0], type(value).__name__:
        case "pandas", "DataFrame":
            return ValueType.DATA_FRAME, ""
        case "pandas", "Series":
            return ValueType.VECTOR, "series"
        case "numpy", "matrix":
            return ValueType.MATRIX, ""
        case "numpy", _ if dimensions == 1:
            return ValueType.VECTOR, ""
        case "numpy", _ if dimensions == 2:  # noqa: PLR2004
            return ValueType.MATRIX, "ndarray"
        case "numpy" | "pandas", _ if hasattr(value, "dtype") and dimensions == 0:
            return from_dtype(value.dtype)
        case _:
            pass
    if isinstance(value, list | tuple):
        rows = bool(value) and all(isinstance(row, list | tuple) for row in value)
        return ValueType.MATRIX if rows else ValueType.VECTOR, "list"
    for base, declared in _SCALARS:
        if isinstance(value, base):
            return declared
    return _from_scalar(value)


def _from_scalar(value: Any) -> Declared | None:
    if value is None:
        return None
    try:
        return from_value(scalar(value))
    except TypeError:
        return None


def several(value: Any) -> Mapping[str, Any] | None:
    """Parts of an answer that is several outputs at once, by name; None when it is one value.

    A dict with text keys and a named tuple have their own names.
    """
    if isinstance(value, Mapping):
        return value if value and all(isinstance(key, str) for key in value) else None
    names = getattr(value, "_fields", None)
    return dict(zip(names, value, strict=True)) if isinstance(value, tuple) and names else None


def _shown(written: Any) -> str:
    return written.__name__ if isinstance(written, type) else str(written)
