"""Turns an OpenAPI 3.1 document of ours into Swagger 2.0, for the client generators of Machine Learning Server's users.

Successes are listed one by one and every refusal under `default`, as Machine Learning Server did: old generators
take each listed status for a success, and would change the types that methods return.
"""

from __future__ import annotations

from typing import Any

from jupyter_mlops.schema.openapi import REFERENCE

_JSON = "application/json"
_FORM = "multipart/form-data"
_KEPT = {
    "type", "format", "title", "description", "required", "enum", "default", "minimum", "maximum", "minLength",
    "maxLength", "pattern", "minItems", "maxItems",
}  # fmt: skip
"""Keywords of JSON Schema that mean the same in Swagger 2.0."""
_EMPTY: list[tuple[str, Any]] = [("default", None), ("required", [])]
"""What Swagger 2.0 does not allow."""

Document = dict[str, Any]


def swagger2(document: Document) -> Document:
    """Say in Swagger 2.0 what an OpenAPI 3.1 document of ours says.

    Parameters
    ----------
    document:
        From `openapi.openapi`.
    """
    components = document["components"]["schemas"]
    enums = {name: schema for name, schema in components.items() if "enum" in schema}
    convert = _Schemas(enums)
    return {
        "swagger": "2.0",
        "info": document["info"],
        "schemes": ["http", "https"],
        "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
        "tags": document["tags"],
        "consumes": [_JSON],
        "produces": [_JSON],
        "paths": {
            path: {method: _operation(operation, convert) for method, operation in operations.items()}
            for path, operations in document["paths"].items()
        },
        "definitions": {name: convert.schema(schema) for name, schema in components.items() if name not in enums},
    }


class _Schemas:
    """Converts schemas; enumerations, which have no name in Swagger 2.0 documents of old, stand where they are used."""

    def __init__(self, enums: Document) -> None:
        self._enums = enums

    def schema(self, schema: Document) -> Document:
        name = schema.get("$ref", "").removeprefix(REFERENCE)
        if name in self._enums:
            described = {"description": schema["description"]} if "description" in schema else {}
            return self.schema(self._enums[name]) | described
        if name:
            return {"$ref": f"#/definitions/{name}"}
        if "anyOf" in schema:
            return self._any(schema)
        if isinstance(schema.get("type"), list):
            return self._any(schema | {"anyOf": [{"type": kind} for kind in schema["type"]]})
        return self._plain(schema)

    def _plain(self, schema: Document) -> Document:
        made = {key: value for key, value in schema.items() if key in _KEPT and (key, value) not in _EMPTY}
        if "const" in schema:
            made["enum"] = [schema["const"]]
        if schema.get("contentEncoding") == "base64":
            made["format"] = "byte"
        if made.get("type") == "array":
            made["items"] = self.schema(schema.get("items") or {})
        if "properties" in schema:
            made["properties"] = {key: self.schema(value) for key, value in schema["properties"].items()}
        if "additionalProperties" in schema:
            further = schema["additionalProperties"]
            made["additionalProperties"] = further if isinstance(further, bool) else self.schema(further)
        return made

    def _any(self, schema: Document) -> Document:
        """One of several: Swagger 2.0 knows only "or null"; more alternatives become any value."""
        kinds = [kind for kind in schema["anyOf"] if kind != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key not in {"anyOf", "type"}}
        nullable = {"x-nullable": True} if len(kinds) < len(schema["anyOf"]) else {}
        if len(kinds) > 1:
            return self.schema(rest)
        if "$ref" in kinds[0]:
            made = self.schema(kinds[0])
            return {"allOf": [made], **nullable} if "$ref" in made else made | self.schema(rest) | nullable
        return self.schema(kinds[0] | rest) | nullable


def _operation(operation: Document, convert: _Schemas) -> Document:
    made = {
        key: value
        for key, value in operation.items()
        if key not in {"parameters", "requestBody", "responses", "x-roles"}
    }
    made.pop("x-codegen-request-body-name", None)
    made["parameters"] = [_parameter(one) for one in operation["parameters"] if one["in"] != "header"]
    made["responses"] = _responses(operation["responses"], convert)
    if "requestBody" in operation:
        ((media_type, content),) = operation["requestBody"]["content"].items()
        if media_type == _FORM:
            made["parameters"] += _form(content["schema"])
        else:
            body = {"name": operation["x-codegen-request-body-name"], "in": "body", "required": True}
            made["parameters"].append({**body, "schema": convert.schema(content["schema"])})
        if media_type != _JSON:
            made["consumes"] = [media_type]
    given = {media_type for response in operation["responses"].values() for media_type in response.get("content", ())}
    if given - {_JSON}:
        made["produces"] = sorted(given, key=lambda media_type: media_type == _JSON)
    return made


def _parameter(parameter: Document) -> Document:
    rest = {key: value for key, value in parameter.items() if key != "schema"}
    return {**rest, **parameter["schema"]}


def _form(schema: Document) -> list[Document]:
    return [
        {
            "name": name,
            "in": "formData",
            "required": name in schema.get("required", ()),
            "description": field["description"],
            "type": "file" if field.get("format") == "binary" else "string",
        }
        for name, field in schema["properties"].items()
    ]


def _responses(responses: Document, convert: _Schemas) -> Document:
    made: Document = {}
    refused = []
    error = None
    for status, response in responses.items():
        content = response.get("content", {})
        schema = next((each["schema"] for each in content.values()), None)
        if schema == {"$ref": f"{REFERENCE}Error"}:
            refused.append(f"* `{status}` - {response['description']}")
            error = schema
            continue
        made[status] = {"description": response["description"]}
        if schema is not None:
            # Bytes are a string of format binary: openapi-spec-validator takes no `type: file`.
            made[status]["schema"] = convert.schema(schema)
    if error:
        made["default"] = {"description": "\n".join(refused), "schema": convert.schema(error)}
    return made
