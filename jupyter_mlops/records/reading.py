"""From a file of records in any format to chunks of checked records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jupyter_mlops.records.chunks import CHUNK_BYTES, CHUNK_ROWS, Chunk, cut
from jupyter_mlops.records.formats import Format, of_content_type
from jupyter_mlops.schema.types import Parameter


def read_chunks(
    path: Path,
    content_type: str,
    parameters: tuple[Parameter, ...],
    *,
    rows: int = CHUNK_ROWS,
    size: int = CHUNK_BYTES,
    apart: bool = True,
) -> Iterator[Chunk]:
    """Read the records of a file, checked against the declared inputs, in bounded memory.

    Close it when it is not taken to its end.

    Parameters
    ----------
    path:
        The file, which nobody writes to any more.
    content_type:
        As of the request that brought it.
    parameters:
        The declared inputs: every one is required, and none other is allowed.
    rows:
        Records of a chunk.
    size:
        About how many bytes of the file make a chunk full before that.
    apart:
        Whether Arrow and Parquet are read in a process of its own, which a damaged file cannot take this one with.

    Raises
    ------
    InvalidInput
        With the place of the first value that does not fit, such as `$[3].hp`. Chunks before it have been given.
    TooLarge
        When one record, or something else that cannot be read in parts, is larger than `LONGEST`.
    UnsupportedMediaType
        When records of that type are not taken, or not by this installation; at once, before the first chunk.
    """
    kind, charset = of_content_type(content_type)
    return cut(_pieces(path, kind, charset, parameters, apart=apart), rows, size)


def _pieces(
    path: Path, kind: Format, charset: str, parameters: tuple[Parameter, ...], *, apart: bool
) -> Iterator[Chunk]:
    match kind:
        case Format.JSON | Format.NDJSON:
            from jupyter_mlops.records.json_rows import read_json, read_ndjson

            read = read_json if kind is Format.JSON else read_ndjson
            return read(path, parameters)
        case Format.CSV | Format.TSV:
            from jupyter_mlops.records.delimited import read_delimited

            return read_delimited(path, parameters, delimiter="," if kind is Format.CSV else "\t", charset=charset)
        case _ if apart:
            from jupyter_mlops.records.apart import read_apart

            return read_apart(path, kind, parameters)
        case _:
            from jupyter_mlops.records.arrow import read_arrow

            return read_arrow(path, kind, parameters)
