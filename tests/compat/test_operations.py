"""Every operation: who may call it, and that each refusal its declaration lists is reached, in the one shape."""

from __future__ import annotations

import pickle

import pytest
import world as make_world
from blake3 import blake3
from world import OPERATIONS, SECRET, error_of, refusal

REFUSALS = [
    (operation, status)
    for operation in OPERATIONS.values()
    for status in sorted({*operation.refuses, *operation.gives})
    if operation.shown and 400 <= status < 500
]
# What takes an account or the patience of the login goes last.
REFUSALS.sort(key=lambda case: (case[1] == 429, case[0].id in {"removeUser", "changeUser"} and case[1] == 409))


@pytest.fixture(scope="module")
def world(server):
    return make_world.make(server)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.id)
def test_the_declared_action_is_what_is_enforced(world, operation):
    for role in ("Owner", "Contributor", "Reader"):
        token, name = world.tokens[role], "unknown"
        if operation.id == "changeUser":  # everybody may change their own password, which ends their logins
            name = f"own-{role.lower()}"
            token = world.login(name, role)
        status = call(world, operation, token, name)
        if operation.action is None or role in operation.roles:
            assert status not in {401, 403} or operation.id in {"renewToken", "revokeRefreshToken"}, (role, status)
        else:
            assert status == 403, role
    for token in (None, "wrong", "eyJhbGciOiJub25lIn0.e30."):
        status = call(world, operation, token, "unknown")
        if operation.id == "events":
            assert status == 403
        elif operation.action is None:
            assert status != 401 or operation.id in {"renewToken", "revokeRefreshToken"}
        else:
            assert status == 401


def call(world, operation, token, name):
    """Send a well-formed request about what is not there, so that whoever is allowed does no harm."""
    unknown = dict.fromkeys(operation.parameters, "unknown") | ({"name": name} if operation.parameters else {})
    return world.send(operation.id, token=token, **unknown).status


@pytest.mark.parametrize(
    ("operation", "status"), REFUSALS, ids=[f"{operation.id}-{status}" for operation, status in REFUSALS]
)
def test_each_refusal_is_reached(world, operation, status):
    answer = refusal(world, operation, status)
    assert answer.status == status, answer
    if status in operation.refuses:
        error_of(answer)
    else:
        assert answer.json()["success"] is False


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS.values() if operation.takes is not None],
    ids=lambda operation: operation.id,
)
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1e999", b'"text"', b"null"])
def test_malformed_bodies_are_refused_in_the_one_shape_or_taken(world, operation, body):
    answer = world.send(operation.id, body)
    assert answer.status < 500, answer
    assert answer.status in {*operation.gives, *operation.refuses}
    if answer.status >= 400:
        error_of(answer)
    assert SECRET not in answer.body.decode(errors="replace")


def test_a_finished_upload_is_kept_as_a_snapshot(server):
    stream = pickle.dumps({"x": 1}, protocol=5)
    digest = blake3(stream).hexdigest()
    manifest = {"stream": {"digest": digest, "size": len(stream)}}
    upload = server.request("POST", "/uploads", {"manifest": manifest}).json()["id"]
    assert server.request("PUT", f"/uploads/{upload}/{digest}", stream).status == 204
    kept = server.request("POST", "/snapshots", {"upload": upload, "name": "kept"})
    assert kept.status == 201
    listed = {one["id"]: one["name"] for one in server.request("GET", "/snapshots").json()}
    assert listed[kept.json()["snapshotId"]] == "kept"


def test_whole_numbers_that_no_kernel_can_be_sent_are_400(world):
    large = 2**64
    assert world.server.publish_code("whole", "1", "z = x", "x:integer,v:vector", "z:integer").status == 201
    for inputs, place in (({"x": large, "v": []}, "$.x"), ({"x": 1, "v": [1, large]}, "$.v[1]")):
        assert error_of(world.send("consume", inputs, name="whole", version="1"))["fields"] == place
    body = {"code": "x", "inputParameters": [{"name": "x", "value": {"deep": [large]}}]}
    assert error_of(world.send("executeCode", body))["fields"] == "$.inputParameters"
