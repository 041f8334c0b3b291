"""Values that look like keys, tokens, passwords or connection strings, by their name and by their form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    where: str
    text: str


def find_secrets(name: str, value: Any) -> list[Finding]:
    return []
