"""What each verb declares about itself, and the walk over the page of URLs that collects it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tornado.web import RequestHandler

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import Argument, Operation

METHODS = ("get", "post", "put", "patch", "delete")

V = TypeVar("V", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What stands beside a verb; the rest of an operation is told by its route, signature and docstring."""

    id: str
    tag: str
    action: Action | None
    takes: Any
    body: str
    gives: Mapping[int, Any]
    refuses: tuple[int, ...]
    arguments: tuple[Argument, ...]
    path: tuple[str, ...]
    also: Mapping[str, str]
    shown: bool


def operation(
    id: str,  # noqa: A002  # the word of the documents
    tag: str,
    action: Action | None,
    *,
    takes: Any = None,
    body: str = "",
    gives: Mapping[int, Any] | None = None,
    refuses: tuple[int, ...] = (),
    arguments: tuple[Argument, ...] = (),
    path: tuple[str, ...] = (),
    also: Mapping[str, str] | None = None,
    shown: bool = True,
) -> Callable[[V], V]:
    """Declare a verb of a handler: the documents, the table of operations and their tests are made of this.

    Parameters
    ----------
    id:
        Name of the method in generated clients; Machine Learning Server's where it had one.
    tag:
        Group, from `schema.operations`.
    action:
        What the caller's role must allow; None when no credential is needed. This says what the managers enforce
        and enforces nothing; a test compares the two.
    takes:
        A wire type, a `Content`, a `Form`, or None.
    body:
        Name of the body in generated clients, if it is not that of the type.
    gives:
        Status to a wire type, a `Content`, or None; text with status 200 if left out.
    refuses:
        Statuses of refusals besides 401, 403, 400 where the path varies, and 413 where there is a body.
    arguments:
        Parameters in query and header.
    path:
        Names of the path's variable parts, if they are not those of the verb's parameters in camel case.
    also:
        Other ids, by the end of the path, for a verb that several routes share.
    shown:
        Whether the documents list it.
    """
    named = body or (f"{takes.__name__[0].lower()}{takes.__name__[1:]}" if isinstance(takes, type) else "body")
    always = {403} | ({401} if action else set()) | ({413} if takes is not None else set())

    def mark(verb: V) -> V:
        verb.declaration = Declaration(  # type: ignore[attr-defined]  # functions take attributes
            id=id,
            tag=tag,
            action=action,
            takes=takes,
            body=named,
            gives={200: str} if gives is None else gives,
            refuses=tuple(sorted(always.union(refuses))),
            arguments=arguments,
            path=path,
            also=also or {},
            shown=shown,
        )
        return verb

    return mark


def verbs(routes: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Every verb of every route: the route's pattern, the method in lower case, and the function."""
    for pattern, handler in routes:
        for method in METHODS:
            verb = getattr(handler, method)
            if verb is not RequestHandler._unimplemented_method:  # noqa: SLF001  # tornado has no other way to tell
                yield pattern, method, verb


def operations(routes: Iterable[tuple[str, Any]]) -> list[Operation]:
    """Collect what the verbs of some routes declare.

    Parameters
    ----------
    routes:
        Patterns with their handlers.
    """
    found = []
    for pattern, method, verb in verbs(routes):
        declared: Declaration | None = getattr(verb, "declaration", None)
        if declared is not None:
            found.append(_operation(pattern, method, verb, declared))
    return found


def _operation(pattern: str, method: str, verb: Callable[..., Any], declared: Declaration) -> Operation:
    variable = list(re.finditer(r"\([^()]*\)", pattern))
    signature = list(inspect.signature(verb).parameters)[1 : len(variable) + 1]
    names = declared.path[: len(variable)] or tuple(map(_camel, signature))
    template = pattern
    for part, name in zip(reversed(variable), reversed(names), strict=True):
        template = f"{template[: part.start()]}{{{name}}}{template[part.end() :]}"
    template = template.replace("\\", "")
    summary, _, description = inspect.getdoc(verb).partition("\n")  # type: ignore[union-attr]  # ruff asks for one
    return Operation(
        id=next((name for end, name in declared.also.items() if template.endswith(end)), declared.id),
        tag=declared.tag,
        method=method,
        path=template,
        parameters=names,
        summary=summary.rstrip("."),
        description=description.strip(),
        action=declared.action,
        takes=declared.takes,
        body=declared.body,
        gives=declared.gives,
        refuses=tuple(sorted({400, *declared.refuses})) if names else declared.refuses,
        arguments=declared.arguments,
        shown=declared.shown,
    )


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
