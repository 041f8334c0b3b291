"""The two documents of one service: OpenAPI 3.1, and Swagger 2.0 in the shape that Machine Learning Server gave.

Both hold the login beside the calls, so that one generated client does authentication and consumption.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import msgspec

from jupyter_mlops.container import CellType, InputColumn, OutputColumn
from jupyter_mlops.schema.openapi import REFERENCE, openapi
from jupyter_mlops.schema.operations import AUTHENTICATION, Operation
from jupyter_mlops.schema.services import ServiceView
from jupyter_mlops.schema.swagger2 import swagger2
from jupyter_mlops.schema.types import Parameter, ValueType

Document = dict[str, Any]

_ANY = "/api/{name}/{version}"
_PLACE = "../../.."
"""From `/api/NAME/VERSION/openapi.json` to the root of the server, whatever prefix stands in front."""
_USER = "User"
_TEXTS = {
    "consume": ("description", "Consume the {} web service."),
    "StartBatchExecution": ("description", "Consume the {} web service asynchronously."),
    "GetBatchExecutions": ("summary", "Gets all batch executions for {}."),
    "GetBatchExecutionStatus": ("summary", "Gets the state and the results of a batch execution for {}."),
    "CancelAndDeleteBatchExecution": ("summary", "Cancels and deletes all batch executions for {}."),
    "GetBatchExecutionFiles": ("summary", "Gets all files from an individual execution in {}."),
    "GetBatchExecutionFile": ("summary", "Gets a specific file from an execution in {}."),
}
"""What Machine Learning Server said of each operation."""


class InputParameters(msgspec.Struct):
    """The inputs of one execution, by name."""


def service_openapi(
    service: ServiceView, operations: Iterable[Operation], sample: Mapping[str, Any] | None = None
) -> Document:
    """Describe a service in OpenAPI 3.1.

    Parameters
    ----------
    service:
        The version to describe.
    operations:
        Every operation of the server; those of a service are taken.
    sample:
        Inputs that the version has answered: they are the example, and tell the columns of data frames.
    """
    document = _document(service, operations)
    schemas = document["components"]["schemas"]
    inputs, outputs = service.input_parameter_definitions, service.output_parameter_definitions
    known = sample if isinstance(sample, Mapping) else {}
    schemas["InputParameters"] |= {
        "properties": {p.name: _input(p, service, known.get(p.name)) for p in inputs},
        "required": [p.name for p in inputs],
        "additionalProperties": False,
    }
    schemas["OutputParameters"]["properties"] = {
        p.name: _either(_property(p)) if service.batchable else _output(p, service) for p in outputs
    }
    content = document["paths"][_address(service)]["post"]["requestBody"]["content"]["application/json"]
    if sample is not None:
        content["example"] = sample
    if service.batchable:
        row = content["schema"]
        schemas["InputColumns"] = {
            "title": "InputColumns",
            "description": "The inputs of many executions: by name, a list with one value for each.",
            "type": "object",
            "properties": {p.name: {"type": "array", "items": _property(p)} for p in inputs},
            "required": [p.name for p in inputs],
            "additionalProperties": False,
        }
        columns = {"$ref": f"{REFERENCE}InputColumns"}
        content["schema"] = {"anyOf": [row, {"type": "array", "items": row}, columns]}
    return document


def service_swagger(service: ServiceView, operations: Iterable[Operation]) -> Document:
    """Describe a service in Swagger 2.0; the parameters are those of `service_openapi`."""
    document = swagger2(_document(service, operations))
    definitions = document["definitions"]
    takes, gives = (service.model.inputs, service.model.outputs) if service.model else ((), ())
    definitions["InputParameters"]["properties"] = {
        p.name: _plain(p) | _columns(takes, _SWAGGER_NULL) for p in service.input_parameter_definitions
    }
    definitions["OutputParameters"]["properties"] = {
        p.name: _plain(p) | _columns(gives, _SWAGGER_NULL) for p in service.output_parameter_definitions
    }
    return document


def _document(service: ServiceView, operations: Iterable[Operation]) -> Document:
    mine = [_of(service, operation) for operation in operations if _belongs(operation)]
    mine.sort(key=lambda operation: operation.tag != _USER)  # the login stood first
    info = {"title": service.name, "version": service.version, "description": service.description or ""}
    document = openapi(mine, info, _PLACE)
    document["tags"] = [{"name": service.name, "description": service.description or ""}]
    schemas = document["components"]["schemas"]
    schemas["OutputParameters"] = {
        "title": "OutputParameters",
        "description": "The outputs of one execution, by name; there are none when it failed.",
        "type": "object",
    }
    schemas["WebServiceResult"]["properties"]["outputParameters"] = {"$ref": f"{REFERENCE}OutputParameters"}
    return document


def _belongs(operation: Operation) -> bool:
    return operation.tag == AUTHENTICATION or operation.path == _ANY or operation.path.startswith(f"{_ANY}/batch")


def _of(service: ServiceView, operation: Operation) -> Operation:
    """The operation as it is for one service."""
    alias = service.operation_id or "ConsumeWebService"
    name = alias if operation.id == "consume" else operation.id
    if name == alias and operation.id != "consume":
        name = f"{name}_"  # two methods of one name would not do; the service's own keeps it
    if operation.tag == AUTHENTICATION:
        return replace(operation, id=name, tag=_USER)
    place, text = _TEXTS.get(operation.id, ("summary", f"{operation.summary}."))
    said = text.format(service.name)
    takes = {"consume": InputParameters, "StartBatchExecution": list[InputParameters]}.get(operation.id)
    return replace(
        operation,
        id=name,
        tag=service.name,
        path=operation.path.replace(_ANY, _address(service)),
        parameters=operation.parameters[2:],
        takes=takes or operation.takes,
        summary=said if place == "summary" else "",
        description=said if place == "description" else "",
    )


def _address(service: ServiceView) -> str:
    return f"/api/{quote(service.name)}/{quote(service.version)}"


_PLAIN: dict[ValueType, Document] = {
    ValueType.INTEGER: {"type": "integer"},
    ValueType.NUMERIC: {"type": "number"},
    ValueType.CHARACTER: {"type": "string"},
    ValueType.LOGICAL: {"type": "boolean"},
    ValueType.VECTOR: {"type": "array", "items": {}},
    ValueType.MATRIX: {"type": "array", "items": {"type": "array", "items": {}}},
    ValueType.DATA_FRAME: {"type": "object"},
}


def _plain(parameter: Parameter) -> Document:
    """A parameter as Machine Learning Server described it, and that any value may be null."""
    return {**_PLAIN[parameter.type], "description": str(parameter.type), "x-nullable": True}


_SCALAR: Document = {"type": ["number", "string", "boolean", "null"]}
_ROWS: Document = {"type": "array", "items": _SCALAR}


def _property(parameter: Parameter, known: Any = None) -> Document:
    """A parameter with all that is known of it; `known` is a value that it had."""
    described: Document = {"description": str(parameter.type)}
    match parameter.type:
        case ValueType.VECTOR:
            kind = {"type": ["array", "null"], "items": _SCALAR}
        case ValueType.MATRIX:
            kind = {"type": ["array", "null"], "items": _ROWS}
        case ValueType.DATA_FRAME:
            kind = {"type": ["object", "null"], "additionalProperties": _ROWS}
            if isinstance(known, Mapping):
                kind["properties"] = {name: {"type": "array", "items": _cell(values)} for name, values in known.items()}
        case single:
            kind = {"type": [_PLAIN[single]["type"], "null"]}
            if parameter.format:
                kind["format"] = parameter.format
    return kind | described


def _input(parameter: Parameter, service: ServiceView, known: Any) -> Document:
    """An input; of a realtime service, with the columns that there must be."""
    if service.model is None:
        return _property(parameter, known)
    columns = _columns(service.model.inputs)
    names = list(columns["properties"])
    columns["properties"] |= {name: {"type": "array"} for name in service.model.ignored}
    return _property(parameter) | columns | {"required": names, "additionalProperties": False}


def _output(parameter: Parameter, service: ServiceView) -> Document:
    """An output; of a realtime service, with its columns."""
    return _property(parameter) | (_columns(service.model.outputs) if service.model else {})


def _columns(columns: Iterable[InputColumn | OutputColumn], null: Document | None = None) -> Document:
    """The columns of a model's data frame: a list of values each; `null` says that one may be missing."""
    properties = {}
    for column in columns:
        cell: Document = dict(_CELLS[column.type])
        if isinstance(column, InputColumn) and column.nullable:
            cell |= {"type": [cell["type"], "null"]} if null is None else null
        elif isinstance(column, InputColumn) and column.categories:
            cell["enum"] = list(column.categories)
        properties[column.name] = {"type": "array", "items": cell}
    return {"properties": properties} if properties else {}


_SWAGGER_NULL: Document = {"x-nullable": True}
"""How Swagger 2.0's readers are told that a value may be null."""

_CELLS: dict[CellType, Document] = {
    "double": {"type": "number"},
    "float": {"type": "number"},
    "integer": {"type": "integer"},
    "string": {"type": "string"},
    "logical": {"type": "boolean"},
}


def _cell(values: Any) -> Document:
    """What the cells of a column are, by those that are known."""
    kinds = {type(value) for value in values} - {type(None)} if isinstance(values, list) else set()
    names = {_KINDS.get(kind, "") for kind in kinds}
    return {"type": [*names, "null"]} if len(names) == 1 and "" not in names else _SCALAR


_KINDS = {int: "number", float: "number", str: "string", bool: "boolean"}


def _either(schema: Document) -> Document:
    """One value, or for many executions in one call a list of them."""
    return {"anyOf": [schema, {"type": "array", "items": schema}]}
