"""The columns that a sample tells, and its rows as a DataFrame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_mlops.container import CellType
from jupyter_mlops.errors import InvalidRequest


def frame_of(sample: Any, names: Sequence[str] | None) -> Any:
    """A sample as a DataFrame whose columns are the model's; None stays None.

    Parameters
    ----------
    sample:
        A DataFrame, an array, lists of rows, or a mapping of columns; one row may stand alone.
    names:
        The model's columns in their order, when it knows them.

    Raises
    ------
    InvalidRequest
        When the sample has other columns than the model.
    """
    if sample is None:
        return None
    import pandas as pd

    frame = _frame(sample)
    if names is None:
        names = [name if isinstance(name, str) else f"x{name}" for name in frame.columns]
        return frame.set_axis(list(names), axis=1).reset_index(drop=True)
    if all(isinstance(name, str) for name in frame.columns) and set(names) <= set(frame.columns):
        return frame[list(names)].reset_index(drop=True)
    if frame.shape[1] != len(names) or (isinstance(sample, (pd.DataFrame, Mapping)) and _named(frame, names)):
        raise InvalidRequest(
            f"the sample has other columns than the model: it takes {_list(names)}, and {_list(frame.columns)} came"
        )
    return frame.set_axis(list(names), axis=1).reset_index(drop=True)


def _frame(sample: Any) -> Any:
    import numpy as np
    import pandas as pd

    if isinstance(sample, pd.DataFrame):
        return sample
    if isinstance(sample, pd.Series):
        return sample.to_frame()
    if isinstance(sample, Mapping):
        return pd.DataFrame({name: np.atleast_1d(np.asarray(values)) for name, values in sample.items()})
    if hasattr(sample, "toarray"):
        return pd.DataFrame(sample.toarray())
    array = np.asarray(sample)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.ndim == 1 and array.dtype == object:
        return pd.DataFrame(array.reshape(-1, 1))
    return pd.DataFrame(np.atleast_2d(array)).infer_objects()


def _named(frame: Any, names: Sequence[str]) -> bool:
    """Whether both have names of their own, and they differ."""
    own = all(isinstance(name, str) for name in frame.columns)
    return own and not all(name == f"x{i}" for i, name in enumerate(names))


def _list(names: Any) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:12]) + (f", ... ({len(shown)})" if len(shown) > 12 else "")  # noqa: PLR2004


def cell_types(frame: Any) -> dict[str, CellType]:
    """By column, the type of a sample's cells."""
    return {name: _cell_type(frame[name]) for name in frame.columns}


def _cell_type(series: Any) -> CellType:
    from pandas.api import types

    if types.is_bool_dtype(series):
        return "logical"
    if types.is_integer_dtype(series):
        return "integer"
    if types.is_numeric_dtype(series):
        return "double"
    values = series.dropna()
    if len(values) and all(isinstance(one, bool) for one in values):
        return "logical"
    if len(values) and all(isinstance(one, (int, float)) for one in values):
        return "double"
    return "string"
