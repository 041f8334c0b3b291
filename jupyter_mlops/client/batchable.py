"""What a batchable function takes and gives: its sample as rows, its columns' types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_mlops.client.declare import Declared, from_dtype, from_type, from_value, parameter, several
from jupyter_mlops.client.sample import arrange, is_column
from jupyter_mlops.client.signature import (
    DEFAULT_OUTPUT,
    MISSING,
    Signature,
    hints_of,
    input_names,
    named_outputs,
)
from jupyter_mlops.codec import to_wire
from jupyter_mlops.columns import arguments, takes_arrays
from jupyter_mlops.errors import CaptureError, InvalidRequest
from jupyter_mlops.schema.types import Parameter, ValueType

_SINGLE = frozenset({ValueType.INTEGER, ValueType.NUMERIC, ValueType.CHARACTER, ValueType.LOGICAL})


def describe_batchable(
    function: Callable[..., Any],
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    sample: Any = MISSING,
) -> Signature:
    """Tell what one row of a batchable function is.

    A type hint says the type of one row's value (`hp: float`); one that says an array or a Series leaves the
    type to the sample. A function whose parameters are not the inputs gets one DataFrame.

    Parameters
    ----------
    function:
        Takes one array per input, by name, or one DataFrame of all of them.
    inputs, outputs:
        Declared types of one row, by name.
    sample:
        One row or several: a value or tuple, a dict of values or of columns, a list of dicts, a DataFrame, or an
        array with a row for each.

    Raises
    ------
    InvalidRequest
        When there is no sample, or a type cannot be told.
    """
    if inspect.iscoroutinefunction(function):
        raise CaptureError("an async function cannot be batchable: it would run alone anyway; use def, not async def")
    if sample is MISSING:
        raise InvalidRequest(
            "a batchable service needs a sample, one row or more: it is proved that rows which run together do not "
            "change each other's answers; give --sample X.head(3), or .sample(...) in Python"
        )
    names, optional = _inputs(function, inputs, sample)
    rows = rows_of(sample, names, optional)
    if not rows:
        raise InvalidRequest("the sample holds no row; give at least one, such as --sample X.head(3)")
    hints = {name: hint for name, hint in hints_of(function).items() if name in names}
    chosen = tuple(
        _input(name, inputs or {}, hints, [row[name] for row in rows])
        for name in names
        if name not in optional or all(name in row for row in rows)
    )
    wire = [{one.name: to_wire(row[one.name], one) for one in chosen} for row in rows]
    if outputs is not None:
        given = tuple(from_type(name, written) for name, written in outputs.items())
    else:
        given = _hinted_outputs(function) or _outputs(_try(function, chosen, wire), len(rows))
    return Signature(chosen, given, wire[0], tuple(wire))


def rows_of(sample: Any, names: list[str], optional: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """The rows of a sample, each a dict by input name.

    Parameters
    ----------
    sample:
        Any of the forms of `describe_batchable`.
    names:
        The inputs in their order.
    optional:
        Those that may be left out.
    """
    if hasattr(sample, "columns") and hasattr(sample, "iloc"):
        return _rows_of_columns({name: sample[name].tolist() for name in sample.columns}, names, optional)
    if isinstance(sample, Mapping) and any(is_column(value) for value in sample.values()):
        return _rows_of_columns(dict(sample), names, optional)
    if isinstance(sample, list) and sample and all(isinstance(row, Mapping | tuple | list) for row in sample):
        return [arrange(row, names, optional, {}) for row in sample]
    shape = getattr(sample, "shape", ())
    if len(shape) == 2:  # noqa: PLR2004
        return [arrange(tuple(row), names, optional, {}) for row in sample.tolist()]
    if len(names) == 1 and is_column(sample) and not isinstance(sample, tuple):
        return _rows_of_columns({names[0]: sample}, names, optional)
    if isinstance(sample, tuple) and sample and all(is_column(value) for value in sample):
        return _rows_of_columns(dict(zip(names, sample, strict=False)), names, optional)
    return [arrange(sample, names, optional, {})]


def _rows_of_columns(columns: dict[str, Any], names: list[str], optional: frozenset[str]) -> list[dict[str, Any]]:
    plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in columns.items()}
    single = [name for name, value in plain.items() if not isinstance(value, list | tuple)]
    if single:
        raise InvalidRequest(f"the sample's {single[0]!r} is one value and others are columns; give columns for all")
    lengths = {name: len(value) for name, value in plain.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise InvalidRequest(f"the sample's columns are not of one length: {shown}")
    count = next(iter(lengths.values()), 0)
    rows = [{name: value[index] for name, value in plain.items()} for index in range(count)]
    return [arrange(row, names, optional, {}) for row in rows]


def _inputs(
    function: Callable[..., Any], inputs: Mapping[str, Any] | None, sample: Any
) -> tuple[list[str], frozenset[str]]:
    """Names of the inputs; the columns of the sample when the function takes one DataFrame of them."""
    try:
        own, optional = input_names(function, None)
    except InvalidRequest:
        own, optional = [], frozenset()
    columns = _column_names(sample)
    required = [name for name in own if name not in optional]
    named = list(inputs or columns or ())
    if named and (not set(required) <= set(named)) and len(required) == 1:
        return named, frozenset()
    if not own and named and takes_arrays(function, named):
        return named, frozenset()
    return input_names(function, inputs)


def _column_names(sample: Any) -> list[str] | None:
    if isinstance(sample, list) and sample and isinstance(sample[0], Mapping):
        sample = sample[0]
    if isinstance(sample, Mapping):
        return [str(name) for name in sample]
    columns = getattr(sample, "columns", None)
    return None if columns is None else [str(name) for name in columns]


def _input(name: str, inputs: Mapping[str, Any], hints: Mapping[str, Any], values: list[Any]) -> Parameter:
    if name in inputs:
        given = from_type(name, inputs[name])
        if given.type not in _SINGLE:
            raise InvalidRequest(
                f"{name}: declare what one row's value is (int, float, str, bool, datetime), not {given.type}; the "
                "function gets a column of them"
            )
        return given
    hinted = _declared(name, hints[name]) if name in hints else None
    found = hinted or _of_values(values)
    if found is None:
        raise InvalidRequest(
            f"the type of input {name!r} is not known; say what one row's value is in one of three ways: an option "
            f"(--inputs {name}=float), a type hint in the function ({name}: float), or values in the sample"
        )
    return parameter(name, found)


def _declared(name: str, hint: Any) -> Declared | None:
    """The type of one row that a hint says; None for one that says only that a column comes."""
    try:
        found = from_type(name, hint)
    except InvalidRequest:
        return None
    return (found.type, found.format) if found.type in _SINGLE else None


def _of_values(values: list[Any]) -> Declared | None:
    """The type of a column's values: that of the first that is not missing; whole and other numbers are numeric."""
    found = [declared for value in values if value is not None and (declared := from_value(value)) is not None]
    if {declared[0] for declared in found} == {ValueType.INTEGER, ValueType.NUMERIC}:
        return ValueType.NUMERIC, ""
    return found[0] if found and found[0][0] in _SINGLE else None


