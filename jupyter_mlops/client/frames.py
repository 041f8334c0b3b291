"""Rows for a realtime service, in whichever form they were given, and the columns that come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from jupyter_mlops.client.records import columns_of, one_column, read_records
from jupyter_mlops.client.response import Asked, ServiceResponse
from jupyter_mlops.client.sample import is_column
from jupyter_mlops.container import InputColumn, OutputColumn
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.realtime import ARROW, INPUT, JSON, OUTPUT
from jupyter_mlops.schema.types import Parameter, ValueType

ARROW_FROM = 128
"""Rows from which columns go as Arrow, where pyarrow is installed; fewer are smaller as JSON."""

_TYPES = {
    "double": ValueType.NUMERIC,
    "float": ValueType.NUMERIC,
    "integer": ValueType.INTEGER,
    "string": ValueType.CHARACTER,
    "logical": ValueType.LOGICAL,
}
_SHOWN = 24


@dataclass(frozen=True)
class Rows:
    """Columns of one length, by the names that the model knows."""

    columns: dict[str, Any]
    index: Any = None
    """Of the DataFrame that they came from, for the answer to have it too."""


@dataclass(frozen=True)
class Body:
    """What is sent of them."""

    content: bytes
    content_type: str

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)

    def __iter__(self) -> Iterator[bytes]:
        """The body, whole."""
        yield self.content


def parameters_of(columns: Sequence[InputColumn | OutputColumn]) -> tuple[Parameter, ...]:
    """The columns of a model as if each of them were an input or output."""
    return tuple(Parameter(name=one.name, type=_TYPES[one.type]) for one in columns)


def rows_of(
    args: tuple[Any, ...], named: Mapping[str, Any], inputs: tuple[InputColumn, ...], ignored: tuple[str, ...] = ()
) -> Rows:
    """Read what a caller gave.

    Parameters
    ----------
    args, named:
        A DataFrame, a pyarrow Table, a dict of columns or of values, a list of dicts, an array whose columns are in
        the model's order; or values or columns, in that order or by name.
    inputs:
        The columns that the model takes.
    ignored:
        Columns that may come along, and are not sent.

    Raises
    ------
    InvalidInput
        Naming what is missing or too much.
    """
    names = [one.name for one in inputs]
    if not args and set(named) == {INPUT} != set(names):
        args, named = (named[INPUT],), {}
    if len(args) == 1 and not named:
        return _from_one(args[0], inputs, ignored)
    if len(args) > len(names):
        raise InvalidInput(f"{len(args)} values for {len(names)} columns; {takes(inputs)}", fields="$")
    given = dict(zip(names, args, strict=False))
    twice = next((name for name in named if name in given), None)
    if twice is not None:
        raise InvalidInput(f"{twice!r} is given twice; {takes(inputs)}", fields=f"$.{twice}")
    return _from_mapping({**given, **named}, inputs, ignored)


def takes(inputs: tuple[InputColumn, ...]) -> str:
    """Say which columns a model takes."""
    more = f" and {len(inputs) - _SHOWN} more" if len(inputs) > _SHOWN else ""
    return f"the model takes {', '.join(f'{one.name}: {one.type}' for one in inputs[:_SHOWN])}{more}"


def _from_one(given: Any, inputs: tuple[InputColumn, ...], ignored: tuple[str, ...]) -> Rows:
    names = [one.name for one in inputs]
    if hasattr(given, "columns") and hasattr(given, "iloc"):
        return Rows(_checked_names(columns_of(given, set(names)), inputs, ignored), given.index)
    if hasattr(given, "schema") and hasattr(given, "to_pandas"):
        return Rows(_from_one(given.to_pandas(), inputs, ignored).columns)
    if isinstance(given, Mapping):
        if set(given) == {INPUT} != set(names):
            return _from_one(given[INPUT], inputs, ignored)
        return _from_mapping(given, inputs, ignored)
    if hasattr(given, "to_dict") and hasattr(given, "index") and set(given.index) >= set(names):
        return _from_mapping(given.to_dict(), inputs, ignored)  # a row of a DataFrame
    if isinstance(given, list) and given and all(isinstance(one, Mapping) for one in given):
        plain = [{name: value for name, value in one.items() if name not in ignored} for one in given]
        rows = read_records(plain, parameters_of(inputs))
        return Rows({name: [row[name] for row in rows] for name in names})
    return _from_array(given, inputs)


def _from_mapping(given: Mapping[str, Any], inputs: tuple[InputColumn, ...], ignored: tuple[str, ...]) -> Rows:
    given = _checked_names(given, inputs, ignored)
    several = [name for name, value in given.items() if is_column(value)]
    if not several:
        return Rows({name: [value] for name, value in given.items()})
    single = next((name for name in given if name not in several), None)
    if single is not None:
        raise InvalidInput(
            f"{single!r} is one value and {several[0]!r} holds several; give one value for each column, or a list or "
            "array for each",
            fields=f"$.{single}",
        )
    lengths = {name: len(value) for name, value in given.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name}: {length}" for name, length in list(lengths.items())[:_SHOWN])
        raise InvalidInput(f"the columns are not of one length: {shown}", fields="$")
    return Rows(dict(given))


def _from_array(given: Any, inputs: tuple[InputColumn, ...]) -> Rows:
    """Rows without names: their columns are in the model's order."""
    import numpy as np

    strings = any(one.type == "string" for one in inputs)
    try:
        array = np.asarray(given, dtype=object if strings else None)
    except ValueError:
        raise InvalidInput(f"the rows are not of one length; {takes(inputs)}", fields="$") from None
    if array.ndim < 2:  # noqa: PLR2004
        array = array.reshape(-1, 1) if len(inputs) == 1 else array.reshape(1, -1)
    if array.ndim > 2 or array.shape[1] != len(inputs):  # noqa: PLR2004
        raise InvalidInput(
            f"rows of {array.shape[-1]} values came for {len(inputs)} columns; {takes(inputs)}", fields="$"
        )
    return Rows({one.name: array[:, place] for place, one in enumerate(inputs)})


