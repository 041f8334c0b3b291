"""The seven value types of Machine Learning Server, and a service's named parameters."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from jupyter_mlops.errors import InvalidRequest


class ValueType(StrEnum):
    """What a parameter holds; the spelling is Machine Learning Server's wire spelling."""

    INTEGER = "integer"
    NUMERIC = "numeric"
    CHARACTER = "character"
    LOGICAL = "logical"
    VECTOR = "vector"
    MATRIX = "matrix"
    DATA_FRAME = "data.frame"

    @classmethod
    def _missing_(cls, value: object) -> ValueType | None:
        # Machine Learning Server's own walk-through of its REST interface declares an output so.
        return cls.CHARACTER if value == "string" else None


class Parameter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named input or output of a service.

    `format` refines what Python sees and never what is on the wire: `date-time` and `date` for a
    `character` that is a point in time, `list` for a `vector` or `matrix` that stays a list,
    `ndarray` for a `matrix` that is an array rather than `numpy.matrix`, `series` for a `vector` that
    is a pandas Series.
    """

    name: str
    type: ValueType
    format: str = ""


FORMATS: dict[ValueType, frozenset[str]] = {
    ValueType.CHARACTER: frozenset({"date-time", "date"}),
    ValueType.VECTOR: frozenset({"list", "series"}),
    ValueType.MATRIX: frozenset({"list", "ndarray"}),
}

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_. -]{0,126}[A-Za-z0-9_-])?")
RESERVED_VERSIONS = frozenset({"latest", "batch", "swagger.json", "openapi.json", "pool"})
MAX_PARAMETERS = 1000
INPUTS = "$.inputParameterDefinitions"
_UNQUOTABLE = frozenset({'"', "\\"})


def check_name(name: str, what: str) -> str:
    """Return a service name or version unchanged, or say which rule it breaks.

    Parameters
    ----------
    name:
        The name or version as the user wrote it.
    what:
        `"name"` or `"version"`, for the message.

    Raises
    ------
    InvalidRequest
        When it is empty, longer than 128 characters, has characters that cannot stand in a URL of old
        clients (they do not quote), or is reserved.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{what} {name[:200]!r} is not allowed: use 1 to 128 of the letters A-Z, a-z, digits, '_', '-', '.' "
            "and spaces inside; begin with a letter, digit or '_', end without a dot or space",
            fields=f"$.{what}",
        )
    if what == "version" and name in RESERVED_VERSIONS:
        raise InvalidRequest(
            f"version {name!r} is reserved; {', '.join(sorted(RESERVED_VERSIONS))} are parts of URLs",
            fields="$.version",
        )
    return name


def check_alias(alias: str | None) -> None:
    """Refuse an alias (`operationId`) that no client could have as the name of a function.

    Parameters
    ----------
    alias:
        What the request says; None for none.

    Raises
    ------
    InvalidRequest
        When it is no identifier.
    """
    if alias is not None and not alias.isidentifier():
        raise InvalidRequest(
            f"alias {alias[:80]!r} is not a name that a client could call; use letters, digits and '_'",
            fields="$.operationId",
        )


def check_parameters(parameters: tuple[Parameter, ...], where: str) -> None:
    """Refuse parameters that repeat a name, have no name, or carry a format that their type has not.

    Parameters
    ----------
    parameters:
        The declared inputs or outputs.
    where:
        JSON path of the list, for the message.

    Raises
    ------
    InvalidRequest
        With the path of the first parameter at fault.
    """
    seen: set[str] = set()
    if len(parameters) > MAX_PARAMETERS:
        raise InvalidRequest(f"{len(parameters)} parameters; at most {MAX_PARAMETERS} are allowed", fields=where)
    for index, parameter in enumerate(parameters):
        path = f"{where}[{index}]"
        if not parameter.name or len(parameter.name) > 256 or not parameter.name.isprintable():  # noqa: PLR2004
            raise InvalidRequest("a parameter needs a name of 1 to 256 printable characters", fields=f"{path}.name")
        if where == INPUTS and _UNQUOTABLE & set(parameter.name):
            raise InvalidRequest(
                f"the name {parameter.name!r} has a quote or a backslash in it, which the name of an input cannot have",
                fields=f"{path}.name",
            )
        if parameter.name in seen:
            raise InvalidRequest(f"parameter {parameter.name!r} is declared twice", fields=f"{path}.name")
        if parameter.format and parameter.format not in FORMATS.get(parameter.type, ()):
            known = ", ".join(sorted(FORMATS.get(parameter.type, ()))) or "none"
            raise InvalidRequest(
                f"format {parameter.format!r} does not go with type {parameter.type}; known: {known}",
                fields=f"{path}.format",
            )
        seen.add(parameter.name)
