"""Where a snapshot was captured: interpreter, platform, and the distributions its modules come from."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
from collections.abc import Iterable
from importlib import metadata

from jupyter_mlops.objects import PYTHON
from jupyter_mlops.schema.snapshots import Environment


def environment(modules: Iterable[str], *, bytecode: bool = False) -> Environment:
    """Describe this Python, with the distributions that the modules belong to.

    Parameters
    ----------
    modules:
        Names of modules that the captured code and objects use.
    bytecode:
        Whether the snapshot holds compiled functions, which bind it to this Python.
    """
    packages = _packages(modules)
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        executable=sys.executable,
        packages=packages,
        implementation=platform.python_implementation(),
        machine=platform.machine(),
        bytecode=PYTHON if bytecode else "",
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


def _packages(modules: Iterable[str]) -> dict[str, str]:
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"__main__", "None", ""}
    owners = _owners()
    names = {distribution for top in tops for distribution in owners.get(top, ())}
    return {name: metadata.version(name) for name in sorted(names)}


@functools.cache
def _owners() -> dict[str, list[str]]:
    """Top-level module to distributions; read once, because it opens every distribution's metadata."""
    return dict(metadata.packages_distributions())
