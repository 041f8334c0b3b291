"""Two Pythons side by side: where a snapshot was captured, and where it is to be loaded."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata

from jupyter_mlops.objects import PYTHON
from jupyter_mlops.schema.snapshots import Environment


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same in both."""

    what: str
    """`Python`, `platform`, or a distribution's name."""
    recorded: str
    here: str
    """Empty for a distribution that is not installed."""
    fatal: bool = False
    """Whether the snapshot cannot be loaded for this alone."""
    advice: str = ""
    """What to do about it, where there is something to do."""


@dataclass(frozen=True)
class Differences:
    """All that is not the same; false when there is none, and a table as text."""

    rows: tuple[Difference, ...]

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def fatal(self) -> tuple[Difference, ...]:
        """Those for which the snapshot cannot be loaded."""
        return tuple(row for row in self.rows if row.fatal)

    def __str__(self) -> str:
        if not self.rows:
            return "the same Python and packages"
        cells = [("", "captured with", "here", "")]
        cells += [(row.what, row.recorded, row.here or "not installed", row.advice) for row in self.rows]
        widths = [max(len(line[column]) for line in cells) for column in range(4)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
        )


def environment(modules: Iterable[str], *, bytecode: bool = False) -> Environment:
    """Describe this Python, with the distributions that the modules belong to.

    Parameters
    ----------
    modules:
        Names of modules that the captured code and objects use.
    bytecode:
        Whether the snapshot holds compiled functions, which bind it to this Python.
    """
    names = {distribution for name in _tops(modules) for distribution in _owners_of(name)}
    return _environment({name: metadata.version(name) for name in sorted(names)}, PYTHON if bytecode else "")


def here(recorded: Environment) -> Environment:
    """Describe this Python as far as another one's record goes: with the same distributions, where they are installed.

    Parameters
    ----------
    recorded:
        The record.
    """
    found = {name: version for name in recorded.packages if (version := _version(name))}
    return _environment(found, PYTHON)


def differences(recorded: Environment, present: Environment | None = None) -> Differences:
    """Compare a snapshot's record with a Python that is to load it.

    Parameters
    ----------
    recorded:
        The snapshot's record.
    present:
        The other Python; this one by default.
    """
    present = here(recorded) if present is None else present
    rows = [*_python(recorded, present)]
    for name, version in recorded.packages.items():
        other = present.packages.get(name, "")
        if not other:
            rows.append(Difference(name, version, "", fatal=True, advice=f"pip install {name}=={version}"))
        elif other != version:
            rows.append(Difference(name, version, other, advice=f"pip install {name}=={version}"))
        elif _unlike(recorded.hashes.get(name), present.hashes.get(name)):
            rows.append(Difference(name, version, f"{other}, other files", advice="another build, or changed by hand"))
    return Differences(tuple(rows))


def _python(recorded: Environment, present: Environment) -> Iterable[Difference]:
    if _unlike(recorded.implementation, present.implementation):
        yield Difference("Python", recorded.implementation, present.implementation, fatal=bool(recorded.bytecode))
    ours, theirs = _minor(present.python), recorded.bytecode or _minor(recorded.python)
    if _unlike(theirs, ours):
        needed = bool(recorded.bytecode)
        advice = f"it holds functions compiled by Python {theirs}, which no other runs" if needed else ""
        yield Difference("Python", recorded.python, present.python, fatal=needed, advice=advice)
    elif _unlike(recorded.python, present.python):
        yield Difference("Python", recorded.python, present.python)
    if _unlike(recorded.machine, present.machine):
        yield Difference("machine", recorded.machine, present.machine)
    elif _unlike(recorded.platform, present.platform):
        yield Difference("platform", recorded.platform, present.platform)


def _unlike(one: str | None, other: str | None) -> bool:
    """Whether both are known, and not the same."""
    return bool(one) and bool(other) and one != other


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _environment(packages: dict[str, str], bytecode: str) -> Environment:
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        executable=sys.executable,
        packages=packages,
        implementation=platform.python_implementation(),
        machine=platform.machine(),
        bytecode=bytecode,
        hashes={name: found for name, version in packages.items() if (found := content_hash(name, version))},
    )


@functools.cache
def content_hash(name: str, version: str) -> str:  # noqa: ARG001  # another version is another question
    """SHA-256 over the list of an installed distribution's files and their hashes; empty when it keeps none.

    What installers write themselves is left out, so that it is the same wherever the same wheel is installed.

    Parameters
    ----------
    name, version:
        The distribution.
    """
    try:
        record = metadata.distribution(name).read_text("RECORD") or ""
    except metadata.PackageNotFoundError:
        return ""
    lines = sorted(line for line in record.splitlines() if ",sha256=" in line and _is_content(line.partition(",")[0]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def _is_content(path: str) -> bool:
    return not path.startswith(("..", "/")) and ".dist-info/" not in path and not path.endswith(".pyc")


def _tops(modules: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"__main__", "None", ""}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _owners_of(top: str) -> list[str]:
    found = _owners().get(top)
    if found is None and top in sys.modules and top not in _asked:  # installed since the notebook was started
        _asked.add(top)
        _owners.cache_clear()
        found = _owners().get(top)
    return found or []


_asked: set[str] = set()
"""Modules that no distribution was found for even after looking again: files of the user's own."""


@functools.cache
def _owners() -> dict[str, list[str]]:
    """Top-level module to distributions; read once, because it opens every distribution's metadata."""
    return dict(metadata.packages_distributions())
