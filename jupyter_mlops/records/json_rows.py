"""Records in JSON: an array of objects, one object of columns, or an object on each line; a block at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import GenericAlias
from typing import Any, BinaryIO

import msgspec

from jupyter_mlops.errors import InvalidInput, TooLarge
from jupyter_mlops.inputs import WIRE_TYPES
from jupyter_mlops.records.chunks import Chunk
from jupyter_mlops.records.rows import MALFORMED, RowsDecoder, checked
from jupyter_mlops.schema.types import Parameter

BLOCK = 2**17
"""Bytes that are decoded together; other threads run only between two blocks."""

LONGEST = 64 * 2**20
"""Bytes of one record."""
COLUMNS = 16 * 2**20
"""Bytes of a JSON object of columns, which is decoded at once."""

_MARK = b"\xef\xbb\xbf"
_GUESSES = 4
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)


def read_json(path: Path, parameters: tuple[Parameter, ...]) -> Iterator[Chunk]:
    """Read a JSON array of objects, or a JSON object of equally long arrays.

    Parameters
    ----------
    path:
        The file. An array may be of any length, an object of columns has `COLUMNS` bytes at most.
    parameters:
        The declared inputs.

    Raises
    ------
    InvalidInput
        With the place of the first value that does not fit, such as `$[3].hp`.
    TooLarge
        When there is a record of more than `LONGEST` bytes, or an object of columns of more than `COLUMNS`.
    """
    decoder = RowsDecoder(parameters)
    with path.open("rb") as file:
        begin = file.read(BLOCK).removeprefix(_MARK).lstrip(b" \t\r\n")
        if begin[:1] == b"[":
            yield from _Array(file, decoder).read(begin[1:])
        elif begin[:1] == b"{":
            yield from _columns(begin + file.read(COLUMNS), decoder)
        else:
            raise InvalidInput("$: a batch is a JSON array of input objects, or an object of arrays", fields="$")


def read_ndjson(path: Path, parameters: tuple[Parameter, ...]) -> Iterator[Chunk]:
    """Read an object from each line; empty lines say nothing.

    Parameters
    ----------
    path:
        The file.
    parameters:
        The declared inputs.

    Raises
    ------
    InvalidInput
        With the place of the first value that does not fit, such as `$[3].hp`.
    TooLarge
        When there is a line of more than `LONGEST` bytes.
    """
    decoder = RowsDecoder(parameters)
    first = 0
    with path.open("rb") as file:
        for block in _whole_lines(file):
            records = _lines(decoder, block, first)
            if records:
                yield Chunk(first, len(records), decoder.columns(records, first), len(block))
                first += len(records)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    rest = file.read(BLOCK).removeprefix(_MARK)
    while piece := file.read(max(BLOCK, len(rest))):  # growing, so that a long line is not looked through many times
        cut = rest.rfind(b"\n") + 1
        if cut:
            yield rest[:cut]
        rest = rest[cut:] + piece
        _check_length(rest)
    yield rest


def _lines(decoder: RowsDecoder, block: bytes, first: int) -> list[Any]:
    try:
        return decoder.lines(block)
    except msgspec.ValidationError as error:
        decoder.explain(msgspec.json.Decoder(msgspec.Raw).decode_lines(block), first)
        raise _malformed(error, first) from None
    except MALFORMED as error:
        raise _malformed(error, first) from None


class _Array:
    """Reads what follows the bracket of a JSON array.

    A block ends somewhere in a record. Where the last whole one ends is guessed, and what comes before is decoded as an
    array of its own: that it can be proves the guess, for JSON is read from its beginning in one way only.
    """

    def __init__(self, file: BinaryIO, decoder: RowsDecoder) -> None:
        self._file = file
        self._decoder = decoder
        self._first = 0

    def read(self, rest: bytes) -> Iterator[Chunk]:
        """The records; `rest` is what has been read of the file already."""
        more = False  # whether a comma says that another record comes
        while piece := self._file.read(max(BLOCK, len(rest))):
            records, end = self._split(rest)
            if end:
                yield self._chunk(records, end)
                rest, more = rest[end + 1 :], True
            rest += piece
            _check_length(rest)
        if more and rest.lstrip(b" \t\r\n")[:1] == b"]":
            raise InvalidInput("the body is not a JSON array of input objects: it ends with a comma", fields="$")
        records = self._decode(b"[" + rest)
        if records:
            yield self._chunk(records, len(rest))

    def _chunk(self, records: list[Any], size: int) -> Chunk:
        chunk = Chunk(self._first, len(records), self._decoder.columns(records, self._first), size)
        self._first += len(records)
        return chunk

    def _split(self, text: bytes) -> tuple[list[Any], int]:
        """The whole records at the beginning, and the place of the comma behind them; 0 when there is none yet."""
        end = len(text)
        for _ in range(_GUESSES):
            end = text.rfind(b"},", 0, end)
            if end < 0:
                break
            try:
                return self._decoder.array(b"[" + text[: end + 1] + b"]"), end + 1
            except msgspec.ValidationError:
                self._decode(b"[" + text[: end + 1] + b"]")  # which says where
            except MALFORMED:
                continue
        end = _last_comma(text)
        return (self._decode(b"[" + text[:end] + b"]"), end) if end else ([], 0)

    def _decode(self, body: bytes) -> list[Any]:
        try:
            return self._decoder.array(body)
        except msgspec.ValidationError as error:
            try:
                raws = msgspec.json.decode(body, type=list[msgspec.Raw])
            except MALFORMED as worse:
                raise _malformed(worse, self._first) from None
            self._decoder.explain(raws, self._first)
            raise _malformed(error, self._first) from None
        except MALFORMED as error:
            raise _malformed(error, self._first) from None


def _last_comma(text: bytes) -> int:
    """The place of the last comma that stands between two records; 0 when there is none."""
    depth = last = 0
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        elif token == b"," and not depth:
            last = found.start()
    return last


def _columns(body: bytes, decoder: RowsDecoder) -> Iterator[Chunk]:
    if len(body) > COLUMNS:
        raise TooLarge(
            f"$: one JSON object of columns has at most {COLUMNS} bytes; send more as application/x-ndjson, "
            "text/csv or application/vnd.apache.arrow.stream"
        )
    parameters = decoder.parameters
    fields = [(f"f{i}", GenericAlias(list, (WIRE_TYPES[one.type],))) for i, one in enumerate(parameters)]
    rename = {f"f{i}": one.name for i, one in enumerate(parameters)}
    struct = msgspec.defstruct("Columns", fields, rename=rename, forbid_unknown_fields=True)
    try:
        found = msgspec.structs.astuple(msgspec.json.decode(body, type=struct))
    except msgspec.ValidationError as error:
        _explain_columns(body, decoder)
        raise _malformed(error, 0) from None
    except MALFORMED as error:
        raise _malformed(error, 0) from None
    names = [one.name for one in parameters]
    columns = dict(zip(names, found, strict=True))
    count = _length({name: len(column) for name, column in columns.items()})
    if count:
        yield Chunk(0, count, {one.name: checked(columns[one.name], one, 0) for one in parameters}, len(body))


def _explain_columns(body: bytes, decoder: RowsDecoder) -> None:
    """Say which column or value does not fit."""
    names = [one.name for one in decoder.parameters]
    try:
        raws = msgspec.json.decode(body, type=dict[str, list[msgspec.Raw]])
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"$: a batch in one JSON object has an array of values for each input: {error}", fields="$"
        ) from None
    check_names(list(raws), names)
    _length({name: len(column) for name, column in raws.items()})
    rows = zip(*(raws[name] for name in names), strict=True)
    decoder.explain([msgspec.Raw(msgspec.json.encode(dict(zip(names, row, strict=True)))) for row in rows], 0)


def check_names(columns: list[str], inputs: list[str]) -> None:
    """Refuse columns that are not exactly the inputs.

    Parameters
    ----------
    columns:
        Their names.
    inputs:
        Those of the declared inputs.

    Raises
    ------
    InvalidInput
        With the first column that is missing, unknown or there twice.
    """
    described = f"the inputs are {', '.join(inputs) or 'none'}, and the columns {', '.join(columns[:50]) or 'none'}"
    for name in inputs:
        if name not in columns:
            raise InvalidInput(f"$.{name}: there is no column {name!r}; {described}", fields=f"$.{name}")
    for place, name in enumerate(columns):
        if name not in inputs:
            hint = "; pandas writes a frame's index so, without index=False" if not name and not place else ""
            raise InvalidInput(
                f"$.{name}: the service has no input for the column {name!r}{hint}; {described}", fields=f"$.{name}"
            )
        if name in columns[:place]:
            raise InvalidInput(f"$.{name}: two columns are named {name!r}", fields=f"$.{name}")


def _length(lengths: dict[str, int]) -> int:
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise InvalidInput(f"$: the columns are not of one length: {shown}", fields="$")
    return next(iter(lengths.values()), 0)


def _check_length(rest: bytes) -> None:
    if len(rest) > LONGEST + 2 * BLOCK:
        raise TooLarge(f"one record has more than {LONGEST} bytes; is a bracket, quote or end of line missing?")


def _malformed(error: Exception, first: int) -> InvalidInput:
    after = f" after record {first - 1}" if first else ""
    return InvalidInput(
        f"the body is not JSON of input objects{after}: {error}", fields=f"$[{first}]" if first else "$"
    )
