"""Where the records of a batch come from, and what is sent of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

import msgspec

from jupyter_mlops.client.records import columns_of, each, from_columns, one_column, read_records
from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.records.formats import Format, of_file, of_name
from jupyter_mlops.schema.types import Parameter, ValueType

IN_MEMORY = 8 * 2**20
"""Bytes of a body from which it is written to a file before it is sent."""

ARROW_FROM = 10_000
"""Rows of a DataFrame from which it goes as Arrow; fewer are as fast in JSON, for which no package has to be loaded."""

_PART = 8192
_SCALARS = frozenset({ValueType.INTEGER, ValueType.NUMERIC, ValueType.CHARACTER, ValueType.LOGICAL})


class Source(Protocol):
    """Records that can be sent."""

    rows: Any
    """What names them: the index of the DataFrame that they came from, else None."""
    convertible: bool
    """Whether they can go as Arrow and as JSON."""

    @property
    def records(self) -> list[dict[str, Any]]:
        """One dict of inputs for each record, as they are sent; empty when only the file knows."""
        ...

    def frame(self) -> Any:
        """The records as a DataFrame of what is sent; None when only the file knows."""
        ...

    def body(self, *, arrow: bool) -> tuple[BinaryIO, Format]:
        """What to send, and in which format; with `arrow` false it is not Arrow unless it came so."""
        ...

    @property
    def count(self) -> int | None:
        """How many there are; None when that is not known before they are sent."""
        ...


def source_of(records: Any, inputs: tuple[Parameter, ...], kind: str | None = None) -> Source:
    """Find out what the records are, and check those that are at hand.

    Parameters
    ----------
    records:
        A DataFrame, a dict of equally long lists, a list of dicts, an iterator of dicts, or a path or an open file.
    inputs:
        The service's declared inputs.
    kind:
        The format of a file whose name does not tell.

    Raises
    ------
    InvalidInput
        With the place of the first value that does not fit. An iterator is only looked at when the batch starts, and
        a file is checked by the server.
    InvalidRequest
        When there is no such file, or its format is not known.
    """
    if isinstance(records, str | Path):
        return _File(Path(records).expanduser(), kind)
    if hasattr(records, "read"):
        return _Opened(records, kind)
    if kind is not None:
        raise InvalidRequest("`format` is for paths and open files; other records tell what they are", fields="format")
    if hasattr(records, "columns") and hasattr(records, "iloc"):
        return _from_frame(records, inputs)
    if hasattr(records, "schema") and hasattr(records, "to_batches"):
        return _from_arrow(records, inputs)
    if isinstance(records, Iterable) and not hasattr(records, "__len__"):
        return _Stream(records, inputs)
    return _Listed(read_records(records, inputs))


def _from_arrow(table: Any, inputs: tuple[Parameter, ...]) -> Source:
    names = [one.name for one in inputs]
    from_columns(dict.fromkeys(table.schema.names, ()), inputs)  # names what is missing
    return _Table(_pyarrow(), table.select(names), None)


def _from_frame(frame: Any, inputs: tuple[Parameter, ...]) -> Source:
    columns = columns_of(frame, {one.name for one in inputs})
    pa = _pyarrow() if len(frame) >= ARROW_FROM and all(one.type in _SCALARS for one in inputs) else None
    if pa is None:
        return _Listed(from_columns(columns, inputs), frame.index)
    from_columns({name: values[:0] for name, values in columns.items()}, inputs)  # names what is missing
    arrays = [_array(pa, columns[one.name], one) for one in inputs]
    return _Table(pa, pa.table(arrays, names=[one.name for one in inputs]), frame.index)


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        return None
    return pa


def _array(pa: Any, values: Any, declared: Parameter) -> Any:
    """A column of a frame as Arrow's, in the type of its input."""
    kind = {
        ValueType.NUMERIC: pa.float64(),
        ValueType.INTEGER: pa.int64(),
        ValueType.LOGICAL: pa.bool_(),
        ValueType.CHARACTER: pa.string(),
    }[declared.type]
    plain = type(values.dtype).__module__.startswith("numpy")
    code = values.dtype.kind if plain else ""
    if declared.type is ValueType.NUMERIC and code in {"f", "i", "u"}:
        import numpy as np

        numbers = values.to_numpy(float)
        return pa.array(numbers, kind, mask=~np.isfinite(numbers))
    if (declared.type, code) in {(ValueType.INTEGER, "i"), (ValueType.LOGICAL, "b")}:
        return pa.array(values.to_numpy(), kind)
    return pa.array(one_column(values, declared), kind)


