"""Values that a caller gives, to what is sent for a declared input."""

from __future__ import annotations

from typing import Any

import msgspec

from jupyter_mlops.codec import to_wire
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.schema.types import Parameter, ValueType

_PLAIN: dict[ValueType, type] = {
    ValueType.INTEGER: int,
    ValueType.NUMERIC: float,
    ValueType.CHARACTER: str,
    ValueType.LOGICAL: bool,
}


def encode(value: Any, declared: Parameter) -> Any:
    """One value.

    Parameters
    ----------
    value:
        As the caller gave it.
    declared:
        The input.

    Raises
    ------
    InvalidInput
        When it does not fit.
    """
    try:
        return to_wire(value, declared)
    except InvalidInput as error:
        raise InvalidInput(f"Invalid `input` {error}", fields=error.fields) from None


def encode_column(values: Any, declared: Parameter) -> list[Any]:
    """The values of many rows.

    Parameters
    ----------
    values:
        A list, array or Series.
    declared:
        The input.

    Raises
    ------
    InvalidInput
        When one of them does not fit.
    """
    if declared.type not in _PLAIN:
        return [encode(value, declared) for value in values]
    found: list[Any] = encode(values, msgspec.structs.replace(declared, type=ValueType.VECTOR, format=""))
    plain = {_PLAIN[declared.type], type(None)}
    return found if {type(value) for value in found} <= plain else [encode(value, declared) for value in found]
