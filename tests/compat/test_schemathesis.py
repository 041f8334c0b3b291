"""schemathesis reads the documents and sends what they allow and what they do not, as a user of each role.

What holds: no status that an operation does not declare, no 5xx but 502, 503 and 504, no answer outside its schema
or content type.

Left alone, so that the server stays worth asking: `code` is never made up, because it would run on this machine; what
deletes or changes users, and what deletes anything, gets made-up names only, so that what others ask about stays; a
session that was opened is closed; wrong passwords are few, since after a hundred no login of this address is heard.
"""

from __future__ import annotations

import json
import os

import pytest
import schemathesis
import world as make_world
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from world import OPERATIONS

from jupyter_mlops.schema.operations import AUTHENTICATION
from jupyter_mlops.server.handlers.documents import core

SWAGGER, OPENAPI = core()
DOCUMENTS = {
    kind: schemathesis.openapi.from_dict(json.loads(json.dumps(document)))
    for kind, document in (("swagger", SWAGGER), ("openapi", OPENAPI))
}
ROLES = ("Owner", "Contributor", "Reader")
CHECKS = [
    schemathesis.checks.CHECKS.get_one(name)
    for name in ("response_schema_conformance", "content_type_conformance", "response_headers_conformance")
]
MADE_UP = {name for name, one in OPERATIONS.items() if one.method == "delete" or one.tag == "User APIs"}
"""Operations that never meet what is there."""
CASES = [(kind, operation.ok()) for kind, schema in DOCUMENTS.items() for operation in schema.get_all_operations()]


@pytest.fixture(scope="module")
def world(server):
    return make_world.make(server)


def name_of(operation):
    return operation.definition.raw["operationId"]


def explore(world, operation, token, examples, declared=None):
    declared = declared or OPERATIONS[name_of(operation)]
    kind = declared.path.split("/")[1]
    known = world.names | {"id": world.names.get(f"id of {kind}", "unknown")}

    @seed(1)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), real=st.booleans())
    def send(case, real):
        if real and declared.id not in MADE_UP:
            case.path_parameters = {name: known.get(name, "unknown") for name in case.path_parameters or ()}
        if isinstance(case.body, dict) and "code" in case.body:
            case.body["code"] = "z = 1"
        answer = case.call(base_url=world.server.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        allowed = {*declared.gives, *declared.refuses}
        assert answer.status_code in allowed, (answer.status_code, answer.text, case.as_curl_command())
        case.validate_response(answer, checks=CHECKS)
        if declared.id == "createSession" and answer.status_code == 201:
            world.server.request("DELETE", f"/sessions/{answer.json()['sessionId']}", token=token)

    send()


def identify(value):
    return value if isinstance(value, str) else name_of(value)


EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "5"))
"""Requests of each operation, document and role in the slow tests; `make campaigns` sends more."""


@pytest.mark.parametrize(("kind", "operation"), [case for case in CASES if case[0] == "openapi"], ids=identify)
def test_the_core_documents_hold(world, kind, operation):
    explore(world, operation, world.tokens["Contributor"], 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "operation", "role"),
    [(*case, role) for case in CASES for role in (ROLES if case[0] == "openapi" else ROLES[:1])],
    ids=identify,
)
def test_the_core_documents_hold_for_long(world, kind, operation, role):
    explore(world, operation, world.tokens[role], EXAMPLES)


KINDS = ("numeric", "integer", "character", "logical", "vector", "matrix", "data.frame")


@pytest.fixture(scope="module")
def of_every_type(world):
    """A service that gives back what it takes, one value of every type."""
    code = "\n".join(f"out_{number} = in_{number}" for number in range(len(KINDS)))
    inputs = ",".join(f"in_{number}:{kind}" for number, kind in enumerate(KINDS))
    published = world.server.publish_code("every", "1", code, inputs, inputs.replace("in_", "out_"))
    assert published.status == 201
    return "every"


def explore_service(world, name, role, examples):
    for kind in ("swagger", "openapi"):
        document = world.server.request("GET", f"/api/{name}/1/{kind}.json").json()
        # The operations of the core whose addresses these are; the login has been explored.
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            operation = found.ok()
            path = operation.path.replace(f"/api/{name}/1", "/api/{name}/{version}")
            (declared,) = [one for one in OPERATIONS.values() if (one.method, one.path) == (operation.method, path)]
            if declared.tag != AUTHENTICATION:
                explore(world, operation, world.tokens[role], examples, declared)


def test_the_documents_of_a_service_hold(world, of_every_type):
    explore_service(world, of_every_type, "Contributor", 10)


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_the_documents_of_a_service_hold_for_long(world, of_every_type, role):
    explore_service(world, of_every_type, role, EXAMPLES * 3)
