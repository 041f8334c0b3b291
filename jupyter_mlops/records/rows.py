"""Objects of inputs in JSON, many at a time: checked, and laid into columns."""

from __future__ import annotations

from types import NoneType
from typing import Any

import msgspec

from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.inputs import CHECKS, WIRE_TYPES, InputReader
from jupyter_mlops.schema.types import Parameter, ValueType

MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RowsDecoder:
    """Decodes objects of the inputs of one service.

    Parameters
    ----------
    parameters:
        The declared inputs; every one is required, none other is allowed.
    """

    def __init__(self, parameters: tuple[Parameter, ...]) -> None:
        self.parameters = parameters
        self._one = InputReader(parameters)
        fields = [(f"f{i}", WIRE_TYPES[one.type]) for i, one in enumerate(parameters)]
        rename = {f"f{i}": one.name for i, one in enumerate(parameters)}
        struct = msgspec.defstruct("Inputs", fields, rename=rename, forbid_unknown_fields=True)
        self._array = msgspec.json.Decoder(list[struct])  # type: ignore[valid-type]  # made above
        self._lines = msgspec.json.Decoder(struct)

    def array(self, body: bytes) -> list[Any]:
        """The records of a JSON array, for `columns`.

        Raises
        ------
        msgspec.ValidationError
            When a value does not fit: `explain` says which.
        msgspec.DecodeError
            When it is no JSON array.
        """
        return self._array.decode(body)

    def lines(self, body: bytes) -> list[Any]:
        """The records of some lines, for `columns`; raises as `array` does."""
        return self._lines.decode_lines(body)

    def columns(self, records: list[Any], first: int) -> dict[str, list[Any]]:
        """Decoded records as columns, with what msgspec does not check.

        Parameters
        ----------
        records:
            What `array` or `lines` returned.
        first:
            The place of the first, for messages.

        Raises
        ------
        InvalidInput
            With the place of the first value that does not fit.
        """
        values = zip(*map(msgspec.structs.astuple, records), strict=True)
        columns = dict(zip([one.name for one in self.parameters], map(list, values), strict=True))
        return {one.name: checked(columns[one.name], one, first) for one in self.parameters}

    def explain(self, raws: list[msgspec.Raw], first: int) -> None:
        """Check record by record.

        Parameters
        ----------
        raws:
            The records as JSON.
        first:
            The place of the first.

        Raises
        ------
        InvalidInput
            With the place of the first value that does not fit, and what was expected there.
        """
        for index, raw in enumerate(raws, first):
            try:
                self._one.read(memoryview(raw))
            except InvalidInput as error:
                message, fields = (text.replace("$", f"$[{index}]", 1) for text in (error.message, error.fields))
                raise InvalidInput(message, fields=fields) from None


def checked(column: list[Any], declared: Parameter, first: int) -> list[Any]:
    """A column of one input with what msgspec does not check: whole numbers, matrices, data frames.

    Parameters
    ----------
    column:
        Its decoded values.
    declared:
        The input.
    first:
        The place of the first value among all records, for messages.

    Raises
    ------
    InvalidInput
        With the place of the first value that does not fit.
    """
    check = CHECKS.get(declared.type)
    if check is None or (declared.type is ValueType.INTEGER and set(map(type, column)) <= {int, NoneType}):
        return column
    return [
        None if value is None else check(value, f"$[{index}].{declared.name}")
        for index, value in enumerate(column, first)
    ]
