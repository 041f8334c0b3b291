"""Checks what a caller sent against a service's declared inputs, before any kernel sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated, Any

import msgspec

from jupyter_mlops.codec import Scalar
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.schema.types import Parameter, ValueType

_LEAST, _MOST = -(2**63), 2**63 - 1
_Whole = Annotated[int, msgspec.Meta(ge=_LEAST, le=_MOST)]
_Value = _Whole | float | str | bool | None
"""A `codec.Scalar` that passes the scoring channel, whose numbers have 64 bits."""

WIRE_TYPES: dict[ValueType, Any] = {
    ValueType.INTEGER: _Whole | float | None,
    ValueType.NUMERIC: float | None,
    ValueType.CHARACTER: str | None,
    ValueType.LOGICAL: bool | None,
    ValueType.VECTOR: list[_Value] | None,
    ValueType.MATRIX: list[list[_Value]] | None,
    ValueType.DATA_FRAME: dict[str, list[_Value]] | None,
}
"""What msgspec checks for each type."""


class InputReader:
    """Checks and decodes the inputs of one service.

    Parameters
    ----------
    parameters:
        The declared inputs; every one is required, none other is allowed.
    """

    def __init__(self, parameters: tuple[Parameter, ...]) -> None:
        self._parameters = parameters
        self._names = tuple(parameter.name for parameter in parameters)
        fields = [(f"f{i}", WIRE_TYPES[parameter.type]) for i, parameter in enumerate(parameters)]
        rename = {f"f{i}": name for i, name in enumerate(self._names)}
        struct = msgspec.defstruct("Inputs", fields, rename=rename, forbid_unknown_fields=True)
        self._json = msgspec.json.Decoder(struct)
        self._checks = [
            (f"f{i}", parameter, check)
            for i, parameter in enumerate(parameters)
            if (check := CHECKS.get(parameter.type)) is not None
        ]

    def read(self, body: bytes | memoryview) -> dict[str, Any]:
        """Decode a JSON object of inputs.

        Parameters
        ----------
        body:
            UTF-8 JSON; empty counts as `{}`.

        Raises
        ------
        InvalidInput
            With the JSON path and the expected type of the first value that does not fit.
        """
        try:
            inputs = self._json.decode(body or b"{}")
        except msgspec.ValidationError as error:
            raise self._explain(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"the body is not a JSON object of the inputs: {error}", fields="$") from None
        for field, parameter, check in self._checks:
            value = getattr(inputs, field)
            if value is not None:
                setattr(inputs, field, check(value, f"$.{parameter.name}"))
        return dict(zip(self._names, msgspec.structs.astuple(inputs), strict=True))

    def _explain(self, error: msgspec.ValidationError) -> InvalidInput:
        """Say where, what was expected and what came, in the service's own words."""
        text, _, path = str(error).partition(" - at `")
        quoted = text.split("`")
        if "missing required field" in text:
            where, came = f"$.{quoted[1]}", "but it is missing"
        elif "unknown field" in text:
            return InvalidInput(
                f"$.{quoted[1]}: the service has no such input; it has {self._described()}",
                fields=f"$.{quoted[1]}",
            )
        elif "`int` " in text:
            where, came = path.rstrip("`") or "$", "got a whole number that 64 bits do not hold"
        else:
            where = path.rstrip("`") or "$"
            came = text[text.index("got `") :] if "got `" in text else text[0].lower() + text[1:]
        expected = next(
            (p.type for p in self._parameters if where == f"$.{p.name}" or where.startswith(f"$.{p.name}[")),
            "a JSON object",
        )
        return InvalidInput(f"{where}: expected {expected}, {came}; inputs: {self._described()}", fields=where)

    def _described(self) -> str:
        return ", ".join(f"{p.name}: {p.type}" for p in self._parameters) or "none"


