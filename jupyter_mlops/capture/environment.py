"""Where a snapshot was captured: interpreter, platform, and the distributions its modules come from."""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Iterable
from importlib import metadata

from jupyter_mlops.schema.snapshots import Environment


def environment(modules: Iterable[str]) -> Environment:
    """Describe this Python, with the versions of the distributions that the modules belong to.

    Parameters
    ----------
    modules:
        Names of modules that the captured code and objects use.
    """
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        executable=sys.executable,
        packages=_packages(modules),
    )


def _packages(modules: Iterable[str]) -> dict[str, str]:
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"__main__", "None", ""}
    owners = _owners()
    names = {distribution for top in tops for distribution in owners.get(top, ())}
    return {name: metadata.version(name) for name in sorted(names)}


@functools.cache
def _owners() -> dict[str, list[str]]:
    """Top-level module to distributions; read once, because it opens every distribution's metadata."""
    return dict(metadata.packages_distributions())
