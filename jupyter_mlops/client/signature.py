"""The inputs and outputs of a function: from options, else hints, else a sample."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from jupyter_mlops.client.declare import Declared, from_hint, from_type, from_value, parameter, several
from jupyter_mlops.client.sample import arrange
from jupyter_mlops.codec import to_python, to_wire
from jupyter_mlops.errors import CaptureError, InvalidRequest
from jupyter_mlops.schema.types import Parameter

DEFAULT_OUTPUT = "answer"

_WAYS = (
    "say it in one of three ways: an option (--inputs {name}=float), a type hint in the function "
    "({name}: float), or a sample (--sample)"
)


class _Missing:
    """No sample was given."""


MISSING = _Missing()


@dataclass(frozen=True)
class Signature:
    """What a function takes and gives."""

    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    sample: dict[str, Any] | None
    """The sample as wire values by input name; of several rows, the first."""
    rows: tuple[dict[str, Any], ...] = ()
    """All rows of the sample, of a batchable function."""

    def sample_json(self) -> msgspec.Raw | None:
        """The sample as a publish sends it: one object, or a list of them."""
        if self.sample is None:
            return None
        return msgspec.Raw(msgspec.json.encode(self.rows if len(self.rows) > 1 else self.sample))


def describe(
    function: Callable[..., Any],
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    sample: Any = MISSING,
) -> Signature:
    """Tell what a function takes and gives.

    Parameters
    ----------
    function:
        The function.
    inputs:
        Declared input types by name; they win over hints and sample.
    outputs:
        Declared output types by name.
    sample:
        Values for the inputs, in their order or by name.

    Raises
    ------
    InvalidRequest
        When a type cannot be told, or what was declared does not go with the function.
    """
    names, optional = input_names(function, inputs)
    hints = hints_of(function)
    declared = {name: from_type(name, written) for name, written in (inputs or {}).items()}
    for name in names:
        found = from_hint(hints[name]) if name not in declared and name in hints else None
        if found is not None:
            declared[name] = parameter(name, found)
    values: dict[str, Any] | None = None
    if not isinstance(sample, _Missing):
        values = arrange(sample, names, optional, declared)
    chosen = tuple(
        _input(name, declared, values)
        for name in names
        if name not in optional or name in (inputs or {}) or (values is not None and name in values)
    )
    wire = None if values is None else {one.name: to_wire(values[one.name], one) for one in chosen}
    if outputs is not None:
        given = tuple(from_type(name, written) for name, written in outputs.items())
    else:
        given = _outputs(function, hints, chosen, wire)
    return Signature(chosen, given, wire)


def input_names(function: Callable[..., Any], inputs: Mapping[str, Any] | None) -> tuple[list[str], frozenset[str]]:
    """Names of a function's inputs in its own order, and which of them have a default.

    Parameters
    ----------
    function:
        The function.
    inputs:
        Declared inputs: names that a function with `**inputs` takes.
    """
    names: list[str] = []
    optional: set[str] = set()
    takes_any = False
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return list(inputs or {}), frozenset()
    for one in parameters:
        if one.kind is one.VAR_KEYWORD:
            takes_any = True
        elif one.kind is one.POSITIONAL_ONLY:
            raise InvalidRequest(
                f"input {one.name!r} can only be given by position, and a service is called by name: take the `/` out"
            )
        elif one.kind is not one.VAR_POSITIONAL:
            names.append(one.name)
            if one.default is not one.empty:
                optional.add(one.name)
    unknown = [name for name in inputs or {} if name not in names]
    if unknown and not takes_any:
        takes = ", ".join(names) or "nothing"
        raise InvalidRequest(f"Input {unknown[0]!r} is not a code argument: the function takes {takes}")
    return names + unknown, frozenset(optional)


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """A function's type hints, evaluated where they can be."""
    target: Any = function
    while isinstance(target, functools.partial):
        target = target.func
    if not inspect.isroutine(target) and not isinstance(target, type):
        target = getattr(target, "__wrapped__", type(target).__call__)
    target = inspect.unwrap(target)
    try:
        return typing.get_type_hints(target, include_extras=False)
    # Hints are the user's code; one that cannot be evaluated says nothing, and nothing is what is taken from it.
    except Exception:  # noqa: BLE001
        return dict(getattr(target, "__annotations__", {}))