def _check_integer(value: float, path: str) -> int:
    whole = int(value)
    if whole != value or not _LEAST <= whole <= _MOST:
        raise InvalidInput(f"{path}: expected integer, got {value!r}", fields=path)
    return whole


def _check_matrix(value: list[list[Scalar]], path: str) -> list[list[Scalar]]:
    width = len(value[0]) if value else 0
    for index, row in enumerate(value):
        if len(row) != width:
            where = f"{path}[{index}]"
            raise InvalidInput(
                f"{where}: expected a row of {width} values like the first, got {len(row)}",
                fields=where,
            )
    return value


def _check_frame(value: dict[str, list[Scalar]], path: str) -> dict[str, list[Scalar]]:
    lengths = {name: len(column) for name, column in value.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name}: {length}" for name, length in list(lengths.items())[:8])
        raise InvalidInput(f"{path}: expected columns of one length, got {shown}", fields=path)
    return value


CHECKS: dict[ValueType, Callable[[Any, str], Any]] = {
    ValueType.INTEGER: _check_integer,
    ValueType.MATRIX: _check_matrix,
    ValueType.DATA_FRAME: _check_frame,
}
"""What is left to check afterwards, of a value that is not null, with its path for the message."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Checked inputs of a batchable service, as columns.

    `single` says that the caller sent one row as plain values, and gets plain values back.
    """

    columns: dict[str, list[Any]]
    count: int
    single: bool


class RowsReader:
    """Checks and decodes the inputs of a batchable service: one row, a list of rows, or columns.

    Parameters
    ----------
    parameters:
        The declared inputs, all of them single values.
    """

    def __init__(self, parameters: tuple[Parameter, ...]) -> None:
        self._names = tuple(parameter.name for parameter in parameters)
        self._one = InputReader(parameters)
        self._types = tuple((parameter.name, parameter.type) for parameter in parameters)
        fields = [(f"f{i}", GenericAlias(list, (WIRE_TYPES[p.type],))) for i, p in enumerate(parameters)]
        rename = {f"f{i}": name for i, name in enumerate(self._names)}
        columns = msgspec.defstruct("Columns", fields, rename=rename, forbid_unknown_fields=True)
        self._columns = msgspec.json.Decoder(columns)
        self._list = msgspec.json.Decoder(list[msgspec.Raw])

    def read(self, body: bytes) -> Rows:
        """Decode a JSON object of values, a list of such objects, or an object of lists of one length.

        Raises
        ------
        InvalidInput
            With the JSON path and the expected type of the first value that does not fit.
        """
        if body.lstrip()[:1] == b"[":
            return self._read_list(body)
        try:
            row = self._one.read(body)
        except InvalidInput as error:
            return self._read_columns(body, error)
        return Rows({name: [value] for name, value in row.items()}, 1, single=True)

    def _read_list(self, body: bytes) -> Rows:
        try:
            parts = self._list.decode(body)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"the body is not a JSON list of rows: {error}", fields="$") from None
        rows = []
        for index, part in enumerate(parts):
            try:
                rows.append(self._one.read(part))
            except InvalidInput as error:
                message = error.message.replace("$", f"$[{index}]", 1)
                raise InvalidInput(message, fields=error.fields.replace("$", f"$[{index}]", 1)) from None
        return Rows({name: [row[name] for row in rows] for name in self._names}, len(rows), single=False)

    def _read_columns(self, body: bytes, as_row: InvalidInput) -> Rows:
        try:
            found = self._columns.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise as_row from None
        columns = dict(zip(self._names, msgspec.structs.astuple(found), strict=True))
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            raise InvalidInput(f"$: expected columns of one length, got {sorted(lengths)}", fields="$")
        for name, kind in self._types:
            if kind is ValueType.INTEGER:
                columns[name] = [
                    None if v is None else _check_integer(v, f"$.{name}[{i}]") for i, v in enumerate(columns[name])
                ]
        return Rows(columns, lengths.pop(), single=False)