def _hinted_outputs(function: Callable[..., Any]) -> tuple[Parameter, ...] | None:
    hints = hints_of(function)
    if "return" not in hints:
        return None
    found = named_outputs(hints["return"])
    if found is not None and all(one.type in _SINGLE for one in found):
        return found
    one = _declared(DEFAULT_OUTPUT, hints["return"])
    return None if one is None else (parameter(DEFAULT_OUTPUT, one),)


def _try(function: Callable[..., Any], inputs: tuple[Parameter, ...], rows: list[dict[str, Any]]) -> Any:
    names = [one.name for one in inputs]
    columns = {name: [row[name] for row in rows] for name in names}
    positional, named = arguments(inputs, columns, arrays=takes_arrays(function, names))
    try:
        return function(*positional, **named)
    # The function is the user's and may raise anything; the answer is one message.
    except Exception as error:
        raise CaptureError(
            "a batchable function is called with columns, one array per input or one DataFrame, and it raised on "
            f"those of the sample: {type(error).__name__}: {error}"
        ) from error


def _outputs(value: Any, count: int) -> tuple[Parameter, ...]:
    """Declare outputs from what the function returned for the sample's columns."""
    parts = several(value)
    if parts is None and hasattr(value, "columns") and hasattr(value, "iloc"):
        parts = {str(name): value[name] for name in value.columns}
    elif parts is None and isinstance(value, tuple) and value and all(is_column(part) for part in value):
        parts = {f"{DEFAULT_OUTPUT}_{index}": part for index, part in enumerate(value, 1)}
    elif parts is None and len(getattr(value, "shape", ())) == 2 and value.shape[1] > 1:  # noqa: PLR2004
        parts = {f"{DEFAULT_OUTPUT}_{index}": value[:, index - 1] for index in range(1, value.shape[1] + 1)}
    return tuple(_output(name, part, count) for name, part in (parts or {DEFAULT_OUTPUT: value}).items())


def _output(name: str, column: Any, count: int) -> Parameter:
    if getattr(column, "shape", None) == (count, 1):
        column = column.reshape(-1)
    if not is_column(column) or len(column) != count:
        got = f"{len(column)} values" if is_column(column) else f"{type(column).__name__} {repr(column)[:60]}"
        raise InvalidRequest(
            f"a batchable function returns one value for each row: for the {count} row(s) of the sample it returned "
            f"{got} as {name!r}"
        )
    values = column.tolist() if hasattr(column, "tolist") else list(column)
    found = from_dtype(getattr(column, "dtype", None))
    if found is None or column.dtype.kind == "O":  # a column of objects may hold anything
        found = _of_values(values)
    if found is None:
        raise InvalidRequest(
            f"the values of the answer {name!r} have no type that a service could declare; declare it with "
            f"--outputs {name}=float"
        )
    return parameter(name, found)
