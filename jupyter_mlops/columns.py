"""How a batchable function is called, with an array per input or one DataFrame of all, and how its answer is read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from jupyter_mlops.codec import to_python, to_wire
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.schema.services import Definition
from jupyter_mlops.schema.types import Parameter, ValueType


def takes_arrays(function: Callable[..., Any], inputs: list[str]) -> bool:
    """Whether a function takes its inputs by name, one array each, rather than one DataFrame."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions written in C do not tell
        return False
    return all(name in parameters for name in inputs) or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def arguments(
    inputs: tuple[Parameter, ...], columns: Mapping[str, Any], *, arrays: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a batchable function is given for some rows: positional and keyword arguments.

    A column has the type that its input declares, whichever rows run together: `null` is NaN in a numeric
    or integer column, and None in the others.

    Parameters
    ----------
    inputs:
        The declared inputs.
    columns:
        The wire values of each; numbers, none of them missing, may be a numpy array.
    arrays:
        What `takes_arrays` said.
    """
    import numpy as np

    values = {one.name: _input(columns[one.name], one) for one in inputs}
    if arrays:
        return (), {name: np.array(column) if isinstance(column, list) else column for name, column in values.items()}
    import pandas as pd

    return (pd.DataFrame(values),), {}


def _input(values: Any, declared: Parameter) -> Any:
    import numpy as np

    if not isinstance(values, list):  # as the machine holds them, and not to be written to
        return np.array(values, dtype=float if declared.type is ValueType.NUMERIC else None)
    if declared.type is ValueType.NUMERIC or (declared.type is ValueType.INTEGER and None in values):
        return np.array(values, dtype=float)
    if declared.format:
        return [to_python(value, declared) for value in values]
    if None in values:
        return np.array(values, dtype=object)
    return values


class Columns:
    """Calls a batchable function with columns and splits what it returns.

    Parameters
    ----------
    function:
        Takes one array per input, by name, or one DataFrame of all of them.
    definition:
        Its declared inputs and outputs, all of them single values.
    """

    def __init__(self, function: Any, definition: Definition) -> None:
        self._function = function
        self._outputs = definition.outputs
        self._inputs = definition.inputs
        self._arrays = takes_arrays(function, [parameter.name for parameter in definition.inputs])

    def call(self, columns: dict[str, Any]) -> Any:
        """Run the function on columns of wire values, and return what it returns."""
        positional, named = arguments(self._inputs, columns, arrays=self._arrays)
        return self._function(*positional, **named)

    def read(self, value: Any, count: int) -> list[list[Any]]:
        """The wire values of each output, output by output.

        Raises
        ------
        InvalidInput
            When the function did not return one value, or one row, for each of `count` rows.
        """
        return [_column(part, output, count) for part, output in zip(self._parts(value), self._outputs, strict=True)]

    def _parts(self, value: Any) -> list[Any]:
        names = [output.name for output in self._outputs]
        if not names:
            return []
        if isinstance(value, Mapping) or hasattr(value, "columns"):
            missing = [name for name in names if name not in value]
            if not missing:
                return [value[name] for name in names]
            if len(names) > 1 or not hasattr(value, "iloc") or value.shape[1] != 1:
                raise InvalidInput(f"there is no column {missing[0]!r} in what the function returned")
            return [value.iloc[:, 0]]
        if len(names) == 1:
            return [value]
        if isinstance(value, tuple) and len(value) == len(names):
            return list(value)
        if getattr(value, "ndim", 0) == 2 and value.shape[1] == len(names):  # noqa: PLR2004
            return [value[:, i] for i in range(len(names))]
        raise InvalidInput(
            f"{len(names)} outputs are declared ({', '.join(names)}): return a DataFrame or dict of these columns, "
            f"a tuple of arrays, or an array with that many columns; the function returned {type(value).__name__}"
        )


def _column(value: Any, output: Parameter, count: int) -> list[Any]:
    try:
        wire = to_wire(value, msgspec.structs.replace(output, type=ValueType.VECTOR, format=""))
    except InvalidInput:
        raise InvalidInput(
            f"{output.name}: a batchable function takes columns and returns an array, Series or list with one value "
            f"per row; it returned {type(value).__name__} {repr(value)[:80]}"
        ) from None
    if wire is None or len(wire) != count:
        got = "nothing" if wire is None else f"{len(wire)}"
        raise InvalidInput(
            f"{output.name}: a batchable function returns one value per row: {count} rows, {got} returned"
        )
    kind = _PLAIN.get(output.type)
    if all(type(one) is kind for one in wire):
        return list(wire)
    return [to_wire(one, output) for one in wire]


_PLAIN: dict[ValueType, type] = {
    ValueType.NUMERIC: float,
    ValueType.INTEGER: int,
    ValueType.CHARACTER: str,
    ValueType.LOGICAL: bool,
}
