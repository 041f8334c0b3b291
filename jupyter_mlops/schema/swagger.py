"""The Swagger 2.0 document of one service, in the shape that Machine Learning Server gave client generators.

One generated client does both authentication and consumption, which is why the login stands inside.
"""

from __future__ import annotations

from typing import Any

from jupyter_mlops.schema.services import ServiceView
from jupyter_mlops.schema.types import Parameter, ValueType

_JSON_TYPES: dict[ValueType, dict[str, Any]] = {
    ValueType.INTEGER: {"type": "integer"},
    ValueType.NUMERIC: {"type": "number"},
    ValueType.CHARACTER: {"type": "string"},
    ValueType.LOGICAL: {"type": "boolean"},
    ValueType.VECTOR: {"type": "array", "items": {"type": "object"}},
    ValueType.MATRIX: {"type": "array", "items": {"type": "array", "items": {"type": "object"}}},
    ValueType.DATA_FRAME: {"type": "object"},
}


def service_swagger(service: ServiceView) -> dict[str, Any]:
    """Describe a service for Swagger 2.0 tools.

    Parameters
    ----------
    service:
        The version to describe.
    """
    return {
        "swagger": "2.0",
        "info": {"description": service.description or "", "title": service.name, "version": service.version},
        "schemes": ["http", "https"],
        "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
        "tags": [{"name": service.name, "description": ""}],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "paths": _login_paths() | _consume_paths(service),
        "definitions": _definitions(service),
    }


def _parameters(parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    document: dict[str, Any] = {"type": "object"}
    if parameters:
        document["properties"] = {p.name: _property(p) for p in parameters}
    return document


def _property(parameter: Parameter) -> dict[str, Any]:
    described = {**_JSON_TYPES[parameter.type], "description": str(parameter.type)}
    if parameter.type is ValueType.CHARACTER and parameter.format:
        described["format"] = parameter.format
    return described


def _consume_paths(service: ServiceView) -> dict[str, Any]:
    operation = {
        "security": [{"Bearer": []}],
        "tags": [service.name],
        "description": f"Consume the {service.name} web service.",
        "operationId": service.operation_id or "ConsumeWebService",
        "parameters": [
            {
                "name": "WebServiceParameters",
                "in": "body",
                "required": True,
                "description": "Input parameters to the web service.",
                "schema": {"$ref": "#/definitions/InputParameters"},
            }
        ],
        "responses": _responses("#/definitions/WebServiceResult"),
    }
    return {f"/api/{service.name}/{service.version}": {"post": operation}}


def _login_paths() -> dict[str, Any]:
    def operation(name: str, description: str, parameter: dict[str, Any], schema: str | None) -> dict[str, Any]:
        ok: dict[str, Any] = {"description": "OK"}
        if schema:
            ok["schema"] = {"$ref": schema}
        refused = {"description": "Unauthorized.", "schema": {"$ref": "#/definitions/Error"}}
        return {
            "tags": ["Authentication"],
            "description": description,
            "operationId": name,
            "parameters": [parameter],
            "responses": {"200": ok, "401": refused},
        }

    def body(name: str, schema: str) -> dict[str, Any]:
        return {"name": name, "in": "body", "required": True, "schema": {"$ref": f"#/definitions/{schema}"}}

    query = {"name": "refreshToken", "in": "query", "required": True, "type": "string"}
    tokens = "#/definitions/AccessTokenResponse"
    return {
        "/login": {"post": operation("login", "Log in.", body("loginRequest", "LoginRequest"), tokens)},
        "/login/refreshToken": {
            "post": operation(
                "renewToken", "Renew the tokens.", body("renewTokenRequest", "RenewTokenRequest"), tokens
            ),
            "delete": operation("revokeRefreshToken", "End the login.", query, None),
        },
    }


def _responses(schema: str) -> dict[str, Any]:
    error = {"$ref": "#/definitions/Error"}
    sentences = {
        "400": "The inputs do not fit.",
        "401": "No valid token.",
        "404": "No such service or version.",
        "502": "The kernel ended during the call.",
        "503": "No room now; see Retry-After.",
        "504": "The call ran past its deadline.",
        "default": "Unexpected error.",
    }
    refused = {status: {"description": text, "schema": error} for status, text in sentences.items()}
    return {"200": {"description": "OK", "schema": {"$ref": schema}}, **refused}


def _definitions(service: ServiceView) -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "InputParameters": _parameters(service.input_parameter_definitions),
        "OutputParameters": _parameters(service.output_parameter_definitions),
        "Error": _object(
            code={"type": "integer", "format": "int32"},
            message=text,
            fields=text,
            link=text,
            exceptionType=text,
        ),
        "WebServiceResult": _object(
            success={"type": "boolean", "description": "Whether the execution succeeded."},
            errorMessage={"type": "string", "description": "What went wrong, when it did not."},
            consoleOutput={"type": "string", "description": "What the execution printed."},
            changedFiles={"type": "array", "items": text, "description": "Names of the files it modified."},
            outputFiles={"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
            outputParameters={"$ref": "#/definitions/OutputParameters"},
        ),
        "LoginRequest": _object(username=text, password=text),
        "RenewTokenRequest": _object(refreshToken=text),
        "AccessTokenResponse": _object(
            token_type=text,
            access_token=text,
            expires_in={"type": "integer", "format": "int32"},
            expires_on={"type": "integer", "format": "int64"},
            refresh_token=text,
        ),
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}
