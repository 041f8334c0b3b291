"""What a caller sent, as columns that fit a model: JSON and MessagePack in four shapes, and Arrow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from types import GenericAlias
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from jupyter_mlops.container import InputColumn
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.schema.realtime import ARROW, INPUT, MESSAGEPACK

_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | float
_CELLS: dict[str, Any] = {"double": float, "float": float, "integer": _Whole, "string": str, "logical": bool}

_FLOATS = {"double", "float"}
_COLUMNS, _ROWS, _ROW = "columns", "rows", "row"
_WRAPPED = f"$.{INPUT}"
_SHOWN = 8
"""How many columns or values a message lists."""

Values = list[Any] | npt.NDArray[Any]


@dataclass(slots=True)
class Frame:
    """Checked columns of one length: of each its values, none missing any more."""

    columns: dict[str, Values]
    count: int


class Reader:
    """Reads what callers send for one model.

    Parameters
    ----------
    columns:
        What the model takes; every one is required, none other is allowed.
    ignored:
        Others that may come, and are not looked at.
    """

    def __init__(self, columns: tuple[InputColumn, ...], ignored: tuple[str, ...] = ()) -> None:
        self._inputs = columns
        self._ignored = frozenset(ignored)
        self._names = tuple(column.name for column in columns)
        cells = [_CELLS[column.type] | None if column.nullable else _CELLS[column.type] for column in columns]
        rename = {f"f{i}": name for i, name in enumerate((*self._names, *ignored))}
        others: list[tuple[str, Any, Any]] = [
            (f"f{i}", Any, None) for i in range(len(columns), len(columns) + len(ignored))
        ]
        make = partial(msgspec.defstruct, rename=rename, forbid_unknown_fields=True)
        lists = [(f"f{i}", GenericAlias(list, (cell,))) for i, cell in enumerate(cells)]
        self._columns = make("Columns", [*lists, *others])
        self._row = make("Row", [*((f"f{i}", cell) for i, cell in enumerate(cells)), *others])
        self._shapes = {
            (form, wrapped): _Shape(kind, wrapped=wrapped)
            for form, kind in ((_COLUMNS, self._columns), (_ROWS, GenericAlias(list, (self._row,))), (_ROW, self._row))
            for wrapped in (True, False)
        }
        self._usual = _COLUMNS, True
        """The shape that came last: who calls a service often does so in one way."""
        self._checks = [column for column in columns if _needs_look(column)]
        self._present = [column.name for column in columns if column.type in _FLOATS and not column.nullable]

    def read(self, body: bytes | memoryview, media: str) -> Frame:
        """Decode and check a body.

        Parameters
        ----------
        body:
            `{"inputData": ...}` or what stands for it alone: an object of columns, one row as an object of values, or
            a list of rows; or an Arrow IPC stream.
        media:
            Its media type: Arrow's, MessagePack's, or any other for JSON.

        Raises
        ------
        InvalidInput
            Naming the column that is missing, unknown, of another type, or holds what the model does not take.
        """
        if media == ARROW:
            from jupyter_mlops.realtime.arrow import read_columns  # which loads pyarrow

            return self.checked(read_columns(body, self._inputs, self._ignored))
        packed = media == MESSAGEPACK
        form, wrapped = self._usual
        where = _WRAPPED if wrapped else "$"
        try:
            found = self._shapes[self._usual].decode(body, packed=packed)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found, form, where = self._otherwise(_decoded(body, packed=packed))
            self._usual = form, where != "$"
        if form is _ROW:
            columns: dict[str, Values] = {
                name: [value] for name, value in zip(self._names, msgspec.structs.astuple(found), strict=False)
            }
        elif form is _ROWS:
            columns = {name: [getattr(row, f"f{i}") for row in found] for i, name in enumerate(self._names)}
        else:
            columns = dict(zip(self._names, msgspec.structs.astuple(found), strict=False))
        return self.checked(columns, where)

    def checked(self, columns: dict[str, Values], where: str = "$") -> Frame:
        """Check lengths, fill what is missing and may be, and refuse what else is missing, or is no known category."""
        lengths = {name: len(values) for name, values in columns.items()}
        count = next(iter(lengths.values()))
        if any(length != count for length in lengths.values()):
            shown = ", ".join(f"{name}: {length}" for name, length in list(lengths.items())[:_SHOWN])
            raise InvalidInput(f"{where}: expected columns of one length, got {shown}", fields=where)
        for column in self._checks:
            columns[column.name] = _looked_at(columns[column.name], column, where)
        for name in self._present if count else ():
            _refuse_missing(columns[name], f"{where}.{name}")
        return Frame(columns, count)

    def _otherwise(self, value: Any) -> tuple[Any, str, str]:
        """Find which other shape was meant, and read it, or say what is wrong with it; also its form, and where."""
        where = "$"
        if isinstance(value, dict) and INPUT in value and INPUT not in self._names:
            where = _WRAPPED
            if len(value) > 1:
                other = next(name for name in value if name != INPUT)
                raise InvalidInput(f"$.{other}: a realtime service has the one input `{INPUT}`", fields=f"$.{other}")
            value = value[INPUT]
        if isinstance(value, list):
            return self._converted(value, GenericAlias(list, (self._row,)), where), _ROWS, where
        if isinstance(value, dict) and not any(isinstance(part, list) for part in value.values()):
            return self._converted(value, self._row, where), _ROW, where
        if isinstance(value, dict):
            return self._converted(value, self._columns, where), _COLUMNS, where
        raise InvalidInput(
            f"{where}: expected an object of columns, a row as an object, or a list of rows, got "
            f"{type(value).__name__}; columns: {self._described()}",
            fields=where,
        )

    def _converted(self, value: Any, kind: Any, where: str) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise self._explain(str(error), where) from None

    def _explain(self, error: str, where: str) -> InvalidInput:
        """Say where, what was expected and what came, in the model's own words."""
        text, _, place = error.partition(" - at `")
        place = where + place.rstrip("`").removeprefix("$")
        quoted = text.split("`")
        if "missing required field" in text:
            return InvalidInput(
                f"{place}: the column {quoted[1]!r} is missing; the model takes {self._described()}",
                fields=f"{place}.{quoted[1]}",
            )
        if "unknown field" in text:
            return InvalidInput(
                f"{place}: the model has no column {quoted[1]!r}; it takes {self._described()}",
                fields=f"{place}.{quoted[1]}",
            )
        if "got `null`" in text:
            return InvalidInput(f"{place}: is missing, and the model takes no missing values there", fields=place)
        came = text[text.index("got `") :] if "got `" in text else text[0].lower() + text[1:]
        column = next((one for one in self._inputs if _names(place, one.name)), None)
        expected = column.type if column else "columns"
        return InvalidInput(f"{place}: expected {expected}, {came}; columns: {self._described()}", fields=place)

    def _described(self) -> str:
        return described(self._inputs)


