"""Modules that lie beside the notebook: no interpreter has them installed, so their files go along."""

from __future__ import annotations

import ast
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path


def local_modules(modules: Iterable[str], directory: Path) -> dict[str, Path]:
    """Find the source files of the modules that are imported from a directory, and of those that they import.

    Parameters
    ----------
    modules:
        Names of modules that the captured code and objects use.
    directory:
        The working directory; a scoring kernel imports from its own one.

    Returns
    -------
    dict of str to Path
        Relative path with forward slashes, to the file.
    """
    found: dict[str, Path] = {}
    queue = deque(dict.fromkeys(name.partition(".")[0] for name in modules))
    seen: set[str] = set()
    while queue:
        top = queue.popleft()
        if top in seen or top in sys.stdlib_module_names or top in {"jupyter_mlops", "__main__"}:
            continue
        seen.add(top)
        for path in _sources(top, directory):
            found[path.relative_to(directory).as_posix()] = path
            queue.extend(_imports(path))
    return found


def _sources(top: str, directory: Path) -> Iterator[Path]:
    """The files of a module or package of the directory; none when another one of that name is in use."""
    single, package = directory / f"{top}.py", directory / top / "__init__.py"
    entry = package if package.is_file() else single
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if not entry.is_file() or (loaded is not None and Path(loaded).resolve() != entry.resolve()):
        return
    if entry is single:
        yield single
    else:
        yield from sorted(package.parent.rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # it says so itself when it is imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
