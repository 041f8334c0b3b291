"""Secrets in files that go along: modules of the user's own, and data files.

Code is read by its syntax, JSON and settings by the names that they give to values, and any text by the forms of
known keys and tokens. What is no text is not looked at.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from jupyter_mlops.capture.redact import secret_texts
from jupyter_mlops.capture.secret_forms import LONGEST, form_of
from jupyter_mlops.capture.secret_names import kind_by_name, looks_secret
from jupyter_mlops.capture.secrets import Finding, find_secrets

CODE_LIMIT = 2**20
"""Bytes of code or settings that are looked at."""

DATA_LIMIT = 128 * 2**10
"""The same of any other text, of which there may be very much."""

_SETTINGS = frozenset({".cfg", ".conf", ".env", ".ini", ".properties", ".toml", ".yaml", ".yml"})
_CODE = _SETTINGS | {".py", ".json", ".ipynb", ".sh", ".sql", ".r", ".pem", ".key"}
_SETTING = re.compile(
    r"""^\s*(?:export\s+)?["']?([A-Za-z][\w.-]*)["']?\s*[=:]\s*["']?([^"'#\s]+)["']?\s*(?:#.*)?,?\s*$"""
)


def secrets_of_file(name: str, path: Path) -> list[Finding]:
    """Say where in a file secrets are; never the secrets themselves.

    Parameters
    ----------
    name:
        What to call it.
    path:
        The file.
    """
    kind = path.name if path.name.startswith(".env") else path.suffix
    kind = ".env" if kind.startswith(".env") else kind.lower()
    text = _text(path, CODE_LIMIT if kind in _CODE else DATA_LIMIT)
    if kind in {".json", ".ipynb"}:
        try:
            found = find_secrets(name, json.loads(text))
        except (ValueError, RecursionError):
            found = []
        if found:
            return found
    at: dict[int, str] = {}
    if kind == ".py":
        at |= _in_code(text)
    elif kind in _SETTINGS:
        at |= _in_settings(text)
    for number, form in _by_form(text):
        at.setdefault(number, form)
    return [Finding(f"{name}, line {number},", what) for number, what in sorted(at.items())]


def _text(path: Path, limit: int) -> str:
    with path.open("rb") as file:
        content = file.read(limit)
    return "" if b"\0" in content else content.decode("utf-8", "replace")


def _in_code(text: str) -> dict[int, str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return _in_settings(text)
    return {node.lineno: what for node, what in secret_texts(tree)}


def _in_settings(text: str) -> dict[int, str]:
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _SETTING.fullmatch(line)
        kind = kind_by_name(match[1]) if match else ""
        if match and kind and looks_secret(kind, match[2]):
            found[number] = f"looks like {'a secret' if kind in {'auth', 'secret'} else f'a {kind}'}, by its name"
    return found


def _by_form(text: str) -> Iterator[tuple[int, str]]:
    """Line numbers, and what stands there; many lines at a time are looked at first."""
    lines = text.splitlines()
    start = 0
    while start < len(lines):
        end, length = start, 0
        while end < len(lines) and (end == start or length + len(lines[end]) < LONGEST):
            length += len(lines[end]) + 1
            end += 1
        if length > LONGEST or form_of("\n".join(lines[start:end])):
            for number in range(start, end):
                form = form_of(lines[number])
                if form:
                    yield number + 1, f"looks like {form}"
        start = end
