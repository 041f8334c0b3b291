"""Makes the OpenAPI 3.1 document of declared operations; the schemas come from the wire types themselves."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, get_args

import msgspec

from jupyter_mlops.schema.errors import ErrorBody
from jupyter_mlops.schema.operations import REASONS, TAGS, Argument, Content, Form, Operation

REFERENCE = "#/components/schemas/"
_JSON = "application/json"
_KINDS = {str: "string", int: "integer", bool: "boolean"}

_NAMES = {
    "ErrorBody": "Error",
    "Parameter": "ParameterDefinition",
    "PoolStatus": "ServicePoolStatusResponse",
    "PublishRequest": "PublishWebServiceRequest",
    "RefreshRequest": "RenewTokenRequest",
    "ServiceView": "WebService",
    "Snapshot": "KeptSnapshot",
    "SnapshotView": "Snapshot",
    "TokenResponse": "AccessTokenResponse",
}
"""Our classes whose name on the wire is another, Machine Learning Server's: generated clients have classes of it."""


def openapi(operations: Iterable[Operation], info: dict[str, str], server: str) -> dict[str, Any]:
    """Describe operations.

    Parameters
    ----------
    operations:
        What to describe, in order; those that are not shown are left out.
    info:
        `title`, `version` and `description` of the document.
    server:
        Where the operations are, relative to the document, so that a prefix in front of both does no harm.
    """
    shown = [operation for operation in operations if operation.shown]
    types = _types(shown)
    schemas, components = _schemas(types)
    paths: dict[str, dict[str, Any]] = {}
    for operation in shown:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": info,
        "servers": [{"url": server}],
        "tags": [{"name": tag, "description": text} for tag, text in TAGS.items() if any(o.tag == tag for o in shown)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"Bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _types(operations: list[Operation]) -> dict[str, Any]:
    """Every JSON body by a key of its own."""
    found: dict[str, Any] = {"error": ErrorBody}
    for operation in operations:
        for key, kind in (("takes", operation.takes), *operation.gives.items()):
            if kind is not None and not isinstance(kind, Content | Form):
                found[f"{operation.id}:{key}"] = kind
    return found


def _schemas(types: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of each body, and the named ones that they refer to."""
    made, components = msgspec.json.schema_components(types.values(), ref_template=REFERENCE + "{name}")
    for kind in {kind for one in types.values() for kind in structs(one)}:
        texts = _texts(kind)
        for field in msgspec.structs.fields(kind):
            properties = components[kind.__name__]["properties"]
            if field.name in texts and field.encode_name in properties:
                properties[field.encode_name]["description"] = texts[field.name]
    text = json.dumps([dict(zip(types, made, strict=True)), components])
    for ours, theirs in _NAMES.items():
        text = text.replace(f'"{REFERENCE}{ours}"', f'"{REFERENCE}{theirs}"')
    schemas, components = json.loads(text, object_hook=_typed)
    named = {_NAMES.get(name, name): schema for name, schema in components.items()}
    for name, schema in named.items():
        schema["title"] = name
        schema["description"] = inspect.cleandoc(schema["description"])
    return schemas, dict(sorted(named.items()))


def _typed(schema: dict[str, Any]) -> dict[str, Any]:
    """Say of an enumeration that it is of strings, as ours all are: some generators ask for a type."""
    return {"type": "string"} | schema if isinstance(schema.get("enum"), list) else schema


def structs(kind: Any, seen: set[Any] | None = None) -> Iterator[type[msgspec.Struct]]:
    """Every struct class that a type is made of.

    Parameters
    ----------
    kind:
        Any type that msgspec knows.
    seen:
        What has been found already.
    """
    seen = set() if seen is None else seen
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in seen:
        seen.add(kind)
        yield kind
        for field in msgspec.structs.fields(kind):
            yield from structs(field.type, seen)
    for part in get_args(kind):
        yield from structs(part, seen)


@cache
def _texts(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The sentence under each attribute of a class, by the attribute's name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(after, ast.Expr):
            found[before.target.id] = " ".join(ast.literal_eval(after.value).split())
    return found


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [*map(_path, operation.parameters), *map(_argument, operation.arguments)],
        "responses": _responses(operation, schemas),
        "security": [{"Bearer": []}] if operation.action else [],
    }
    described = {key: value for key, value in described.items() if value != ""}
    if operation.action:
        described["x-roles"] = list(operation.roles)
    if operation.takes is not None:
        described["x-codegen-request-body-name"] = operation.body
        content = _content(operation.takes, schemas.get(f"{operation.id}:takes"))
        described["requestBody"] = {"required": True, "content": content}
    return described


def _path(name: str) -> dict[str, Any]:
    kind = "integer" if name == "index" else "string"  # the one number among the names
    return {"name": name, "in": "path", "required": True, "schema": {"type": kind}}


def _argument(argument: Argument) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _KINDS[argument.kind]}
    if argument.least is not None:
        schema["minimum"] = argument.least
    return {
        "name": argument.name,
        "in": argument.place,
        "description": argument.text,
        "required": argument.required,
        "schema": schema,
    }


def _responses(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for status, kind in operation.gives.items():
        text = kind.text if isinstance(kind, Content) and kind.text else _GIVEN.get(status, "OK")
        given[str(status)] = {"description": text}
        if kind is not None:
            given[str(status)]["content"] = _content(kind, schemas.get(f"{operation.id}:{status}"))
    refused = {
        str(status): {"description": REASONS[status], "content": {_JSON: {"schema": schemas["error"]}}}
        for status in operation.refuses
    }
    return given | refused


_GIVEN = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "Done; there is nothing to say",
    422: "The function raised, and the request asked for a status of its own (`Prefer: status=strict`)",
}


def _content(kind: Any, schema: Any) -> dict[str, Any]:
    if isinstance(kind, Content):
        text = kind.media_type.startswith("text/")
        return {kind.media_type: {"schema": {"type": "string"} if text else {"type": "string", "format": "binary"}}}
    if isinstance(kind, Form):
        fields = {
            part.name: {"type": "string", "description": part.text} | ({"format": "binary"} if part.file else {})
            for part in kind.parts
        }
        form: dict[str, Any] = {"type": "object", "properties": fields}
        if required := [part.name for part in kind.parts if part.required]:
            form["required"] = required
        return {"multipart/form-data": {"schema": form}}
    return {_JSON: {"schema": schema}}