class _Shape:
    """Decodes bodies of one shape: columns, rows or a row, under the input's name or alone."""

    def __init__(self, kind: Any, *, wrapped: bool) -> None:
        self._wrapped = wrapped
        if wrapped:
            kind = msgspec.defstruct("Inputs", [(INPUT, kind)], forbid_unknown_fields=True)
        self._json = msgspec.json.Decoder(kind)
        self._msgpack = msgspec.msgpack.Decoder(kind)

    def decode(self, body: bytes | memoryview, *, packed: bool) -> Any:
        found = (self._msgpack if packed else self._json).decode(body)
        return getattr(found, INPUT) if self._wrapped else found


def _decoded(body: bytes | memoryview, *, packed: bool) -> Any:
    """What a body says, whatever that is."""
    try:
        return msgspec.msgpack.decode(body) if packed else msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        spoken = "MessagePack" if packed else "JSON"
        raise InvalidInput(f"the body is not {spoken}: {error}", fields="$") from None


def described(columns: tuple[InputColumn, ...]) -> str:
    """The names and types of columns, for messages."""
    shown = ", ".join(f"{column.name}: {column.type}" for column in columns[: 3 * _SHOWN])
    return shown + (f" and {len(columns) - 3 * _SHOWN} more" if len(columns) > 3 * _SHOWN else "")


def filling(column: InputColumn) -> Any:
    """What stands for a missing value of a column that may miss some."""
    if column.default is not None:
        return column.default
    return "" if column.type == "string" else math.nan


def _names(place: str, name: str) -> bool:
    """Whether a JSON path is that of a column, or of a value in it."""
    return place.endswith(f".{name}") or f".{name}[" in place


def _needs_look(column: InputColumn) -> bool:
    return column.nullable or bool(column.categories) or column.type == "integer"


def _refuse_missing(values: Values, place: str) -> None:
    """Refuse what is not a number where the model takes no missing values: JSON cannot say it, the others can."""
    least = values.min() if isinstance(values, np.ndarray) else sum(values)
    if least != least:  # noqa: PLR0124  # NaN, or of a list the sum of opposite infinities
        lost = np.flatnonzero(np.isnan(np.asarray(values, float)))
        if len(lost):
            raise InvalidInput(
                f"{place}[{lost[0]}]: is missing (NaN), and the model takes no missing values there", fields=place
            )


def _looked_at(values: Values, column: InputColumn, where: str) -> Values:
    """The values with what is missing filled in; refuses fractions and unknown categories."""
    place = f"{where}.{column.name}"
    if isinstance(values, list) and column.nullable:
        fill = filling(column)
        values = [fill if value is None or value != value else value for value in values]  # noqa: PLR0124  # NaN
    elif column.default is not None and isinstance(values, np.ndarray) and values.dtype.kind == "f":
        values = np.where(np.isnan(values), column.default, values)
    if column.type == "integer":
        whole = np.asarray(values)
        if whole.dtype.kind == "f":
            odd = ~((whole == np.floor(whole)) | np.isnan(whole) if column.nullable else whole == np.floor(whole))
            if odd.any():
                index = int(odd.argmax())
                raise InvalidInput(f"{place}[{index}]: expected integer, got {whole[index]!s}", fields=place)
    if column.categories:
        known = {*column.categories, filling(column)} if column.nullable else set(column.categories)
        strange = {str(value): value for value in values if value not in known and value == value}  # noqa: PLR0124  # NaN
        if strange:
            shown = ", ".join(repr(value) for value in list(strange.values())[:_SHOWN])
            all_known = ", ".join(repr(value) for value in column.categories[: 2 * _SHOWN])
            more = ", ..." if len(column.categories) > 2 * _SHOWN else ""
            raise InvalidInput(f"{place}: the model does not know {shown}; it knows {all_known}{more}", fields=place)
    return values
