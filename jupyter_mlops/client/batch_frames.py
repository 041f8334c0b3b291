"""The rows of a batch with their inputs and outputs, as one DataFrame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from jupyter_mlops.client.batch_results import RowResult, cells
from jupyter_mlops.codec import to_python
from jupyter_mlops.schema.types import Parameter, ValueType

INDEX, SUCCESS, ERROR, ATTEMPT, SECONDS = "_index", "_success", "_error", "_attempt", "_seconds"

_PLAIN = frozenset({ValueType.INTEGER, ValueType.NUMERIC, ValueType.CHARACTER, ValueType.LOGICAL})


def frame_of_rows(rows: Iterable[RowResult], outputs: tuple[Parameter, ...]) -> Any:
    """A DataFrame of the outputs and what became of each row, by the row's index.

    Parameters
    ----------
    rows:
        The results.
    outputs:
        The service's declared outputs.
    """
    import pandas as pd

    found = list(rows)
    values: dict[str, Any] = {one.name: cells([row.outputs[one.name] for row in found], one) for one in outputs}
    values |= {
        SUCCESS: pd.array([row.success for row in found], dtype=bool),
        ERROR: [row.error for row in found],
        ATTEMPT: pd.array([row.attempt for row in found], dtype="int64"),
        SECONDS: pd.array([row.seconds for row in found], dtype=float),
    }
    return pd.DataFrame(values, index=pd.Index([row.index for row in found], dtype="int64"))


def frame_of_arrow(table: Any, outputs: tuple[Parameter, ...]) -> Any:
    """The same of what the server sends as Arrow.

    Parameters
    ----------
    table:
        A pyarrow table with the column `_index`.
    outputs:
        The service's declared outputs.
    """
    frame = table.to_pandas().set_index(INDEX)
    frame.index.name = None
    for one in outputs:
        if one.type not in _PLAIN:
            texts = table.column(one.name).to_pylist()
            values = [None if text is None else to_python(msgspec.json.decode(text), one) for text in texts]
            frame[one.name] = cells(values, one)
        elif one.format:
            frame[one.name] = [to_python(value, one) for value in table.column(one.name).to_pylist()]
    return frame


def with_inputs(frame: Any, records: Any, rows: Any) -> Any:
    """Put the inputs in front, and name the rows as their records were.

    An input that is called like an output is called `..._input`.

    Parameters
    ----------
    frame:
        What became of the rows, by their index.
    records:
        A DataFrame of the inputs of the same rows, in the same order.
    rows:
        The index of the DataFrame that the records came from; None when there was none.
    """
    import pandas as pd

    records = records.set_axis(frame.index, axis=0)
    records.columns = [f"{name}_input" if name in frame.columns else name for name in records.columns]
    joined = pd.concat([records, frame], axis=1)
    return joined if rows is None else joined.set_axis(rows[frame.index.to_numpy()], axis=0)
