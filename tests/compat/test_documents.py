"""The documents: valid, made of what the server is, and with the names that old clients know."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import operations
import pytest
from openapi_spec_validator import validate
from tornado.websocket import WebSocketHandler
from world import OPERATIONS

from jupyter_mlops.schema.access import Identity, Role
from jupyter_mlops.schema.operations import REASONS, TAGS
from jupyter_mlops.schema.pools import PoolSettings
from jupyter_mlops.schema.service_documents import service_openapi, service_swagger
from jupyter_mlops.schema.services import Definition, Revision
from jupyter_mlops.schema.types import Parameter, ValueType
from jupyter_mlops.server.handlers.documents import core
from jupyter_mlops.server.handlers.operations import verbs
from jupyter_mlops.server.handlers.routes import PUBLIC, ROUTES
from jupyter_mlops.server.managers.catalog import view

MLS = json.loads(Path(__file__).with_name("mls_names.json").read_text())
ERROR = "#/components/schemas/Error"

TYPES = tuple(Parameter(name=f"a {kind}", type=kind) for kind in ValueType)
FORMATTED = (
    Parameter(name="when", type=ValueType.CHARACTER, format="date-time"),
    Parameter(name="rows", type=ValueType.MATRIX, format="list"),
)
SERVICE = view(
    Revision(
        id="0", name="Tx Service", version="1.0", number=1, manifest=None, interpreter="", published_by="somebody",
        created="", proof="loaded", definition=Definition(
            code="z = 1", description="What it does.", operation_id="manualTransmission", inputs=TYPES + FORMATTED,
            outputs=TYPES,
        ),
    ),
    Identity(name="reader", role=Role.READER),
    PoolSettings(),
)  # fmt: skip


def service(**changes):
    return msgspec.structs.replace(SERVICE, **changes)


def described(document):
    return {
        operation["operationId"]: operation for methods in document["paths"].values() for operation in methods.values()
    }


def test_every_verb_of_every_route_is_declared():
    undeclared = [(method, pattern) for pattern, method, verb in verbs(ROUTES) if not hasattr(verb, "declaration")]
    assert undeclared == []
    ids = [operation.id for operation in OPERATIONS.values()]
    assert len(set(ids)) == len(list(verbs(ROUTES)))
    assert {operation.tag for operation in OPERATIONS.values()} <= set(TAGS)
    assert {status for operation in OPERATIONS.values() for status in operation.refuses} <= set(REASONS)
    assert {status for status in REASONS if status >= 500} == {502, 503, 504, 507}


def test_only_the_public_list_needs_no_credential():
    open_to_all = {
        (method.upper(), pattern) for pattern, method, verb in verbs(ROUTES) if verb.declaration.action is None
    }
    assert open_to_all == PUBLIC
    hidden = {
        pattern
        for pattern, handler in ROUTES
        for _, _, verb in verbs([(pattern, handler)])
        if not verb.declaration.shown
    }
    assert hidden == {"/docs/static/(.*)"} | {p for p, h in ROUTES if issubclass(h, WebSocketHandler)}


def test_the_core_documents_are_valid_and_served(server):
    swagger, openapi = core()
    for address, document in (("/swagger.json", swagger), ("/openapi.json", openapi)):
        validate(document)
        assert server.request("GET", address).json() == json.loads(json.dumps(document))
        assert server.request("GET", address, token=None).status == 401
    shown = {operation.id for operation in OPERATIONS.values() if operation.shown}
    assert set(described(swagger)) == set(described(openapi)) == shown


def test_the_names_are_machine_learning_servers():
    swagger, _ = core()
    for method, path, name, tag, parameters in MLS["operations"]:
        ours = swagger["paths"][path][method.lower()]
        assert (ours["operationId"], ours["tags"]) == (name, [tag])
        assert [parameter["name"] for parameter in ours["parameters"]] == parameters
    for name, fields in MLS["types"].items():
        assert set(fields) <= set(swagger["definitions"][name]["properties"]), name


def test_refusals_are_errors_and_only_listed_statuses_are_given():
    for openapi in (core()[1], service_openapi(SERVICE, OPERATIONS.values())):
        for name, operation in described(openapi).items():
            for status, response in operation["responses"].items():
                schema = next((content["schema"] for content in response.get("content", {}).values()), {})
                if status[0] in "45" and (status, schema.get("$ref", "")[-16:]) != ("422", "WebServiceResult"):
                    assert schema == {"$ref": ERROR}, (name, status)
                assert status[0] != "5" or status in {"502", "503", "504", "507"}
            assert "default" not in operation["responses"]


@pytest.mark.parametrize("batchable", [False, True])
@pytest.mark.parametrize("alias", [None, "login", "StartBatchExecution", "manualTransmission"])
def test_service_documents_are_valid(batchable, alias):
    single = {ValueType.INTEGER, ValueType.NUMERIC, ValueType.CHARACTER, ValueType.LOGICAL}
    inputs = tuple(p for p in SERVICE.input_parameter_definitions if p.type in single or not batchable)
    one = service(batchable=batchable, operation_id=alias, input_parameter_definitions=inputs)
    sample = {"when": "2026-01-01T00:00:00"}
    for document in (service_swagger(one, OPERATIONS.values()), service_openapi(one, OPERATIONS.values(), sample)):
        validate(document)
        assert document["paths"]["/api/Tx%20Service/1.0"]["post"]["operationId"] == (alias or "ConsumeWebService")


def test_the_swagger_of_a_service_has_machine_learning_servers_shape():
    document = service_swagger(SERVICE, OPERATIONS.values())
    assert list(document) == [
        "swagger", "info", "schemes", "securityDefinitions", "tags", "consumes", "produces", "paths", "definitions",
    ]  # fmt: skip
    assert document["info"] == {"title": "Tx Service", "version": "1.0", "description": "What it does."}
    assert document["tags"] == [{"name": "Tx Service", "description": "What it does."}]
    assert list(document["paths"])[:3] == ["/login", "/login/refreshToken", "/api/Tx%20Service/1.0"]
    (body,) = document["paths"]["/api/Tx%20Service/1.0"]["post"]["parameters"]
    assert body["name"] == "WebServiceParameters"
    properties = document["definitions"]["InputParameters"]["properties"]
    plain = {
        name: {key: value for key, value in one.items() if key != "x-nullable"} for name, one in properties.items()
    }
    assert plain["a numeric"] == {"type": "number", "description": "numeric"}
    assert plain["a data.frame"] == {"type": "object", "description": "data.frame"}
    assert plain["a matrix"]["items"]["type"] == "array"
    assert {"InputParameters", "OutputParameters", "Error", "WebServiceResult", "LoginRequest", "RenewTokenRequest",
            "AccessTokenResponse"} <= set(document["definitions"])  # fmt: skip
    assert document["definitions"]["WebServiceResult"]["properties"]["outputParameters"] == {
        "$ref": "#/definitions/OutputParameters"
    }


def test_the_openapi_of_a_service_knows_columns_and_the_example():
    frame = {"hp": [110, None], "name": ["a", None], "mixed": [1, "a"], "sold": [True, False]}
    sample = {"a data.frame": frame, "a numeric": 1.5}
    document = service_openapi(SERVICE, OPERATIONS.values(), sample)
    body = document["paths"]["/api/Tx%20Service/1.0"]["post"]["requestBody"]["content"]["application/json"]
    assert body["example"] == sample
    inputs = document["components"]["schemas"]["InputParameters"]
    assert inputs["required"] == [parameter.name for parameter in SERVICE.input_parameter_definitions]
    columns = inputs["properties"]["a data.frame"]["properties"]
    assert columns["hp"]["items"] == {"type": ["number", "null"]}
    assert columns["name"]["items"] == {"type": ["string", "null"]}
    assert columns["sold"]["items"] == {"type": ["boolean", "null"]}
    assert columns["mixed"]["items"]["type"] == ["number", "string", "boolean", "null"]
    assert inputs["properties"]["when"] == {
        "type": ["string", "null"], "format": "date-time", "description": "character",
    }  # fmt: skip
    assert document["servers"] == [{"url": "../../.."}]


def test_service_documents_are_served_to_those_who_may_see_the_service(server):
    assert server.publish_code("cars", "1.0", "z = x", "x:numeric,t:data.frame", "z:numeric").status == 201
    for name in ("swagger.json", "openapi.json"):
        answer = server.request("GET", f"/api/cars/1.0/{name}")
        validate(answer.json())
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert server.request("GET", f"/api/cars/latest/{name}").status == 200
        assert server.request("GET", f"/api/cars/1.0/{name}", token=None).status == 401
        assert server.request("GET", f"/api/none/1.0/{name}").status == 404


def test_a_name_alone_calls_the_latest_version(server):
    for version in ("1", "2"):
        assert server.publish_code("latest-of", version, f"z = {version}", "", "z:integer").status == 201
    answer = server.request("POST", "/api/latest-of", {})
    assert answer.json()["outputParameters"] == {"z": 2}


def test_the_table_of_operations_is_whole_and_up_to_date():
    assert operations.missing() == []
    assert operations.TABLE.read_text() == operations.table(), "run `make operations`"


def test_the_example_is_the_sample_that_was_answered(server):
    sample = {"t": {"hp": [110, 93]}}
    for name, private in (("shown", False), ("hidden", True)):
        made = server.publish_code(name, "1", "z = len(t)", "t:data.frame", "z:integer", sample=sample, private=private)
        assert made.status == 201
        document = server.request("GET", f"/api/{name}/1/openapi.json").json()
        body = document["paths"][f"/api/{name}/1"]["post"]["requestBody"]["content"]["application/json"]
        assert body.get("example") == (None if private else sample)
        frame = document["components"]["schemas"]["InputParameters"]["properties"]["t"]
        assert ("hp" in frame.get("properties", {})) is not private


def test_the_batch_operations_of_a_service_are_machine_learning_servers():
    document = service_swagger(SERVICE, OPERATIONS.values())
    address = "/api/Tx%20Service/1.0/batch"
    one, files = f"{address}/{{executionId}}", f"{address}/{{executionId}}/{{index}}/files"
    for path, method, name, parameters in (
        (address, "post", "StartBatchExecution", ["BatchWebServiceParameters", "parallelCount"]),
        (address, "get", "GetBatchExecutions", []),
        (one, "get", "GetBatchExecutionStatus", ["executionId", "showPartialResults"]),
        (one, "delete", "CancelAndDeleteBatchExecution", ["executionId"]),
        (files, "get", "GetBatchExecutionFiles", ["executionId", "index"]),
        (f"{files}/{{fileName}}", "get", "GetBatchExecutionFile", ["executionId", "index", "fileName"]),
    ):
        operation = document["paths"][path][method]
        assert operation["operationId"] == name
        assert operation["tags"] == ["Tx Service"]
        named = {parameter["name"]: parameter["required"] for parameter in operation["parameters"]}
        assert set(parameters) <= set(named)
        assert not any(named[ours] for ours in set(named).difference(parameters))
    start = document["paths"][address]["post"]
    said = {parameter["name"]: parameter.get("description", "") for parameter in start["parameters"]}
    assert said["parallelCount"].startswith(
        "Number of threads used to process entries in the batch. Default value is 10"
    )
    assert start["description"] == "Consume the Tx Service web service asynchronously."
    assert start["responses"]["202"]["schema"] == {"$ref": "#/definitions/StartBatchExecutionResponse"}
    types = document["definitions"]
    assert set(types["StartBatchExecutionResponse"]["properties"]) == {"BatchExecutionId", "batchExecutionId"}
    states = types["BatchWebServiceResult"]["properties"]["state"]["enum"]
    assert set(states) == {"Pending", "Ready", "InProgress", "Complete", "Failed", "Cancelled"}
