"""How a batchable function is called: with one array per input, or with one DataFrame of all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_mlops.codec import to_python
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
    inputs: tuple[Parameter, ...], columns: Mapping[str, list[Any]], *, arrays: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a batchable function is given for some rows: positional and keyword arguments.

    A column has the type that its input declares, whichever rows run together: `null` is NaN in a numeric
    or integer column, and None in the others.

    Parameters
    ----------
    inputs:
        The declared inputs.
    columns:
        The wire values of each.
    arrays:
        What `takes_arrays` said.
    """
    import numpy as np

    values = {one.name: _column(columns[one.name], one) for one in inputs}
    if arrays:
        return (), {name: np.array(column) if isinstance(column, list) else column for name, column in values.items()}
    import pandas as pd

    return (pd.DataFrame(values),), {}


def _column(values: list[Any], declared: Parameter) -> Any:
    import numpy as np

    if declared.type is ValueType.NUMERIC or (declared.type is ValueType.INTEGER and None in values):
        return np.array(values, dtype=float)
    if declared.format:
        return [to_python(value, declared) for value in values]
    if None in values:
        return np.array(values, dtype=object)
    return values
