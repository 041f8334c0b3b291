"""Columns of Apache Arrow to checked wire values."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import msgspec

from jupyter_mlops.codec import scalar
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.inputs import WIRE_TYPES
from jupyter_mlops.records.chunks import Column
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


def column_of(cells: Any, declared: Parameter, first: int) -> Column:
    """The wire values of a column.

    Nulls, NaN and the infinities are null. Categories (dictionaries) are their values, decimals are numbers, times are
    texts in ISO 8601, with an offset when they have a time zone, and durations are numbers of seconds.

    Parameters
    ----------
    cells:
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

    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if cells.null_count == len(cells):
        return [None] * len(cells)
    convert = _CONVERSIONS.get((declared.type, _kind(cells.type))) if declared.type in _SCALARS else _nested
    if convert is None:
        row = next(place for place, valid in enumerate(cells.is_valid().to_pylist()) if valid)
        raise _misfit(declared, f"a column of {cells.type}", first + row)
    try:
        return convert(cells, declared, first)
    except InvalidInput:
        raise
    except (ValueError, OverflowError, KeyError) as error:  # points in time, and their zones, that Python has not
        raise _misfit(declared, f"a column of {cells.type} with a value that cannot be read: {error}", first) from None


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


def _plain(cells: Any, _: Parameter, __: int) -> list[Any]:
    found: list[Any] = cells.to_pylist()
    return found


def _floats(cells: Any, _: Parameter, __: int) -> Column:
    """Floats by way of numpy, which is many times faster; nulls are NaN there."""
    import numpy as np

    values = cells.to_numpy(zero_copy_only=False).astype(float, copy=False)
    finite = np.isfinite(values)
    return array("d", values.tobytes()) if finite.all() else _with_holes(values.tolist(), ~finite)


def _whole(cells: Any, declared: Parameter, first: int) -> Column:
    values = _integers(cells)
    if values.dtype.kind == "u" and values.max() >= _MOST:
        row = int((values >= _MOST).argmax())
        raise _misfit(declared, f"{values[row]}, a whole number that 64 bits with a sign do not hold", first + row)
    values = values.astype("i8", copy=False)
    return _with_holes(values.tolist(), _nulls(cells)) if cells.null_count else array("q", values.tobytes())


def _whole_as_floats(cells: Any, _: Parameter, __: int) -> Column:
    values = _integers(cells).astype(float)
    return _with_holes(values.tolist(), _nulls(cells)) if cells.null_count else array("d", values.tobytes())


def _integers(cells: Any) -> Any:
    return (cells.fill_null(0) if cells.null_count else cells).to_numpy(zero_copy_only=False)


def _nulls(cells: Any) -> Any:
    return cells.is_null().to_numpy(zero_copy_only=False)


def _with_holes(values: list[Any], holes: Any) -> list[Any]:
    for place in holes.nonzero()[0].tolist():
        values[place] = None
    return values


def _whole_from_floats(cells: Any, declared: Parameter, first: int) -> list[Any]:
    return checked(list(_floats(cells, declared, first)), declared, first)


def _whole_from_decimals(cells: Any, declared: Parameter, first: int) -> list[Any]:
    values = []
    for index, value in enumerate(cells.to_pylist(), first):
        whole = None if value is None else int(value)
        if whole is not None and (whole != value or not _LEAST <= whole < _MOST):
            raise _misfit(declared, str(value), index)
        values.append(whole)
    return values


def _scalars(cells: Any, _: Parameter, __: int) -> list[Any]:
    return [scalar(value) for value in cells.to_pylist()]


def _times(cells: Any, declared: Parameter, first: int) -> list[Any]:
    import pyarrow as pa

    kind = cells.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        import pandas as pd  # Python's own points in time have microseconds

        index = pd.DatetimeIndex(cells.cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False))
        index = index.tz_localize("UTC").tz_convert(kind.tz) if kind.tz else index
        return [scalar(value) for value in index]
    if pa.types.is_time64(kind) and kind.unit == "ns":
        cells = cells.cast(pa.time64("us"), safe=False)
    return _scalars(cells, declared, first)


def _nested(cells: Any, declared: Parameter, first: int) -> list[Any]:
    """Lists, lists of lists, and structs of lists."""
    wanted = WIRE_TYPES[declared.type]
    values = []
    for index, value in enumerate(cells.to_pylist(), first):
        try:
            values.append(msgspec.convert(_scalars_within(value), wanted))
        except (msgspec.ValidationError, TypeError) as error:
            raise _misfit(declared, f"a value of {cells.type}: {error}", index) from None
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


_CONVERSIONS: dict[tuple[ValueType, str], Callable[[Any, Parameter, int], Column]] = {
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
