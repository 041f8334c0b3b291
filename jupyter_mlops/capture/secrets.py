"""Values that look like keys, tokens, passwords or connection strings, also some way inside others.

No code of the objects runs, and no finding holds any part of a secret: it says where, and of what kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from types import FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

from jupyter_mlops.capture.look import attributes, bases, children, class_attributes, module_of
from jupyter_mlops.capture.pickler import is_importable
from jupyter_mlops.capture.secret_code import secrets_of_code
from jupyter_mlops.capture.secret_forms import LONGEST, form_of
from jupyter_mlops.capture.secret_names import kind_by_name, looks_secret

DEPTH = 5
"""How many steps inside a variable are looked at."""

_WIDTH = 1_000
_IN_ALL = 20_000
_SHORTEST = 8
_ASSIGNED = re.compile(
    r"""["']?([A-Za-z][\w.-]{2,60})["']?[ \t]*(?:=|:)[ \t]*(?:"([^"\n]{3,})"|'([^'\n]{3,})'|([^\s"',;&{}<>()]{6,}))"""
)
_TOLD = re.compile(r"(?i)pass|pwd|secret|token|key|cred|jwt|[_.]pat")
_PLAIN = frozenset({str, bytes, bytearray, int})
_OPAQUE = frozenset({"numpy", "pandas", "scipy", "torch", "polars", "pyarrow", "tensorflow"})


@dataclass(frozen=True)
class Finding:
    """Something that looks like a secret."""

    where: str
    """The path to it, such as `settings['db']`."""
    text: str
    """What it looks like, such as `looks like a GitHub token`."""


def find_secrets(name: str, value: Any) -> list[Finding]:
    """Look for secrets in a variable.

    Parameters
    ----------
    name:
        Its name.
    value:
        Text, bytes, containers, objects with attributes, functions with their defaults, closures and constants.
    """
    return _Search().run(name, value)


class _Search:
    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}
        self._left = _IN_ALL
        self._found: list[Finding] = []

    def run(self, name: str, value: Any) -> list[Finding]:
        self._look(name, _last_word(name), value, DEPTH)
        return self._found

    def _look(self, where: str, word: str, value: Any, depth: int) -> None:
        kind = type(value)
        self._left -= 1
        if self._left < 0:
            return
        if kind in _PLAIN:
            self._judge(where, word, value)
        elif depth and id(value) not in self._seen and not issubclass(kind, int | float | ModuleType):
            self._seen[id(value)] = value  # held, so that its id stays its own
            self._enter(where, word, value, depth)

    def _enter(self, where: str, word: str, value: Any, depth: int) -> None:
        kind = type(value)
        if issubclass(kind, str):
            self._judge(where, word, str.__str__(value))
        elif issubclass(kind, bytes):
            self._judge(where, word, bytes(memoryview(value)))
        if issubclass(kind, type):
            self._class(where, value, depth)
        elif kind is MethodType:
            self._look(where, word, value.__func__, depth)
            self._look(where, word, value.__self__, depth)
        elif module_of(kind).partition(".")[0] not in _OPAQUE:
            if kind is FunctionType:
                self._code(where, value)
            for step, inner, part in _parts(value, word):
                self._look(where + step, inner, part, depth - 1)
            if not is_importable(module_of(kind)):
                self._look(f"{where}.__class__", "", kind, depth - 1)

    def _class(self, where: str, kind: type, depth: int) -> None:
        for base in bases(kind):
            if is_importable(module_of(base)) or base is object:
                continue
            for name, part in class_attributes(base).items():
                inner = part.__func__ if type(part) in {staticmethod, classmethod} else part
                inner = inner.fget if type(inner) is property else inner
                if name[:2] != "__" or type(inner) is FunctionType:
                    self._look(f"{where}.{name}", name, inner, depth - 1)

    def _code(self, where: str, function: FunctionType) -> None:
        if is_importable(str(function.__module__)):
            return
        for text in secrets_of_code(function):
            self._found.append(Finding(where, text))
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        defaults = function.__defaults__ or ()
        for name, part in zip(names[len(names) - len(defaults) :], defaults, strict=False):
            self._look(f"{where}(..., {name})", name, part, 2)

    def _judge(self, where: str, word: str, value: Any) -> None:
        kind = kind_by_name(word)
        if kind and looks_secret(kind, value):
            what = {"auth": "credentials", "secret": "a secret"}.get(kind, f"a {kind}")
            self._found.append(Finding(where, f"looks like {what}, by its name"))
            return
        form = form_of_any(value)
        if form:
            self._found.append(Finding(where, f"looks like {form}"))


def _parts(value: Any, word: str) -> Iterator[tuple[str, str, Any]]:
    """Steps, the word each part is known by, and the parts; items of a list go by the list's own name."""
    kind = type(value)
    if issubclass(kind, dict):
        for key, part in islice(dict.copy(value).items(), _WIDTH):
            yield _item(key, part, word)
        value = SimpleNamespace(**attributes(value))
    elif issubclass(kind, tuple) and tuple.__len__(value) == 2 and not attributes(value):  # noqa: PLR2004
        first, second = tuple.__iter__(value)
        known = type(first) is str and kind_by_name(first)  # ("password", "...")
        named = first if known else "password" if _is_pair(word) else word  # ("me", "...")
        yield "[0]", "" if named != word else word, first
        yield "[1]", named, second
        return
    for step, part in islice(children(value), _WIDTH):
        own = step.strip("._") if step.startswith(".") else word
        yield step, word if own in {"value", "val", "name"} else own, part


def _is_pair(word: str) -> bool:
    return kind_by_name(word) in {"auth", "secret"} or word.lower().endswith("login")


def _item(key: Any, part: Any, word: str) -> tuple[str, str, Any]:
    text = key.decode("utf-8", "replace") if type(key) is bytes else key
    if type(text) is not str:
        return "[...]", word, part
    if form_of(text):  # a secret as a key: looked at like a value, and not shown
        return "[...]", "", text
    return f"[{text[:40]!r}]", text, part


def form_of_any(value: Any) -> str:
    """What text or bytes look like by their form, or by a name inside that they are given.

    Parameters
    ----------
    value:
        Any plain value.
    """
    if type(value) is bytes or type(value) is bytearray:
        text = bytes(value[:LONGEST]).decode("utf-8", "ignore")
    elif type(value) is str:
        text = value[:LONGEST]
    else:
        return ""
    if len(text) < _SHORTEST:
        return ""
    return form_of(text) or (_assigned(text) if _TOLD.search(text) else "")


def _assigned(text: str) -> str:
    """A line of a settings file: `DB_PASSWORD=...`, `"api_key": "..."`."""
    for match in _ASSIGNED.finditer(text):
        kind = kind_by_name(match[1])
        bare = match[4] is not None
        if kind in {"password", "secret", "token"} and looks_secret(kind, match[2] or match[3] or match[4]):
            value = match[2] or match[3] or match[4]
            if not bare or re.search(r"\d", value):
                return f"text with a {kind} in it"
    return ""


def _last_word(name: str) -> str:
    return name.rpartition(".")[2]
