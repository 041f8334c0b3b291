"""The recorded rows of a batch as a stream of Apache Arrow."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from jupyter_mlops.chunks import unpack_columns
from jupyter_mlops.recording import Frame, Kind, frames
from jupyter_mlops.records.arrow import import_pyarrow
from jupyter_mlops.schema.services import Definition
from jupyter_mlops.schema.types import Parameter, ValueType
from jupyter_mlops.server.managers.batch_rows import Attempts
from jupyter_mlops.server.stores.batch_files import BatchFiles
from jupyter_mlops.server.stores.batches import Recorded

ROWS = 8192
"""Rows of a record batch, where they are recorded one by one."""

_PLAIN = {
    ValueType.NUMERIC: "float64",
    ValueType.INTEGER: "int64",
    ValueType.LOGICAL: "bool",
    ValueType.CHARACTER: "string",
}
_PACKED = {1: "float64", 2: "int64"}
"""What the codes of packed columns are in Arrow."""
_LEAST, _MOST = -(2**63), 2**63 - 1


class ArrowRows:
    """Writes the columns `_index`, one for each output, `_success`, `_error`, `_attempt` and `_seconds`.

    Outputs that are single values have the types of their declaration; vectors, matrices and data frames are text, in
    JSON. A row that failed has nulls.

    Parameters
    ----------
    definition:
        The service's, of the revision that the batch runs on.

    Raises
    ------
    UnsupportedMediaType
        When pyarrow is not installed.
    """

    def __init__(self, definition: Definition) -> None:
        self._pa = pa = import_pyarrow()
        self._outputs = definition.outputs
        fields = [pa.field(one.name, _PLAIN.get(one.type, "string")) for one in self._outputs]
        before = [pa.field("_index", pa.int64(), nullable=False)]
        after = [
            ("_success", pa.bool_()),
            ("_error", pa.string()),
            ("_attempt", pa.int64()),
            ("_seconds", pa.float64()),
        ]
        self._schema = pa.schema(before + fields + [pa.field(*one, nullable=False) for one in after])

    def pieces(
        self,
        files: BatchFiles,
        batch: str,
        recorded: Sequence[Recorded],
        attempts: Attempts,
        first: int = 0,
        stop: int = 2**62,
    ) -> Iterator[bytes]:
        """The stream, in pieces.

        Parameters
        ----------
        files, batch:
            Whose.
        recorded:
            Where the rows lie, in the order in which they are given.
        attempts:
            Which attempt each came from.
        first, stop:
            Index of the first row, and the one after the last.
        """
        sink = _Sink()
        with self._pa.ipc.new_stream(sink, self._schema) as writer:
            for made in self._batches(files, batch, recorded, attempts, first, stop):
                writer.write_batch(made)
                yield sink.take()
        yield sink.take()

    def _batches(
        self,
        files: BatchFiles,
        batch: str,
        recorded: Sequence[Recorded],
        attempts: Attempts,
        first: int,
        stop: int,
    ) -> Iterator[Any]:
        waiting = _Waiting(self._outputs)
        for one in recorded:
            for row, found in _frames(files.results(batch, one.file), one, first, stop):
                if found.kind == Kind.COLUMNS:
                    if waiting.count:
                        yield self._made(waiting, attempts)
                        waiting = _Waiting(self._outputs)
                    yield self._columns(row, found, attempts, first, stop)
                else:
                    waiting.add(row, found)
                    if waiting.count == ROWS:
                        yield self._made(waiting, attempts)
                        waiting = _Waiting(self._outputs)
        if waiting.count:
            yield self._made(waiting, attempts)

    def _columns(self, row: int, found: Frame, attempts: Attempts, first: int, stop: int) -> Any:
        """Rows that ran as one, without an object for every value."""
        pa = self._pa
        begin, end = max(first - row, 0), min(stop - row, found.rows)
        count = end - begin

        def make(code: int, data: memoryview) -> Any:
            return pa.Array.from_buffers(
                pa.type_for_alias(_PACKED[code]), found.rows, [None, pa.py_buffer(bytes(data))]
            )

        columns = unpack_columns(found.body, make)
        parts = [self._array(one, columns[one.name][begin:end]) for one in self._outputs]
        index = range(row + begin, row + end)
        each = pa.repeat(found.seconds / found.rows, count)
        return self._batch(index, parts, pa.repeat(True, count), pa.repeat("", count), attempts, each)

    def _made(self, rows: _Waiting, attempts: Attempts) -> Any:
        parts = [self._array(one, rows.outputs[one.name]) for one in self._outputs]
        return self._batch(rows.index, parts, rows.success, rows.errors, attempts, rows.seconds)

    def _batch(
        self,
        index: Sequence[int],
        parts: list[Any],
        success: Any,
        errors: Any,
        attempts: Attempts,
        seconds: Any,
    ) -> Any:
        tries = [attempts.of(row) for row in index]
        arrays = [list(index), *parts, success, errors, tries, seconds]
        return self._pa.record_batch(
            [
                part if isinstance(part, self._pa.Array) else self._pa.array(part, field.type)
                for part, field in zip(arrays, self._schema, strict=True)
            ],
            schema=self._schema,
        )

    def _array(self, declared: Parameter, values: Any) -> Any:
        pa = self._pa
        if declared.type not in _PLAIN:
            return pa.array([None if value is None else _ENCODE(value).decode() for value in values], pa.string())
        kind = self._schema.field(declared.name).type
        if isinstance(values, pa.Array):
            return values.cast(kind)
        if declared.type is ValueType.INTEGER:  # Arrow's have 64 bits, Python's have more
            values = [value if value is None or _LEAST <= value <= _MOST else None for value in values]
        return pa.array(values, kind)


class _Waiting:
    """Rows that were recorded one by one, until they are enough for a record batch."""

    def __init__(self, outputs: tuple[Parameter, ...]) -> None:
        self.count = 0
        self.index: list[int] = []
        self.outputs: dict[str, list[Any]] = {one.name: [] for one in outputs}
        self.success: list[bool] = []
        self.errors: list[str] = []
        self.seconds: list[float] = []

    def add(self, row: int, found: Frame) -> None:
        if found.kind == Kind.PLAIN:
            success, error, values = True, "", _OUTPUTS.decode(found.body)
        else:
            result = _RESULT.decode(found.body)
            success, error, values = result.success, result.error_message, result.output_parameters
        self.count += 1
        self.index.append(row)
        self.success.append(success)
        self.errors.append(error)
        self.seconds.append(found.seconds)
        for name, column in self.outputs.items():
            column.append(values.get(name))


class _Result(msgspec.Struct, rename="camel"):
    """What a `WebServiceResult` says that there is a column for."""

    success: bool
    error_message: str = ""
    output_parameters: dict[str, Any] = {}


class _Sink(io.RawIOBase):
    """A file that is taken away while it is written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole


def _frames(path: Path, one: Recorded, first: int, stop: int) -> Iterator[tuple[int, Frame]]:
    """The frames with rows that are wanted, each with the index of its first row."""
    row = one.first
    with contextlib.closing(frames(path, one.offset, one.offset + one.length)) as found:  # type: ignore[type-var]
        for each in found:
            if row >= stop:
                return
            if each.rows and row + each.rows > first:
                yield row, each
            row += each.rows


_ENCODE = msgspec.json.Encoder().encode
_OUTPUTS = msgspec.json.Decoder(dict[str, Any])
_RESULT = msgspec.json.Decoder(_Result)