class _Listed:
    """Records that are in memory as they are sent."""

    convertible = False

    def __init__(self, records: list[dict[str, Any]], rows: Any = None) -> None:
        self.records = records
        self.rows = rows

    @property
    def count(self) -> int | None:
        return len(self.records)

    def frame(self) -> Any:
        import pandas as pd

        return pd.DataFrame(self.records)

    def body(self, *, arrow: bool) -> tuple[BinaryIO, Format]:  # noqa: ARG002  # it is JSON either way
        return _spooled(self.records), Format.NDJSON


class _Table:
    """A DataFrame whose columns are Arrow's by now."""

    convertible = True

    def __init__(self, pa: Any, table: Any, rows: Any) -> None:
        self._pa = pa
        self._table = table
        self.rows = rows

    @property
    def count(self) -> int | None:
        return int(self._table.num_rows)

    def frame(self) -> Any:
        return self._table.to_pandas()

    @property
    def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._table.to_pylist()
        return found

    def body(self, *, arrow: bool) -> tuple[BinaryIO, Format]:
        if not arrow:
            batches = self._table.to_batches(max_chunksize=_PART)
            return _spooled(row for batch in batches for row in batch.to_pylist()), Format.NDJSON
        return _filled(self._write), Format.ARROW_STREAM

    def _write(self, file: BinaryIO) -> None:
        with self._pa.ipc.new_stream(file, self._table.schema) as writer:
            writer.write_table(self._table, max_chunksize=_PART * 8)


class _Passing:
    """Records that are nowhere else when they have been sent."""

    rows = count = None
    convertible = False
    records: list[dict[str, Any]] = []

    def frame(self) -> Any:
        return None


class _Stream(_Passing):
    """Records that come one after the other, once."""

    def __init__(self, records: Iterable[Any], inputs: tuple[Parameter, ...]) -> None:
        self._checked = each(records, inputs)
        self._begun = False

    def body(self, *, arrow: bool) -> tuple[BinaryIO, Format]:  # noqa: ARG002  # it is JSON either way
        if self._begun:
            raise InvalidRequest("the records came from an iterator, which is used up: make the batch anew")
        self._begun = True
        return _spooled(self._checked), Format.NDJSON


class _File(_Passing):
    """A file on this machine, sent as it is."""

    def __init__(self, path: Path, kind: str | None) -> None:
        self._path = path
        self._format = of_file(path.name) if kind is None else of_name(kind)
        if not path.is_file():
            raise InvalidRequest(f"there is no file {str(path)!r}", fields="records")

    def body(self, *, arrow: bool) -> tuple[BinaryIO, Format]:  # noqa: ARG002  # it is what it is
        return self._path.open("rb"), self._format


class _Opened(_Passing):
    """An open file: what follows from where it stands."""

    def __init__(self, file: IO[Any], kind: str | None) -> None:
        self._file = file
        self._copied = False
        name = getattr(file, "name", "")
        self._format = of_file(name if isinstance(name, str) else "") if kind is None else of_name(kind)

    def body(self, *, arrow: bool) -> tuple[BinaryIO, Format]:  # noqa: ARG002  # it is what it is
        if self._copied:
            raise InvalidRequest("the open file has been read to its end: make the batch anew")
        self._copied = True
        return _filled(self._copy), self._format

    def _copy(self, file: BinaryIO) -> None:
        while piece := self._file.read(2**20):
            file.write(piece.encode() if isinstance(piece, str) else piece)


def _spooled(records: Iterable[Mapping[str, Any]]) -> BinaryIO:
    """The records, a line each."""
    encode = msgspec.json.Encoder().encode_lines
    rest = iter(records)

    def write(file: BinaryIO) -> None:
        while some := list(islice(rest, _PART)):
            file.write(encode(some))

    return _filled(write)


def _filled(write: Callable[[BinaryIO], None]) -> BinaryIO:
    """A file in memory, or on disk when it is large, that is gone when it is closed."""
    file = cast("BinaryIO", tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115  # closed by who sends it
    try:
        write(file)
    except BaseException:
        file.close()
        raise
    return file