def _checked_names(
    given: Mapping[str, Any], inputs: tuple[InputColumn, ...], ignored: tuple[str, ...]
) -> dict[str, Any]:
    """The model's columns of what was given."""
    names = {one.name for one in inputs}
    missing = next((one.name for one in inputs if one.name not in given), None)
    if missing is not None:
        raise InvalidInput(f"the column {missing!r} is missing; {takes(inputs)}", fields=f"$.{missing}")
    unknown = next((str(name) for name in given if name not in names and name not in ignored), None)
    if unknown is not None:
        raise InvalidInput(f"the model has no column {unknown!r}; {takes(inputs)}", fields=f"$.{unknown}")
    return {one.name: given[one.name] for one in inputs}


def body_of(rows: Rows, inputs: tuple[InputColumn, ...]) -> Body:
    """Write rows as they are sent: many of them as Arrow, where that can be.

    Raises
    ------
    InvalidInput
        With the place of the first value that does not fit.
    """
    if len(rows.columns[inputs[0].name]) >= ARROW_FROM:
        content = _arrow(rows.columns, inputs)
        if content is not None:
            return Body(content, ARROW)
    declared = parameters_of(inputs)
    plain = {one.name: one_column(rows.columns[one.name], one) for one in declared}
    return Body(msgspec.json.encode({INPUT: plain}), JSON)


def _arrow(columns: Mapping[str, Any], inputs: tuple[InputColumn, ...]) -> bytes | None:
    """Columns as an Arrow stream; None without pyarrow, or when some value is not what its column's type says."""
    try:
        import pyarrow as pa
    except ImportError:
        return None
    try:
        arrays = [_column(pa, columns[one.name], one) for one in inputs]
    except (pa.ArrowException, TypeError, ValueError):
        return None  # as JSON, each value is looked at, and the odd one is named
    table = pa.table(arrays, names=[one.name for one in inputs])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _column(pa: Any, values: Any, declared: InputColumn) -> Any:
    import numpy as np

    if declared.type == "string":
        return pa.array(values, pa.string(), from_pandas=True)
    array = np.asarray(values)
    if declared.type == "logical":
        return pa.array(array, pa.bool_(), from_pandas=True)
    if array.dtype.kind in "iuf":
        return pa.array(array, from_pandas=True)
    return pa.array(values, pa.float64(), from_pandas=True)


def answer_of(api: str, answer: bytes, rows: Rows, outputs: tuple[Parameter, ...], asked: Asked) -> ServiceResponse:
    """Read an answer, in JSON or Arrow.

    Parameters
    ----------
    api:
        Name of the consume function.
    answer:
        The body.
    rows:
        What was sent.
    outputs:
        The service's outputs.
    asked:
        What the server knows the call by.
    """
    if answer.startswith(b"{"):
        result = msgspec.json.decode(answer, type=WebServiceResult)
    else:
        import pyarrow as pa

        table = pa.ipc.open_stream(answer).read_all()
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        result = WebServiceResult(success=True, output_parameters={OUTPUT: columns})
    response = ServiceResponse(api, result, outputs, asked=asked)
    frame = response.outputs.get(OUTPUT)
    if rows.index is not None and frame is not None and len(frame) == len(rows.index):
        frame.index = rows.index
    return response
