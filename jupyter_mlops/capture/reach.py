"""What a piece of code reaches by name: the globals it reads and writes, the modules it imports."""

from __future__ import annotations

import ast
import dis
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any

from jupyter_mlops.capture.look import module_of

_OUTPUT_CACHE = re.compile(r"_{1,3}|_\d+|_i{0,3}\d*|_[ido]h")
_SHELL_NAMES = frozenset({"In", "Out", "get_ipython", "_exit_code", "_rwho_ls"})
_SHELL_FUNCTIONS = frozenset({"exit", "quit", "open", "display"})


class Overlay(dict[str, Any]):
    """Globals with some names added or replaced, standing for the globals they were made from.

    Parameters
    ----------
    base:
        The globals that the functions really have; they are not changed.
    extra:
        What is added to them, or replaces them.
    """

    def __init__(self, base: dict[str, Any], extra: Mapping[str, Any]) -> None:
        super().__init__({**base, **extra})
        self.base = base


def real_globals(namespace: dict[str, Any]) -> dict[str, Any]:
    """The dict that functions of a namespace have as their globals."""
    return namespace.base if isinstance(namespace, Overlay) else namespace


@dataclass
class Uses:
    """Names of globals and modules, in the order in which the code has them."""

    reads: dict[str, None] = field(default_factory=dict)
    writes: dict[str, None] = field(default_factory=dict)
    imports: dict[str, None] = field(default_factory=dict)


@functools.lru_cache(maxsize=4096)
def uses(code: CodeType) -> Uses:
    """Find what code and the code nested in it reads, writes and imports; the result is not to be changed.

    Parameters
    ----------
    code:
        A function's code object.
    """
    found = Uses()
    for part in nested(code):
        # A class body has no fast locals: it looks its names up by LOAD_NAME, which reaches globals too.
        stored = {i.argval for i in dis.get_instructions(part) if i.opname == "STORE_NAME"}
        for instruction in dis.get_instructions(part):
            match instruction.opname:
                case "LOAD_GLOBAL":
                    found.reads[instruction.argval] = None
                case "LOAD_NAME" | "LOAD_CLASSDEREF" | "LOAD_FROM_DICT_OR_GLOBALS" if instruction.argval not in stored:
                    found.reads[instruction.argval] = None
                case "STORE_GLOBAL" | "DELETE_GLOBAL":
                    found.writes[instruction.argval] = None
                case "IMPORT_NAME":
                    found.imports[instruction.argval.partition(".")[0]] = None
                case _:
                    pass
    return found


def annotated(annotations: Any, namespace: Mapping[str, Any]) -> dict[str, None]:
    """Find the classes, modules and type aliases that annotations written as text name.

    Only frameworks that look at hints read them, so a name that stands for anything else is left alone.

    Parameters
    ----------
    annotations:
        A function's or a class's `__annotations__`.
    namespace:
        Where the names live.
    """
    found: dict[str, None] = {}
    for text in annotations.values() if type(annotations) is dict else ():
        if type(text) is not str:
            continue
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError):
            continue
        names = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
        found |= {name: None for name in names if _is_type_like(namespace.get(name))}
    return found


def _is_type_like(value: Any) -> bool:
    return issubclass(type(value), type | ModuleType) or module_of(type(value)) in {"typing", "types"}


def nested(code: CodeType) -> Iterator[CodeType]:
    """Yield the code object and those of the functions and classes inside it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from nested(const)


def belongs_to_shell(name: str, namespace: Mapping[str, Any]) -> bool:
    """Whether a global is the interpreter's or IPython's own, which every kernel has or none should.

    Parameters
    ----------
    name:
        The global's name.
    namespace:
        Where it lives.
    """
    if name in _SHELL_NAMES or _OUTPUT_CACHE.fullmatch(name):
        return True
    if name.startswith("__") and name.endswith("__"):
        return True
    if name not in _SHELL_FUNCTIONS:
        return False
    value: Any = namespace.get(name)
    kind = type(value)
    # IPython's `open` says that it comes from `_io`; where its code lives tells better.
    home = value.__globals__.get("__name__") if kind is FunctionType else module_of(kind)
    return str(home).partition(".")[0] in {"IPython", "ipykernel", "_sitebuiltins"}
