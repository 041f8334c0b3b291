"""The formats that records come in, with their media types and the ends of their files' names."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath

from jupyter_mlops.errors import InvalidRequest, UnsupportedMediaType


class Format(StrEnum):
    """How records are written; the value is what `format=` takes."""

    JSON = "json"
    """A list of objects, or one object of equally long lists."""
    NDJSON = "ndjson"
    """An object on each line."""
    CSV = "csv"
    """Comma-separated values with a row of names at the top."""
    TSV = "tsv"
    """The same with tabs."""
    ARROW_STREAM = "arrow-stream"
    """Apache Arrow's streaming format."""
    ARROW_FILE = "arrow"
    """Apache Arrow's file format, which is Feather's too."""
    PARQUET = "parquet"
    """Apache Parquet."""


MEDIA_TYPES: dict[Format, str] = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv",
    Format.TSV: "text/tab-separated-values",
    Format.ARROW_STREAM: "application/vnd.apache.arrow.stream",
    Format.ARROW_FILE: "application/vnd.apache.arrow.file",
    Format.PARQUET: "application/vnd.apache.parquet",
}
"""What a request that sends each format says."""

BINARY = frozenset({Format.ARROW_STREAM, Format.ARROW_FILE, Format.PARQUET})
"""Formats that pyarrow reads."""

_BY_TYPE = {media: one for one, media in MEDIA_TYPES.items()} | {
    "": Format.JSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
}
_BY_SUFFIX = {
    ".json": Format.JSON,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".arrows": Format.ARROW_STREAM,
    ".arrow": Format.ARROW_FILE,
    ".feather": Format.ARROW_FILE,
    ".ipc": Format.ARROW_FILE,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
}


def of_content_type(header: str) -> tuple[Format, str]:
    """The format and the character encoding (empty when it is not said) of a `Content-Type` header.

    Parameters
    ----------
    header:
        Such as `text/csv; charset=utf-8`; empty for JSON.

    Raises
    ------
    UnsupportedMediaType
        With the formats that are taken.
    """
    media, _, parameters = header.partition(";")
    found = _BY_TYPE.get(media.strip().lower())
    if found is None:
        raise UnsupportedMediaType(
            f"records in {media.strip()[:80]!r} are not taken; send one of {', '.join(MEDIA_TYPES.values())}",
            fields="Content-Type",
        )
    pairs = (part.partition("=") for part in parameters.split(";"))
    charset = next((value for name, _, value in pairs if name.strip().lower() == "charset"), "")
    return found, charset.strip().strip('"')


def of_file(name: str) -> Format:
    """The format of a file, by the end of its name.

    Parameters
    ----------
    name:
        A path or name.

    Raises
    ------
    InvalidRequest
        When the end says nothing; with the ends that do.
    """
    found = _BY_SUFFIX.get(PurePath(name).suffix.lower())
    if found is None:
        raise InvalidRequest(
            f"the name {name[:200]!r} does not tell in which format its records are: say `format=`, one of "
            f"{', '.join(Format)}; or end it with {', '.join(_BY_SUFFIX)}",
            fields="format",
        )
    return found


def of_name(name: str) -> Format:
    """The format that is called so.

    Parameters
    ----------
    name:
        A value of `Format`, or another end of such files' names without its dot, such as `feather`.

    Raises
    ------
    InvalidRequest
        With the names there are.
    """
    text = str(name).lower().removeprefix(".")
    found = next((one for one in Format if one.value == text), None) or _BY_SUFFIX.get(f".{text}")
    if found is None:
        raise InvalidRequest(f"there is no format {name!r}; there are {', '.join(Format)}", fields="format")
    return found
