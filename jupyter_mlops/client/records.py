"""The records of a batch, in whichever form they were given, to the list of objects that is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from types import NoneType
from typing import Any

from jupyter_mlops.client.encoding import encode, encode_column
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.schema.types import Parameter, ValueType

_EXACT = 2**53
_PLAIN: dict[ValueType, frozenset[type]] = {
    ValueType.INTEGER: frozenset({int, NoneType}),
    ValueType.NUMERIC: frozenset({float, int, NoneType}),
    ValueType.CHARACTER: frozenset({str, NoneType}),
    ValueType.LOGICAL: frozenset({bool, NoneType}),
}


def read_records(records: Any, inputs: tuple[Parameter, ...]) -> list[dict[str, Any]]:
    """Make one object of inputs for each record.

    Parameters
    ----------
    records:
        A list of dicts, a dict of equally long lists, or a DataFrame. Columns are picked by the names of the inputs,
        and those that are no inputs are left out.
    inputs:
        The service's declared inputs.

    Raises
    ------
    InvalidInput
        With the path of the first value that does not fit, such as `$[3].hp`.
    """
    if hasattr(records, "columns") and hasattr(records, "iloc"):
        return from_columns(columns_of(records, {one.name for one in inputs}), inputs)
    if isinstance(records, Mapping):
        return from_columns({str(name): values for name, values in records.items()}, inputs)
    if isinstance(records, str | bytes) or not isinstance(records, Iterable):
        raise InvalidInput(
            f"records are a list of dicts, a dict of lists or a DataFrame, not a {type(records).__name__}", fields="$"
        )
    return [dict(one) for one in each(records, inputs)]  # what is changed later is not sent


def each(records: Iterable[Any], inputs: tuple[Parameter, ...]) -> Iterator[dict[str, Any]]:
    """Make one object of inputs of each dict, when it is asked for.

    Parameters
    ----------
    records:
        The dicts.
    inputs:
        The service's declared inputs.

    Raises
    ------
    InvalidInput
        With the path of the first value that does not fit, such as `$[3].hp`.
    """
    kinds = [(one.name, _PLAIN.get(one.type, frozenset())) for one in inputs]
    for index, record in enumerate(records):
        yield record if _is_plain(record, kinds) else _from_dict(record, index, inputs)


def _is_plain(record: Any, kinds: list[tuple[str, frozenset[type]]]) -> bool:
    """Whether it is on the wire as it is; the common case, many times faster than looking closely."""
    if type(record) is not dict or len(record) != len(kinds):
        return False
    for name, allowed in kinds:
        value = record.get(name, record)  # which is of no type that is allowed
        kind = type(value)
        if kind not in allowed or (kind is float and not isfinite(value)) or (kind is int and abs(value) > _EXACT):
            return False
    return True


def columns_of(frame: Any, wanted: set[str]) -> dict[str, Any]:
    """The columns of a DataFrame, by their names as text.

    Parameters
    ----------
    frame:
        The DataFrame.
    wanted:
        The names that must not be there twice.

    Raises
    ------
    InvalidInput
        With the name that is.
    """
    found: dict[str, Any] = {}
    for position, name in enumerate(map(str, frame.columns)):
        if name in found and name in wanted:
            raise InvalidInput(f"two columns are named {name!r}", fields=f"$.{name}")
        found[name] = frame.iloc[:, position]
    return found


def from_columns(columns: Mapping[str, Any], inputs: tuple[Parameter, ...]) -> list[dict[str, Any]]:
    """Make one object of inputs of each row.

    Parameters
    ----------
    columns:
        Lists, arrays or Series of one length, by name; those that are no inputs are left out.
    inputs:
        The service's declared inputs.

    Raises
    ------
    InvalidInput
        When one is missing, has another length, or holds a value that does not fit.
    """
    names = [one.name for one in inputs]
    missing = next((name for name in names if name not in columns), None)
    if missing is not None:
        raise InvalidInput(
            f"there is no column {missing!r}; the inputs are {', '.join(names)}, and the columns "
            f"{', '.join(columns) or 'none'}",
            fields=f"$.{missing}",
        )
    lengths = {name: _length(name, columns[name]) for name in names}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise InvalidInput(f"Record out of bounds: the columns are not of one length: {shown}", fields="$")
    encoded = [one_column(columns[one.name], one) for one in inputs]
    return [dict(zip(names, row, strict=True)) for row in zip(*encoded, strict=True)]


def _length(name: str, values: Any) -> int:
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise InvalidInput(f"column {name!r} is a list of values, not a {type(values).__name__}", fields=f"$.{name}")
    return len(values)


def one_column(values: Any, declared: Parameter) -> list[Any]:
    """The wire values of one input in all records.

    Parameters
    ----------
    values:
        A list, array or Series.
    declared:
        The input.

    Raises
    ------
    InvalidInput
        With the path of the first value that does not fit.
    """
    try:
        return encode_column(values, declared)
    except InvalidInput:
        return [_value(value, declared, index) for index, value in enumerate(values)]  # which finds where it was


def _from_dict(record: Any, index: int, inputs: tuple[Parameter, ...]) -> dict[str, Any]:
    if not isinstance(record, Mapping):
        raise InvalidInput(
            f"$[{index}]: a record is a dict of inputs, not a {type(record).__name__}", fields=f"$[{index}]"
        )
    names = [one.name for one in inputs]
    unknown = [str(name) for name in record if name not in names]
    missing = [name for name in names if name not in record]
    if unknown or missing:
        fault = f"there is no input {unknown[0]!r}" if unknown else f"{missing[0]!r} is missing"
        where = f"$[{index}].{(unknown or missing)[0]}"
        raise InvalidInput(f"{where}: {fault}; the inputs are {', '.join(names)}", fields=where)
    return {one.name: _value(record[one.name], one, index) for one in inputs}


def _value(value: Any, declared: Parameter, index: int) -> Any:
    try:
        return encode(value, declared)
    except InvalidInput as error:
        raise InvalidInput(f"$[{index}]: {error}", fields=f"$[{index}].{declared.name}") from None
