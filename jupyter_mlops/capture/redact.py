"""Cells as they may be kept: without the secrets that are written in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from jupyter_mlops.capture.secrets import find_secrets
from jupyter_mlops.schema.snapshots import Source

REDACTED = '"..."'


def redacted_source(source: Source) -> Source:
    """Redact a cell that goes along for tracebacks: all of it does, not only the function.

    Parameters
    ----------
    source:
        The cell.
    """
    try:
        return Source(filename=source.filename, text=redacted(source.text, ast.parse(source.text)))
    except (SyntaxError, ValueError, RecursionError):  # what cannot be read cannot be shown to be harmless
        return Source(filename=source.filename, text="")


def redacted(source: str, tree: ast.AST) -> str:
    """Replace every text in a cell that looks like a secret.

    Parameters
    ----------
    source:
        The cell's Python.
    tree:
        The same, parsed.
    """
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    content = source.encode()
    places = sorted({_place(node, starts) for node, _ in secret_texts(tree)}, reverse=True)
    for start, end in places:
        lines_in = content[start:end].count(b"\n")
        kept = f'"""...{chr(10) * lines_in}"""' if lines_in else REDACTED  # the lines below keep their numbers
        content = content[:start] + kept.encode() + content[end:]
    return content.decode()


def secret_texts(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Texts that look like secrets, by themselves or by the name they are given, and what they look like.

    Parameters
    ----------
    tree:
        Parsed Python.
    """
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    named = {id(value): name for node in ast.walk(tree) for name, value in _named(node)}
    for node in ast.walk(tree):
        text: object = None
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and id(node) not in inside:
            text = node.value
        found = find_secrets(named.get(id(node), "text"), text) if isinstance(text, str | bytes) else []
        if found:
            assert isinstance(node, ast.expr)
            yield node, found[0].text


def _named(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Values and what the code calls them: variables, attributes, keys, keywords, defaults."""
    match node:
        case ast.Assign(targets=targets, value=value):
            yield from ((name, value) for target in targets for name in _name(target))
        case ast.AnnAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
            yield from ((name, value) for name in _name(target))
        case ast.Dict(keys=keys, values=values):
            yield from ((name, value) for key, value in zip(keys, values, strict=True) for name in _text(key))
        case ast.keyword(arg=str() as name, value=value):
            yield name, value
        case ast.Compare(left=ast.Name(id=name), comparators=[value]):
            yield name, value
        case ast.arguments():
            named = [*node.posonlyargs, *node.args]
            yield from ((one.arg, value) for one, value in zip(named[::-1], node.defaults[::-1], strict=False))
            yield from ((one.arg, value) for one, value in zip(node.kwonlyargs, node.kw_defaults, strict=True))
        case _:
            pass


def _text(key: ast.expr | None) -> Iterator[str]:
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        yield key.value


def _name(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield name
        case ast.Subscript(slice=ast.Constant(value=str() as name)):
            yield name
        case _:
            pass


def _place(node: ast.expr, starts: list[int]) -> tuple[int, int]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
