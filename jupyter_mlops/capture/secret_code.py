"""Secrets that are written into a function: its constants, and what they are assigned or compared to."""

from __future__ import annotations

import ast
import dis
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from jupyter_mlops.capture.reach import nested
from jupyter_mlops.capture.secret_forms import form_of
from jupyter_mlops.capture.secret_names import kind_by_name, looks_secret

_WORD = re.compile(r"[\w.-]{1,80}")
"""What could name a value: a path such as `/etc/passwd`, that another argument stands beside, does not."""


def secrets_of_code(function: FunctionType) -> list[str]:
    """Say what secrets a function's code holds; never the secrets themselves.

    Parameters
    ----------
    function:
        Any function.
    """
    found: dict[str, None] = {}
    for code in nested(function.__code__):
        for constant in _texts(code.co_consts):
            form = form_of(constant if type(constant) is str else constant.decode("utf-8", "ignore"))
            if form:
                found[f"has in its code what looks like {form}"] = None
        for name, value in (*_stored(code), *_keywords(code)):
            _judge(found, name, value)
    for name, value in _written(function.__code__):
        _judge(found, name, value)
    return list(found)


def _judge(found: dict[str, None], name: str, value: Any) -> None:
    kind = kind_by_name(name) if _WORD.fullmatch(name) else ""
    if kind and type(value) in {str, bytes} and looks_secret(kind, value):
        found[f"has in its code what looks like a secret, as {name}"] = None


def _texts(constants: tuple[Any, ...]) -> Iterator[Any]:
    for one in constants:
        if type(one) in {str, bytes}:
            yield one
        elif type(one) in {tuple, frozenset}:
            yield from _texts(tuple(one))


def _stored(code: CodeType) -> Iterator[tuple[str, Any]]:
    """Constants that go straight into a variable or an attribute."""
    before: Any = None
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith("STORE_") and before is not None and isinstance(instruction.argval, str):
            yield instruction.argval, before
        before = instruction.argval if instruction.opname == "LOAD_CONST" else None


def _keywords(code: CodeType) -> Iterator[tuple[str, Any]]:
    """Constants that are the last of a call's arguments by name: what stands before them is not known so well."""
    instructions = list(dis.get_instructions(code))
    for place, instruction in enumerate(instructions):
        names: Any = None
        if instruction.opname == "KW_NAMES":  # until Python 3.12; its argument is a place among the constants
            names = code.co_consts[instruction.arg or 0]
        elif instruction.opname == "CALL_KW" and place:
            names = instructions[place - 1].argval
        if type(names) is not tuple:
            continue
        loads = instructions[:place] if instruction.opname == "KW_NAMES" else instructions[: place - 1]
        for name, load in zip(reversed(names), reversed(loads), strict=False):
            if load.opname != "LOAD_CONST":
                break
            yield name, load.argval


def _written(code: CodeType) -> Iterator[tuple[str, Any]]:
    """Names and the constants they get in the source, where that is known."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):
        return
    for node in ast.walk(tree):
        for name, value in _given(node):
            if isinstance(value, ast.Constant):
                yield name, value.value


def _given(node: ast.AST) -> list[tuple[str, ast.expr]]:
    """Names, and what a piece of source gives them or compares them to."""
    match node:
        case ast.Assign(targets=targets, value=value):
            return [(_name(target), value) for target in targets]
        case ast.AnnAssign(target=target, value=ast.Constant() as value):
            return [(_name(target), value)]
        case ast.keyword(arg=str(name), value=value):
            return [(name, value)]
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return [(str(key.value), value) for key, value in pairs if isinstance(key, ast.Constant)]
        case ast.Compare(left=left, comparators=[value]):
            return [(_name(left), value)]
        case ast.Call(args=[ast.Constant(value=str(name)), value]):  # os.environ.get("PASSWORD", "...")
            return [(name, value)]
        case _:
            return []


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case _:
            return ""
