"""The oldest versions of our libraries that are known to be safe to serve with."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

SECURITY_FLOORS = {
    "tornado": (6, 6, 1),
    "jupyter_server": (2, 20),
    "jupyter_client": (8, 9, 1),
    "joserfc": (1, 7, 3),
}
"""Below these a request can stall or mislead the server; the reasons are in docs/security.md."""


def below_floor() -> list[str]:
    """Name each installed library that is older than its floor, with both versions."""
    found = []
    for name, floor in SECURITY_FLOORS.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if tuple(int(part) for part in re.findall(r"\d+", installed)[:3]) < floor:
            found.append(f"{name} {installed} is older than {'.'.join(map(str, floor))}")
    return found
