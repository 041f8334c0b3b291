"""Python values to wire values and back, for the seven types of a service's parameters.

Wire values are what JSON can say. `to_wire` is used by clients for inputs and by scoring kernels for
outputs, `to_python` the other way round. `None` is `null` both ways for every type; NaN and the infinities
become `null`; points in time become ISO 8601 strings. numpy and pandas are imported only when a value needs
them.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.schema.types import Parameter, ValueType

Scalar = int | float | str | bool | None


def to_python(value: Any, parameter: Parameter) -> Any:
    """Turn a checked wire value into what Python code expects.

    Parameters
    ----------
    value:
        A value that fits `parameter`, or None.
    parameter:
        Its declaration; `format` chooses among Python's spellings of one wire type.

    Returns
    -------
    Any
        int, float, str, bool, `numpy.ndarray` (vector), `numpy.matrix` (matrix), `pandas.DataFrame`,
        or what `format` says.
    """
    if value is None:
        return None
    decode = _DECODERS.get((parameter.type, parameter.format))
    return value if decode is None else decode(value)


def stays(parameter: Parameter) -> bool:
    """Whether `to_python` leaves every value of a declaration as it is."""
    return (parameter.type, parameter.format) not in _DECODERS


def numbers_to_python(values: list[Any], parameter: Parameter) -> list[Any] | None:
    """Turn many values of a number's declaration at once as `to_python` does; None for another declaration.

    Parameters
    ----------
    values:
        Values that fit `parameter`, or None.
    parameter:
        Its declaration.
    """
    decode = _DECODERS.get((parameter.type, parameter.format))
    if decode is not float and decode is not int:
        return None
    return [None if value is None else decode(value) for value in values]


def _array(value: list[Any]) -> Any:
    import numpy as np

    return np.array(value)


def _table(value: list[list[Any]]) -> Any:
    import numpy as np

    return np.array(value) if value else np.empty((0, 0))


def _matrix(value: list[list[Any]]) -> Any:
    import numpy as np

    return _table(value).view(np.matrix)  # np.matrix() itself warns that it is old


def _series(value: list[Any]) -> Any:
    import pandas as pd

    return pd.Series(value)


def _frame(value: Mapping[str, list[Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(value)


_DECODERS: dict[tuple[ValueType, str], Callable[[Any], Any]] = {
    (ValueType.NUMERIC, ""): float,
    (ValueType.INTEGER, ""): int,
    (ValueType.CHARACTER, "date-time"): dt.datetime.fromisoformat,
    (ValueType.CHARACTER, "date"): dt.date.fromisoformat,
    (ValueType.VECTOR, ""): _array,
    (ValueType.VECTOR, "series"): _series,
    (ValueType.MATRIX, ""): _matrix,
    (ValueType.MATRIX, "ndarray"): _table,
    (ValueType.DATA_FRAME, ""): _frame,
}


def to_wire(value: Any, parameter: Parameter) -> Any:
    """Turn a Python value into the wire value of its declared type.

    Parameters
    ----------
    value:
        Any Python, numpy or pandas value that can stand for the type: numpy scalars, and arrays of one
        element for a scalar, included.
    parameter:
        The declaration.

    Raises
    ------
    InvalidInput
        Naming the parameter, the declared type and the type that came.
    """
    if value is None:
        return None
    kind = type(value)
    if kind is _PLAIN.get(parameter.type) and (kind is not float or math.isfinite(value)):
        return value
    try:
        return _ENCODERS[parameter.type](value)
    except (TypeError, ValueError, OverflowError) as error:
        shape = getattr(value, "shape", None)
        got = type(value).__name__ + (f" of shape {shape}" if shape is not None else "")
        raise InvalidInput(
            f"{parameter.name}: expected a value for type {parameter.type}, got {got}: {error}",
            fields=f"$.{parameter.name}",
        ) from None


def json_of(value: Any) -> Any:
    """Turn any value that JSON can say into what JSON says for it; no type is declared.

    Parameters
    ----------
    value:
        A scalar, an array of one or two dimensions, a Series, a DataFrame (an object of columns), or lists, tuples,
        sets and dicts of these.

    Raises
    ------
    TypeError
        Naming the type that has no JSON form.
    """
    if isinstance(value, Mapping):
        return {str(key): json_of(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_of(part) for part in value]
    if hasattr(value, "columns") and hasattr(value, "iloc"):
        return _encode_frame(value)
    shape = getattr(value, "shape", ())
    if isinstance(shape, tuple) and shape and hasattr(value, "tolist"):
        return json_of(value.tolist())
    return scalar(value)


def _single(value: Any) -> Any:
    """The one element of a size-1 array, Series, Index or DataFrame; other values unchanged."""
    size = getattr(value, "size", None)
    if isinstance(size, int) and hasattr(value, "shape") and value.shape != ():
        if size != 1:
            raise ValueError(f"a scalar is one value, this holds {size}")
        value = value.to_numpy() if hasattr(value, "to_numpy") else value
        return _flat(value)[0]
    if isinstance(value, list | tuple) and len(value) == 1:
        return _single(value[0])
    return value


def _flat(value: Any) -> Any:
    """One dimension; a `numpy.matrix` would stay two-dimensional when it is reshaped."""
    return value.A1 if hasattr(value, "A1") else value.reshape(-1)


def _encode_integer(value: Any) -> int | None:
    value = scalar(_single(value))
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise TypeError(f"{value!r} is no whole number")


def _encode_numeric(value: Any) -> float | int | None:
    value = scalar(_single(value))
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return float(value)
    raise TypeError(f"{value!r} is no number")


def _encode_character(value: Any) -> str | None:
    value = scalar(_single(value))
    if value is None or isinstance(value, str):
        return value
    return str(value)


def _encode_logical(value: Any) -> bool | None:
    value = scalar(_single(value))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in {0, 1}:
        return bool(value)
    raise TypeError(f"{value!r} is neither true nor false")


def _encode_vector(value: Any) -> list[Any]:
    if hasattr(value, "shape") and len(value.shape) != 1:
        value = value.to_numpy() if hasattr(value, "to_numpy") else value
        if value.size != max(value.shape, default=1):
            raise ValueError("a vector has one dimension")
        value = _flat(value)
    return _scalars(value)


def _encode_matrix(value: Any) -> list[list[Any]]:
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if hasattr(value, "shape"):
        if len(value.shape) != 2:  # noqa: PLR2004
            raise ValueError("a matrix has two dimensions")
        value = value.tolist()
    rows = [_scalars(row) for row in value]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("the rows of a matrix have one length")
    return rows


def _encode_frame(value: Any) -> dict[str, list[Any]]:
    if hasattr(value, "columns") and hasattr(value, "iloc"):
        names = [str(name) for name in value.columns]
        if len(set(names)) != len(names):
            raise ValueError("two columns have one name")
        return {name: _scalars(value.iloc[:, i]) for i, name in enumerate(names)}
    if hasattr(value, "to_frame"):
        return _encode_frame(value.to_frame())
    if isinstance(value, Mapping):
        columns = {str(name): _scalars(column) for name, column in value.items()}
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError("the columns of a data frame have one length")
        return columns
    import pandas as pd

    return _encode_frame(pd.DataFrame(value))


_ENCODERS: dict[ValueType, Callable[[Any], Any]] = {
    ValueType.INTEGER: _encode_integer,
    ValueType.NUMERIC: _encode_numeric,
    ValueType.CHARACTER: _encode_character,
    ValueType.LOGICAL: _encode_logical,
    ValueType.VECTOR: _encode_vector,
    ValueType.MATRIX: _encode_matrix,
    ValueType.DATA_FRAME: _encode_frame,
}


_PLAIN = {
    ValueType.INTEGER: int,
    ValueType.NUMERIC: float,
    ValueType.CHARACTER: str,
    ValueType.LOGICAL: bool,
}
"""What is a wire value already."""


def _scalars(values: Any) -> list[Any]:
    if isinstance(values, str | bytes | Mapping):
        raise TypeError("a list of values is needed")
    dtype = getattr(values, "dtype", None)
    # pandas' nullable integers have the kind of their numpy twins, and may hold NA.
    if getattr(dtype, "kind", "") in {"i", "u", "b"} and type(dtype).__module__.startswith("numpy"):
        return list(values.tolist())
    return [scalar(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]


def scalar(value: Any) -> Scalar:  # noqa: C901  # one case a kind of scalar, in order of frequency
    """Turn one Python, numpy or pandas scalar into a JSON scalar.

    Parameters
    ----------
    value:
        A number, string, truth value, point in time, missing value, or a numpy scalar of these.

    Returns
    -------
    int | float | str | bool | None
        None for None, NaN, NaT, NA and the infinities; ISO 8601 for points in time.

    Raises
    ------
    TypeError
        For anything that is no scalar.
    """
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is int or kind is str or kind is bool or value is None:
        return value  # type: ignore[no-any-return]
    if isinstance(value, dt.date | dt.time):
        return None if _missing(value) else value.isoformat()
    if isinstance(value, dt.timedelta):
        return None if _missing(value) else value.total_seconds()
    if isinstance(value, str):  # numpy.str_ and str enums
        return str.__str__(value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # numpy scalars and 0-d arrays
        if getattr(getattr(value, "dtype", None), "kind", "") in "Mm":
            return _numpy_time(value)
        return scalar(value.item())
    if isinstance(value, int | float):  # subclasses, IntEnum among them
        return scalar(value + 0)
    if _missing(value):
        return None
    if hasattr(value, "__float__") and hasattr(value, "as_tuple"):  # Decimal
        return scalar(float(value))
    raise TypeError(f"{kind.__name__} is no scalar")


def _numpy_time(value: Any) -> Scalar:
    import pandas as pd

    stamp = pd.Timestamp(value) if value.dtype.kind == "M" else pd.Timedelta(value)
    return scalar(stamp)


def _missing(value: Any) -> bool:
    """Whether it is pandas' NaT or NA; without pandas there are none."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NaT or value is pandas.NA)
