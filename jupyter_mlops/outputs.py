"""From what a function returned to the wire values of its declared outputs, in kernels and in notebooks alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_mlops.codec import to_wire
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.schema.types import Parameter, ValueType

_SCALARS = {bool, float, int, str}


def wire_outputs(value: Any, outputs: tuple[Parameter, ...], *, by_name: bool = False) -> dict[str, Any]:
    """Wire values by output name.

    Parameters
    ----------
    value:
        What a function returned, or what code left behind.
    outputs:
        The declared outputs.
    by_name:
        Whether `value` is what code left behind: a dict by name, which may lack some.

    Raises
    ------
    InvalidInput
        When it does not fit what is declared.
    """
    if len(outputs) == 1 and type(value) in _SCALARS and not by_name:
        return {outputs[0].name: to_wire(value, outputs[0])}
    parts = _parts(value, outputs, by_name=by_name)
    return {output.name: to_wire(part, output) for output, part in zip(outputs, parts, strict=True)}


def _parts(value: Any, outputs: tuple[Parameter, ...], *, by_name: bool) -> list[Any]:
    """Split what a function returned, or code left behind, among the declared outputs."""
    if not outputs:
        return []
    names = [output.name for output in outputs]
    if len(outputs) == 1 and not by_name:
        named = isinstance(value, Mapping) and outputs[0].type is not ValueType.DATA_FRAME and names[0] in value
        return [value[names[0]] if named else value]
    if isinstance(value, Mapping):
        missing = [name for name in names if name not in value]
        # Old clients declare several outputs of a function and assign its value to the first; the rest are null.
        if missing and (not by_name or missing == names):
            raise InvalidInput(f"there is no value for {missing[0]!r}")
        return [value.get(name) for name in names]
    if isinstance(value, tuple | list) and len(value) == len(outputs):
        return list(value)
    got = f"{len(value)} values" if isinstance(value, tuple | list) else type(value).__name__
    raise InvalidInput(
        f"{len(outputs)} outputs are declared ({', '.join(names)}): return a tuple of that many values, "
        f"or a dict by name; the function returned {got}"
    )