def _input(name: str, declared: Mapping[str, Parameter], values: Mapping[str, Any] | None) -> Parameter:
    if name in declared:
        return declared[name]
    found = from_value(values[name]) if values is not None and name in values else None
    if found is None:
        if values is not None and name in values:
            raise InvalidRequest(
                f"the sample's value for input {name!r}, {_short(values[name])}, has no type that a service could "
                f"declare; {_WAYS.format(name=name)}"
            )
        raise InvalidRequest(f"the type of input {name!r} is not known; {_WAYS.format(name=name)}")
    return parameter(name, found)


def _outputs(
    function: Callable[..., Any],
    hints: Mapping[str, Any],
    inputs: tuple[Parameter, ...],
    wire: Mapping[str, Any] | None,
) -> tuple[Parameter, ...]:
    if "return" in hints:
        hint = hints["return"]
        if hint is None or hint is type(None):
            return ()
        found = named_outputs(hint)
        if found is not None:
            return found
        one = None if _is_parts(hint) else from_hint(hint)
        if one is not None:
            return (parameter(DEFAULT_OUTPUT, one),)
    if wire is None:
        raise InvalidRequest(
            "the type of the output is not known; say it in one of three ways: an option "
            f"(--outputs {DEFAULT_OUTPUT}=float), a type hint in the function (-> float), or a sample (--sample)"
        )
    if inspect.iscoroutinefunction(function):
        raise InvalidRequest("an async function says its output by a type hint (-> float) or by --outputs")
    return outputs_of(_try(function, inputs, wire))


def outputs_of(value: Any) -> tuple[Parameter, ...]:
    """Declare outputs from an answer.

    Parameters
    ----------
    value:
        What the function returned for the sample.
    """
    parts = several(value)
    if parts is not None:
        return tuple(_output(name, part) for name, part in parts.items())
    if isinstance(value, tuple) and not _alike(value):
        return tuple(_output(f"{DEFAULT_OUTPUT}_{index}", part) for index, part in enumerate(value, 1))
    return (_output(DEFAULT_OUTPUT, value),)


def _alike(values: tuple[Any, ...]) -> bool:
    """Whether a tuple is a plain row of scalars of one type: a vector rather than several outputs."""
    return len({from_value(value) for value in values}) <= 1 and all(
        getattr(value, "shape", ()) == () and not isinstance(value, list | tuple | Mapping) for value in values
    )


def _output(name: str, value: Any) -> Parameter:
    found = from_value(value)
    if found is None:
        raise InvalidRequest(
            f"the sample's answer {name!r} is {_short(value)}, which has no type that a service could declare; "
            f"declare it with --outputs {name}=float, or return a number, text, truth value, list, array or DataFrame"
        )
    return parameter(name, found)


def _try(function: Callable[..., Any], inputs: tuple[Parameter, ...], wire: Mapping[str, Any]) -> Any:
    try:
        return function(**{one.name: to_python(wire[one.name], one) for one in inputs})
    # The function is the user's and may raise anything; the answer is one message.
    except Exception as error:
        raise CaptureError(
            "the output's type should come from the sample, but the function raised on it: "
            f"{type(error).__name__}: {error}"
        ) from error


def _is_parts(hint: Any) -> bool:
    """Whether a hint is a tuple of different things, such as `tuple[str, float]`."""
    arguments = typing.get_args(hint)
    return typing.get_origin(hint) is tuple and Ellipsis not in arguments and len(set(arguments)) > 1


def named_outputs(hint: Any) -> tuple[Parameter, ...] | None:
    """Outputs of a TypedDict or NamedTuple, whose parts have names and types."""
    named = typing.is_typeddict(hint) or (
        isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")
    )
    if named and (fields := typing.get_type_hints(hint)):
        return tuple(from_type(name, part) for name, part in fields.items())
    if _is_parts(hint):
        found: list[Declared | None] = [from_hint(part) for part in typing.get_args(hint)]
        if None not in found:
            return tuple(parameter(f"{DEFAULT_OUTPUT}_{i}", one) for i, one in enumerate(found, 1) if one is not None)
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'...' if len(text) > 60 else ''}"  # noqa: PLR2004
