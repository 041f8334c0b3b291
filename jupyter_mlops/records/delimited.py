"""Records in comma- or tab-separated values; the declared inputs say what each cell is."""

from __future__ import annotations

import codecs
import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec

from jupyter_mlops.errors import InvalidInput, TooLarge
from jupyter_mlops.inputs import WIRE_TYPES
from jupyter_mlops.records.chunks import Chunk
from jupyter_mlops.records.json_rows import LONGEST, check_names
from jupyter_mlops.records.rows import MALFORMED, checked
from jupyter_mlops.schema.types import Parameter, ValueType

ROWS = 4096
NULLS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>"})
"""Cells that stand for a missing value; in a `character` column only the empty one does."""

_TRUE = frozenset({"true", "t", "1"})
_FALSE = frozenset({"false", "f", "0"})


def read_delimited(path: Path, parameters: tuple[Parameter, ...], *, delimiter: str, charset: str) -> Iterator[Chunk]:
    """Read rows below a row of names; quoted cells may hold delimiters, quotes (doubled) and line ends.

    Parameters
    ----------
    path:
        The file.
    parameters:
        The declared inputs. Cells of vectors, matrices and data frames are JSON.
    delimiter:
        What stands between two cells.
    charset:
        The character encoding; empty for UTF-8, with or without a byte order mark.

    Raises
    ------
    InvalidInput
        With the place of the first value that does not fit, such as `$[3].hp`.
    TooLarge
        When there is a line, or a cell, of more than `LONGEST` characters.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))  # it is the whole process's
    first = 0
    with path.open(encoding=_encoding(charset), newline="") as file:
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        names = _header(reader, parameters)
        converts = [(names.index(one.name), one, _converter(one)) for one in parameters]
        while True:
            before = lines.read
            rows = _take(reader, len(names), first)
            if not rows:
                return
            cells = list(zip(*rows, strict=True))
            columns = {one.name: _column(cells[place], one, convert, first) for place, one, convert in converts}
            yield Chunk(first, len(rows), columns, lines.read - before)
            first += len(rows)


class _Lines:
    """The lines of a text, counted, none of them so long that memory ends."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(LONGEST):
            self.read += len(line)
            if len(line) == LONGEST:
                raise TooLarge(f"a line has more than {LONGEST} characters; is a line end or a quote missing?")
            yield line


def _encoding(charset: str) -> str:
    if charset.lower() in {"", "utf-8", "utf8"}:
        return "utf-8-sig"
    try:
        known = codecs.lookup(charset)
        "".encode(charset)
    except (LookupError, ValueError):
        raise InvalidInput(f"there is no character encoding {charset[:40]!r}; send UTF-8", fields="$") from None
    return known.name


def _header(reader: Iterator[list[str]], parameters: tuple[Parameter, ...]) -> list[str]:
    names = next(iter(_take_one(reader, 0)), None)
    inputs = [one.name for one in parameters]
    if names is None:
        raise InvalidInput(f"$: expected a row of names at the top: {', '.join(inputs)}; nothing came", fields="$")
    names = [name.strip() if name not in inputs else name for name in names]
    check_names(names, inputs)
    return names


def _take(reader: Iterator[list[str]], width: int, first: int) -> list[list[str]]:
    """The next rows, `ROWS` at most."""
    rows: list[list[str]] = []
    while len(rows) < ROWS:
        place = first + len(rows)
        found = _take_one(reader, place)
        if not found:
            break
        if len(found[0]) != width:
            raise InvalidInput(
                f"$[{place}]: expected {width} cells like the row of names, got {len(found[0])}", fields=f"$[{place}]"
            )
        rows += found
    return rows


def _take_one(reader: Iterator[list[str]], place: int) -> list[list[str]]:
    """The next row that is not empty, if there is one."""
    try:
        return [row] if (row := next(filter(None, reader), None)) else []
    except csv.Error as error:
        raise InvalidInput(f"$[{place}]: the row is not well formed: {error}", fields=f"$[{place}]") from None
    except UnicodeError as error:
        raise InvalidInput(
            f"$[{place}]: from about here on the text is not in its character encoding ({error}); send UTF-8, or say "
            "`Content-Type: text/csv; charset=...`",
            fields=f"$[{place}]",
        ) from None


def _column(cells: tuple[str, ...], declared: Parameter, convert: Callable[[str], Any], first: int) -> list[Any]:
    if declared.type is ValueType.NUMERIC:
        quick = _numbers(cells)
        if quick is not None:
            return quick
    values = []
    for index, cell in enumerate(cells, first):
        try:
            values.append(convert(cell))
        except (*MALFORMED, ValueError) as error:
            where = f"$[{index}].{declared.name}"
            why = f": {error}" if isinstance(error, msgspec.MsgspecError) else ""
            raise InvalidInput(f"{where}: expected {declared.type}, got {cell[:80]!r}{why}", fields=where) from None
    return checked(values, declared, first)


def _numbers(cells: tuple[str, ...]) -> list[float] | None:
    """The common case of a number in each cell; None when there is anything else."""
    try:
        values = list(map(float, cells))
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) and not any("_" in cell for cell in cells) else None


def _converter(declared: Parameter) -> Callable[[str], Any]:
    convert = _CONVERTERS.get(declared.type)
    if convert is not None:
        return convert
    decoder = msgspec.json.Decoder(WIRE_TYPES[declared.type])
    return lambda cell: None if cell.strip() in NULLS else decoder.decode(cell)


def _numeric(cell: str) -> float | None:
    cell = cell.strip()
    if cell in NULLS:
        return None
    if "_" in cell:
        raise ValueError(cell)
    value = float(cell)
    return value if math.isfinite(value) else None


def _integer(cell: str) -> float | None:
    cell = cell.strip()
    if cell in NULLS:
        return None
    if "_" in cell:
        raise ValueError(cell)
    try:
        value = int(cell)
    except ValueError:
        return _numeric(cell)  # 3.0 and 1e3 are whole numbers too; `checked` refuses the others
    if not -(2**63) <= value < 2**63:
        raise ValueError(cell)
    return value


def _logical(cell: str) -> bool | None:
    cell = cell.strip()
    if cell in NULLS:
        return None
    lower = cell.lower()
    if lower in _TRUE or lower in _FALSE:
        return lower in _TRUE
    raise ValueError(cell)


def _character(cell: str) -> str | None:
    return cell or None


_CONVERTERS: dict[ValueType, Callable[[str], Any]] = {
    ValueType.NUMERIC: _numeric,
    ValueType.INTEGER: _integer,
    ValueType.LOGICAL: _logical,
    ValueType.CHARACTER: _character,
}
