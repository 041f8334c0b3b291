"""Functions as text."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from jupyter_mlops.client.signature import Signature
from jupyter_mlops.errors import CaptureError


def source_of(function: Callable[..., Any]) -> str:
    """Source text of a function, to be shown to people; empty when there is none."""
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    except (OSError, TypeError):
        return ""


def calling(function: Callable[..., Any], signature: Signature) -> str:
    """Code that defines a function, calls it with the inputs, and leaves its outputs in variables.

    Parameters
    ----------
    function:
        Defined by `def`, and no closure.
    signature:
        Its inputs and outputs.

    Raises
    ------
    CaptureError
        When its text alone does not make it.
    """
    text, name = _definition(function), function.__name__
    inputs, outputs = ([one.name for one in part] for part in (signature.inputs, signature.outputs))
    odd = [one for one in inputs + outputs if not one.isidentifier()]
    if odd:
        raise CaptureError(
            f"{odd[0]!r} is no variable's name; code that runs on a snapshot has its inputs as variables"
        )
    call = f"{name}({', '.join(f'{one}={one}' for one in inputs)})"
    if len(outputs) < 2:  # noqa: PLR2004
        return f"{text}\n{''.join(outputs) or '_'} = {call}\n"
    parts = f"[_parts[one] for one in {outputs!r}] if isinstance(_parts, dict) else _parts"
    return f"{text}\n_parts = {call}\n{', '.join(outputs)} = {parts}\n"


def running(function: Callable[[], Any] | str) -> str:
    """Code that defines a function without inputs and calls it; text is code already."""
    if isinstance(function, str):
        return function
    return f"{_definition(function)}\n{function.__name__}()\n"


def _definition(function: Callable[..., Any]) -> str:
    name, text = getattr(function, "__name__", "function"), source_of(function)
    if not text.startswith(("def ", "@")) or inspect.iscoroutinefunction(function):
        raise CaptureError(f"{name}: only a function defined by `def` has a text to run on a snapshot")
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is not None and code.co_freevars:
        raise CaptureError(
            f"{name} uses {', '.join(code.co_freevars)} of the function around it, which is not in the snapshot; "
            "give it as an input, or put it into the session that the snapshot is taken of"
        )
    return text
