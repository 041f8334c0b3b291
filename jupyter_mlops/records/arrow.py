"""Records in Apache Arrow and Parquet, by pyarrow, a batch of rows at a time."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_mlops.errors import InvalidInput, UnsupportedMediaType
from jupyter_mlops.records.cells import column_of, refuse_extension
from jupyter_mlops.records.chunks import Chunk
from jupyter_mlops.records.formats import Format
from jupyter_mlops.records.json_rows import check_names
from jupyter_mlops.schema.types import Parameter

ROWS = 16_384
MISSING = "Arrow and Parquet need the package pyarrow: pip install 'jupyter_mlops[arrow]'"

_INDEX = re.compile(r"__index_level_\d+__")


def import_pyarrow() -> Any:
    """The package pyarrow.

    Raises
    ------
    UnsupportedMediaType
        With the line that installs it.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise UnsupportedMediaType(MISSING) from None
    return pa


def read_arrow(path: Path, kind: Format, parameters: tuple[Parameter, ...]) -> Iterator[Chunk]:
    """Read an Arrow stream, an Arrow file or a Parquet file.

    Columns are found by name; what pandas keeps of a frame's index is left out.

    Parameters
    ----------
    path:
        The file.
    kind:
        Which of the three it is.
    parameters:
        The declared inputs.

    Raises
    ------
    InvalidInput
        With the place of the first value that does not fit, such as `$[3].hp`, or what is wrong with the file.
    UnsupportedMediaType
        When pyarrow is not installed; at once.
    """
    return _read(import_pyarrow(), path, kind, parameters)


def _read(pa: Any, path: Path, kind: Format, parameters: tuple[Parameter, ...]) -> Iterator[Chunk]:
    first = 0
    try:
        with contextlib.ExitStack() as stack:
            schema, batches = _open(pa, stack, path, kind)
            names = [name for name in schema.names if not _INDEX.fullmatch(name)]
            check_names(names, [one.name for one in parameters])
            for one in parameters:
                refuse_extension(schema.field(one.name), f"$.{one.name}")
            for batch in batches:
                for start in range(0, batch.num_rows, ROWS):
                    part = batch.slice(start, ROWS)
                    columns = {one.name: column_of(part.column(one.name), one, first) for one in parameters}
                    yield Chunk(first, part.num_rows, columns, part.nbytes)
                    first += part.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(
            f"$[{first}]: from about here on the body is not what its content type says ({kind}): {error}",
            fields=f"$[{first}]",
        ) from None


def _open(pa: Any, stack: contextlib.ExitStack, path: Path, kind: Format) -> tuple[Any, Iterator[Any]]:
    """The schema and the batches, each of them checked as a whole."""
    if kind is Format.PARQUET:
        import pyarrow.parquet as pq

        file = stack.enter_context(pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False))
        return file.schema_arrow, _checked(file.iter_batches(ROWS, use_threads=False))
    source = stack.enter_context(pa.memory_map(str(path)))
    options = pa.ipc.IpcReadOptions(use_threads=False)
    if kind is Format.ARROW_STREAM:
        reader = stack.enter_context(pa.ipc.open_stream(source, options=options))
        return reader.schema, _checked(reader)
    reader = stack.enter_context(pa.ipc.open_file(source, options=options))
    return reader.schema, _checked(reader.get_batch(index) for index in range(reader.num_record_batches))


def _checked(batches: Any) -> Iterator[Any]:
    for batch in batches:
        batch.validate(full=True)
        yield batch
