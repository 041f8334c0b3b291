"""The container of a realtime service's model: what `serialize_model` returns and the part `model` carries.

::

    blob            4 bytes, which Machine Learning Server's SDK looks for
    format          1 byte, CONTAINER_FORMAT
    length          4 bytes, big-endian: of the header
    header          JSON, a `Header`
    ONNX            all the rest

The header says how columns of a data frame become the graph's tensors and back, so that the server knows the
service's schema without loading a model.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.base import CONTAINER_FORMAT, Wire

MAGIC = b"blob"
PREFIX_BYTES = len(MAGIC) + 1 + 4
MAX_HEADER = 16 * 1024 * 1024
"""Largest header in bytes: room for some hundred thousand columns."""

CellType = Literal["double", "float", "integer", "string", "logical"]
"""What a cell of a data frame can hold. `double` and `float` are numbers of 64 and 32 bits."""

Scalar = str | int | float | bool


class InputColumn(Wire, frozen=True):
    """A column that the model takes, and where its values go in the graph."""

    name: str
    type: CellType
    onnx_input: str
    """The tensor that takes the values: of shape [rows, columns], [rows, 1] or [rows]."""
    position: int = 0
    """The column's place in that tensor."""
    nullable: bool = False
    """Whether a value may be missing. A missing value becomes `default`, or NaN when there is none."""
    default: Scalar | None = None
    categories: tuple[Scalar, ...] = ()
    """All the values that the model knows, when it refuses others; empty when it takes any."""


class OutputColumn(Wire, frozen=True):
    """A column that the model answers, and where its values come from."""

    name: str
    type: CellType
    onnx_output: str
    position: int = 0
    classes: tuple[Scalar, ...] = ()
    """The values that the column can hold, when it is a classifier's prediction."""


class Parity(Wire, frozen=True):
    """How the converted model's answers compare with the original's."""

    rows: int
    max_absolute: float
    """Largest difference between two numbers."""
    max_relative: float
    """The same, divided by the larger of the two."""
    mismatched: int
    """Rows that differ beyond the tolerance."""
    tolerance: float
    """Relative; also absolute, for numbers below 1."""


class Header(Wire, frozen=True):
    """All that the server knows of a model before it loads it."""

    library: str
    """Where the model came from, with its version: `scikit-learn 1.5.2`."""
    kind: str
    """The model's class."""
    inputs: tuple[InputColumn, ...]
    outputs: tuple[OutputColumn, ...]
    created: datetime
    """In UTC."""
    format: Literal["onnx"] = "onnx"
    parity: Parity | None = None
    """None when there was no original to compare with, as for an ONNX file."""
    description: str = ""
    ignored: tuple[str, ...] = ()
    """Other columns of the data that the model was trained on: callers may send them, and they change nothing."""


def pack(header: Header, onnx: bytes) -> bytes:
    """Make the bytes of a container.

    Raises
    ------
    InvalidRequest
        When columns of the header share a name, or there are none.
    """
    _check(header)
    encoded = msgspec.json.encode(header)
    prefix = MAGIC + bytes([CONTAINER_FORMAT]) + len(encoded).to_bytes(4, "big")
    return prefix + encoded + onnx


def unpack(source: bytes | bytearray | memoryview | str | os.PathLike[str]) -> tuple[Header, int]:
    """Read a container's header, and where its ONNX bytes begin.

    Parameters
    ----------
    source:
        The container, or the path of a file that holds one: of a file, only the header is read.

    Raises
    ------
    InvalidRequest
        When this is not a container, or one that this version cannot read.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        size = len(source)
        begin = bytes(source[:PREFIX_BYTES])
        encoded = bytes(source[PREFIX_BYTES : PREFIX_BYTES + min(_length(begin), MAX_HEADER)])
    else:
        with Path(source).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            begin = file.read(PREFIX_BYTES)
            encoded = file.read(min(_length(begin), MAX_HEADER))
    return _read(begin, encoded, size), PREFIX_BYTES + len(encoded)


def is_container(begin: bytes) -> bool:
    """Whether a model's first bytes are those of a container, of ours or of Machine Learning Server's."""
    return begin.startswith(MAGIC)


def _length(begin: bytes) -> int:
    return int.from_bytes(begin[len(MAGIC) + 1 : PREFIX_BYTES], "big")


def _read(begin: bytes, encoded: bytes, size: int) -> Header:
    if not begin.startswith(MAGIC):
        raise InvalidRequest(
            f"a serialized model begins with the bytes {MAGIC!r}; this begins with {begin[:4]!r}. Make it with "
            "jupyter_mlops.serialize_model(model), which also takes .onnx files"
        )
    if not encoded.startswith(b"{"):
        raise InvalidRequest(
            "this is a model that Machine Learning Server's own rx_serialize_model wrote (RevoScale), or it is cut "
            "short: only RevoScale reads that format. Train the model again with the functions of the same names in "
            "jupyter_mlops.compat.revoscalepy, or with scikit-learn, and serialize that"
        )
    written = begin[len(MAGIC)]
    if written != CONTAINER_FORMAT:
        raise InvalidRequest(
            f"a serialized model of format {written}; this version reads format {CONTAINER_FORMAT}. "
            "Serialize the model with the version that the server runs"
        )
    length = _length(begin)
    if length > MAX_HEADER:
        raise InvalidRequest(f"a header of {length} bytes in the serialized model; at most {MAX_HEADER} are read")
    if size <= PREFIX_BYTES + length:
        raise InvalidRequest(f"the serialized model is cut short: {size} bytes, and more were announced")
    try:
        header = msgspec.json.decode(encoded, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the serialized model's header is damaged: {error}") from None
    _check(header)
    return header


def _check(header: Header) -> None:
    sides: tuple[tuple[str, tuple[InputColumn, ...] | tuple[OutputColumn, ...]], ...]
    sides = (("inputs", header.inputs), ("outputs", header.outputs))
    for side, columns in sides:
        if not columns:
            raise InvalidRequest(f"a serialized model has {side}; this one's header names none")
        names = [column.name for column in columns]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidRequest(f"the {side} of a serialized model have names of their own; {twice!r} comes twice")
        if not all(names):
            raise InvalidRequest(f"the {side} of a serialized model have names; one is empty")
        if any(column.position < 0 for column in columns):
            raise InvalidRequest(f"the {side} of a serialized model have places from 0 on; one is negative")
