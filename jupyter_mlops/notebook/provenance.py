"""Where a published function came from: the notebook, the cells, the git commit."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from jupyter_mlops.capture.redact import redacted
from jupyter_mlops.schema.revisions import Cell, Provenance

GIT_SECONDS = 2.0
CELLS_LIMIT = 1_000
"""How many cells of the session are looked at, the last ones."""
SOURCE_LIMIT = 256 * 1024
"""Characters of cells that are kept."""

_MAGIC_LINE = re.compile(r"\s*%%[^\n]*(\n|$)")


@dataclass(frozen=True)
class _Read:
    """A cell that was run: what it gives a name, and which names' objects it changes."""

    count: int
    source: str
    binds: frozenset[str]
    changes: frozenset[str]


def provenance(shell: Any, names: Iterable[str]) -> Provenance:
    """Tell where captured objects came from, as far as it can be told; this never fails.

    Parameters
    ----------
    shell:
        The IPython shell.
    names:
        Names that were captured.
    """
    commit, dirty = git_state(Path.cwd())
    return Provenance(notebook=notebook_name(shell), cells=tuple(cells_of(shell, names)), commit=commit, dirty=dirty)


def notebook_name(shell: Any) -> str:
    """File name of the notebook, as Jupyter or VS Code tell it; empty when nobody does."""
    path = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or ""
    return PureWindowsPath(path).name if isinstance(path, str) else ""  # reads both kinds of slashes


def cells_of(shell: Any, names: Iterable[str]) -> list[Cell]:
    """The cells, in their order, in which the names were last given, and those that changed them since.

    Parameters
    ----------
    shell:
        The IPython shell.
    names:
        Names of its namespace.
    """
    history = list(shell.history_manager.input_hist_raw)
    first = max(1, len(history) - CELLS_LIMIT)
    read = [one for count in range(first, len(history)) for one in _read(shell, count, history[count])]
    wanted: set[int] = set()
    for name in names:
        made = max((one.count for one in read if name in one.binds), default=None)
        if made is not None:
            wanted |= {made, *(one.count for one in read if one.count > made and name in one.changes)}
    found: list[Cell] = []
    left = SOURCE_LIMIT
    for one in read:
        left -= len(one.source) if one.count in wanted else 0
        if one.count in wanted and left >= 0:
            found.append(Cell(source=one.source, execution_count=one.count))
    return found


def git_state(folder: Path) -> tuple[str, bool]:
    """The commit of a folder and whether files differ from it; empty and False without git, or when git takes long.

    Parameters
    ----------
    folder:
        The working directory.
    """
    git = shutil.which("git")
    if git is None:
        return "", False
    # A monitor is a program that the repository's settings name; a publish runs none.
    command = [git, "-c", "core.fsmonitor=false", "-C", str(folder), "status", "--porcelain=v2", "--branch"]
    try:
        answer = subprocess.run(
            [*command, "--untracked-files=no"],
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return "", False
    lines = answer.stdout.decode(errors="replace").splitlines() if answer.returncode == 0 else []
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if not commits or commits[0] == "(initial)":
        return "", False
    return commits[0], any(not line.startswith("#") for line in lines)


def _read(shell: Any, count: int, raw: str) -> Iterator[_Read]:
    """What a cell does; nothing for one that is no Python."""
    body = _MAGIC_LINE.sub("", raw, count=1) if _MAGIC_LINE.match(raw) else raw
    try:
        tree = ast.parse(body)
        kept = redacted(body, tree)
    except (SyntaxError, ValueError, RecursionError):
        try:
            transformed = shell.transform_cell(body)
            tree = ast.parse(transformed)
            kept = redacted(transformed, tree)
        except (SyntaxError, ValueError, RecursionError):
            return
    magic = raw[: len(raw) - len(body)]
    looked = _Names()
    looked.visit(tree)
    yield _Read(count, magic + kept, frozenset(looked.binds), frozenset(looked.changes))


class _Names(ast.NodeVisitor):
    """Names that a cell's own level binds, and those whose objects it changes."""

    def __init__(self) -> None:
        self.binds: set[str] = set()
        self.changes: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        """A definition binds its name; what is inside is its own."""
        self.binds.add(node.name)

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """What is inside is its own."""

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        """An import binds the first part of the name, or what it is imported as."""
        self.binds |= {(one.asname or one.name).partition(".")[0] for one in node.names}

    visit_ImportFrom = visit_Import  # noqa: N815

    def visit_Name(self, node: ast.Name) -> None:
        """An assignment binds."""
        if isinstance(node.ctx, ast.Store):
            self.binds.add(node.id)

    def visit_Attribute(self, node: ast.Attribute | ast.Subscript) -> None:
        """An assignment to a part changes the whole."""
        if isinstance(node.ctx, ast.Store | ast.Del):
            self._change(node)
        self.generic_visit(node)

    visit_Subscript = visit_Attribute  # noqa: N815

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call of a method whose value is not used is there for what it changes, as in `model.fit(X, y)`."""
        if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
            self._change(node.value.func)
        self.generic_visit(node)

    def _change(self, node: ast.expr) -> None:
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name):
            self.changes.add(node.id)
