"""Arrow IPC streams to columns and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from jupyter_mlops.container import InputColumn, OutputColumn
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.realtime.reading import Values, described, filling

_FILE = b"ARROW1"
_KINDS = {"double": pa.float64(), "float": pa.float32(), "integer": pa.int64(), "logical": pa.bool_()}


def read_columns(
    body: bytes | memoryview, inputs: tuple[InputColumn, ...], ignored: frozenset[str] = frozenset()
) -> dict[str, Values]:
    """Read a stream (or a file) of record batches; numbers without nulls are not copied.

    Parameters
    ----------
    body:
        The bytes, which must live as long as what is returned.
    inputs:
        The columns that there must be.
    ignored:
        Columns that there may be, and that are not looked at.

    Raises
    ------
    InvalidInput
        Naming the column that is missing, unknown, of another type, or holds nulls that the model does not take.
    """
    try:
        buffer = pa.py_buffer(body)
        file = bytes(body[: len(_FILE)]) == _FILE
        table = (pa.ipc.open_file(buffer) if file else pa.ipc.open_stream(buffer)).read_all()
        table.validate(full=any(not _fixed(field.type) for field in table.schema))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidInput(f"the body is not an Arrow IPC stream: {error}", fields="$") from None
    known = {column.name for column in inputs}
    for name in table.column_names:
        if name not in known and name not in ignored:
            raise InvalidInput(f"$: the model has no column {name!r}; it takes {described(inputs)}", fields=f"$.{name}")
    if len(set(table.column_names)) < len(table.column_names):
        raise InvalidInput("$: two columns have one name", fields="$")
    return {column.name: _values(table, column, inputs) for column in inputs}


def _values(table: Any, column: InputColumn, inputs: tuple[InputColumn, ...]) -> Values:
    name, place = column.name, f"$.{column.name}"
    if name not in table.column_names:
        raise InvalidInput(f"$: the column {name!r} is missing; the model takes {described(inputs)}", fields=place)
    chunked = table.column(name)
    if pa.types.is_dictionary(chunked.type):
        chunked = chunked.cast(chunked.type.value_type)
    if not _suits(chunked.type, column):
        raise InvalidInput(f"{place}: expected {column.type}, got Arrow's {chunked.type}", fields=place)
    if chunked.null_count:
        if not column.nullable:
            raise InvalidInput(
                f"{place}: {chunked.null_count} values are missing, and the model takes no missing values there",
                fields=place,
            )
        fill = filling(column)
        if isinstance(fill, float) and not pa.types.is_floating(chunked.type):
            chunked = chunked.cast(pa.float64())
        chunked = chunked.fill_null(fill)
    return chunked.to_numpy()  # type: ignore[no-any-return]  # pyarrow's stubs differ from version to version


def _fixed(kind: Any) -> bool:
    return bool(pa.types.is_primitive(kind))


def _suits(kind: Any, column: InputColumn) -> bool:
    types = pa.types
    match column.type:
        case "string":
            return bool(types.is_string(kind) or types.is_large_string(kind))
        case "logical":
            return bool(types.is_boolean(kind))
        case "integer":
            return bool(types.is_integer(kind) or types.is_floating(kind))
        case _:
            return bool(types.is_floating(kind) or types.is_integer(kind))


def write_columns(columns: dict[str, Any], outputs: tuple[OutputColumn, ...], sink: Any) -> None:
    """Write columns as an Arrow IPC stream of one record batch.

    Parameters
    ----------
    columns:
        A numpy array or list for each output.
    outputs:
        Their types.
    sink:
        Where: a `pyarrow.NativeFile` or a path.
    """
    arrays = [_array(columns[output.name], output) for output in outputs]
    batch = pa.RecordBatch.from_arrays(arrays, names=[output.name for output in outputs])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _array(values: Any, output: OutputColumn) -> Any:
    if output.type == "string":
        return pa.array(values.tolist() if isinstance(values, np.ndarray) else values, pa.string())
    kind = _KINDS[output.type]
    if isinstance(values, np.ndarray):
        return pa.array(np.ascontiguousarray(values, dtype=kind.to_pandas_dtype()))
    return pa.array(values, kind)
