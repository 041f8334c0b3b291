"""Columns of Apache Arrow to checked wire values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from jupyter_mlops.codec import scalar
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.inputs import WIRE_TYPES
from jupyter_mlops.records.rows import checked
from jupyter_mlops.schema.types import Parameter, ValueType

_EXTENSION = b"ARROW:extension:name"
_LEAST, _MOST = -(2**63), 2**63
_SCALARS = frozenset({ValueType.INTEGER, ValueType.NUMERIC, ValueType.CHARACTER, ValueType.LOGICAL})


def refuse_extension(field: Any, where: str) -> None:
    """Refuse a column of an extension type, whose meaning some other package knows.

    Parameters
    ----------
    field:
        The column's field of the schema.
    where:
        The column, for the message.

    Raises
    ------
    InvalidInput
        Naming the type and what to do.
    """
    import pyarrow as pa

    if isinstance(field.type, pa.BaseExtensionType) or _EXTENSION in (field.metadata or {}):
        raise InvalidInput(
            f"{where}: the extension type {field.type} is not taken; cast the column to the type that it stores",
            fields=where,
        )
    for place in range(field.type.num_fields):
        refuse_extension(field.type.field(place), where)


def column_of(array: Any, declared: Parameter, first: int) -> list[Any]:
    """The wire values of a column.

    Nulls, NaN and the infinities are null. Categories (dictionaries) are their values, decimals are numbers, times are
    texts in ISO 8601, with an offset when they have a time zone, and durations are numbers of seconds.

    Parameters
    ----------
    array:
        A column of a record batch that was validated.
    declared:
        The input that it is for.
    first:
        The place of its first row among all, for messages.

    Raises
    ------
    InvalidInput
        With the place of the first value that does not fit.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count == len(array):
        return [None] * len(array)
    convert = _CONVERSIONS.get((declared.type, _kind(array.type))) if declared.type in _SCALARS else _nested
    if convert is None:
        row = next(place for place, valid in enumerate(array.is_valid().to_pylist()) if valid)
        raise _misfit(declared, f"a column of {array.type}", first + row)
    try:
        return convert(array, declared, first)
    except InvalidInput:
        raise
    except (ValueError, OverflowError, KeyError) as error:  # points in time, and their zones, that Python has not
        raise _misfit(declared, f"a column of {array.type} with a value that cannot be read: {error}", first) from None


def _kind(kind: Any) -> str:
    """What a type of Arrow's is here, among those that hold single values."""
    from pyarrow import types

    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind):
        return "time"
    tests = {
        "float": types.is_floating,
        "integer": types.is_integer,
        "boolean": types.is_boolean,
        "decimal": types.is_decimal,
        "duration": types.is_duration,
    }
    return next((name for name, test in tests.items() if test(kind)), "")


def _plain(array: Any, _: Parameter, __: int) -> list[Any]:
    found: list[Any] = array.to_pylist()
    return found


def _floats(array: Any, _: Parameter, __: int) -> list[Any]:
    """Floats by way of numpy, which is many times faster; nulls are NaN there."""
    import numpy as np

    values = array.to_numpy(zero_copy_only=False).astype(float, copy=False)
    return _with_holes(values.tolist(), ~np.isfinite(values))


def _whole(array: Any, declared: Parameter, first: int) -> list[Any]:
    values = _integers(array).tolist()
    if max(values) >= _MOST:  # only unsigned numbers can be so large
        row = next(place for place, value in enumerate(values) if value >= _MOST)
        raise _misfit(declared, f"{values[row]}, a whole number that 64 bits with a sign do not hold", first + row)
    return _with_holes(values, _nulls(array))


def _whole_as_floats(array: Any, _: Parameter, __: int) -> list[Any]:
    return _with_holes(_integers(array).astype(float).tolist(), _nulls(array))


def _integers(array: Any) -> Any:
    return (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)


def _nulls(array: Any) -> Any:
    return array.is_null().to_numpy(zero_copy_only=False)


def _with_holes(values: list[Any], holes: Any) -> list[Any]:
    for place in holes.nonzero()[0].tolist():
        values[place] = None
    return values


def _whole_from_floats(array: Any, declared: Parameter, first: int) -> list[Any]:
    return checked(_floats(array, declared, first), declared, first)


def _whole_from_decimals(array: Any, declared: Parameter, first: int) -> list[Any]:
    values = []
    for index, value in enumerate(array.to_pylist(), first):
        whole = None if value is None else int(value)
        if whole is not None and (whole != value or not _LEAST <= whole < _MOST):
            raise _misfit(declared, str(value), index)
        values.append(whole)
    return values


def _scalars(array: Any, _: Parameter, __: int) -> list[Any]:
    return [scalar(value) for value in array.to_pylist()]


def _times(array: Any, declared: Parameter, first: int) -> list[Any]:
    import pyarrow as pa

    kind = array.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        import pandas as pd  # Python's own points in time have microseconds

        index = pd.DatetimeIndex(array.cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False))
        index = index.tz_localize("UTC").tz_convert(kind.tz) if kind.tz else index
        return [scalar(value) for value in index]
    if pa.types.is_time64(kind) and kind.unit == "ns":
        array = array.cast(pa.time64("us"), safe=False)
    return _scalars(array, declared, first)


def _nested(array: Any, declared: Parameter, first: int) -> list[Any]:
    """Lists, lists of lists, and structs of lists."""
    wanted = WIRE_TYPES[declared.type]
    values = []
    for index, value in enumerate(array.to_pylist(), first):
        try:
            values.append(msgspec.convert(_scalars_within(value), wanted))
        except (msgspec.ValidationError, TypeError) as error:
            raise _misfit(declared, f"a value of {array.type}: {error}", index) from None
    return checked(values, declared, first)


def _scalars_within(value: Any) -> Any:
    if isinstance(value, list):
        return [_scalars_within(part) for part in value]
    if isinstance(value, dict):
        return {name: _scalars_within(part) for name, part in value.items()}
    return scalar(value)


def _misfit(declared: Parameter, got: str, index: int) -> InvalidInput:
    where = f"$[{index}].{declared.name}"
    return InvalidInput(f"{where}: expected {declared.type}, got {got}", fields=where)


_CONVERSIONS: dict[tuple[ValueType, str], Callable[[Any, Parameter, int], list[Any]]] = {
    (ValueType.NUMERIC, "float"): _floats,
    (ValueType.NUMERIC, "integer"): _whole_as_floats,
    (ValueType.NUMERIC, "decimal"): _scalars,
    (ValueType.NUMERIC, "duration"): _scalars,
    (ValueType.INTEGER, "integer"): _whole,
    (ValueType.INTEGER, "float"): _whole_from_floats,
    (ValueType.INTEGER, "decimal"): _whole_from_decimals,
    (ValueType.CHARACTER, "text"): _plain,
    (ValueType.CHARACTER, "time"): _times,
    (ValueType.LOGICAL, "boolean"): _plain,
}
