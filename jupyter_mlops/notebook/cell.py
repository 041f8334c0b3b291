"""Run a cell and find the function that it defines last."""

from __future__ import annotations

import ast
from typing import Any

from IPython.core.error import UsageError


def run(shell: Any, cell: str) -> None:
    """Run a cell as the user would, and stop when it raises.

    Parameters
    ----------
    shell:
        The IPython shell.
    cell:
        The cell's text below the magic's line.

    Raises
    ------
    UsageError
        When the cell raised; its own traceback is shown already.
    """
    outer, count = shell.displayhook.exec_result, shell.execution_count
    # IPython has counted on already; the code belongs to the cell that is running, and is named after it.
    shell.execution_count = max(len(shell.history_manager.input_hist_raw) - 1, 1)
    try:
        result = shell.run_cell(cell, store_history=False)
    finally:
        shell.execution_count = count
        shell.displayhook.exec_result = outer  # the value of the whole cell is the service
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        raise UsageError(f"nothing was published, because the cell raised {type(error).__name__}: {error}")


def last_function(shell: Any, cell: str) -> str:
    """Name of the function that a cell defines last.

    Parameters
    ----------
    shell:
        The IPython shell, which knows how to read magics in the text.
    cell:
        The cell's text.

    Raises
    ------
    UsageError
        When it defines none.
    """
    tree = ast.parse(shell.transform_cell(cell))
    names = [name for statement in tree.body for name in _defined(statement)]
    if not names:
        raise UsageError(
            "the cell defines no function, so there is nothing to publish; put a `def` into it, name one with "
            "--function, or use `%publish FUNCTION NAME` for what exists already"
        )
    return names[-1]


def _defined(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [statement.name]
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda()):
            return [name]
        case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
            inner = [*statement.body, *getattr(statement, "orelse", []), *getattr(statement, "finalbody", [])]
            inner += [child for handler in getattr(statement, "handlers", []) for child in handler.body]
            return [name for child in inner for name in _defined(child)]
        case _:
            return []


def bound_names(tree: ast.Module) -> list[str]:
    """Names that a cell's own statements give something to, in their order; one that is given twice comes twice."""
    names = []
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement]
        for target in targets:
            names += [
                node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            ]
    return names
