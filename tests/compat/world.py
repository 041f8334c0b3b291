"""A server with something of everything, and for each operation one well-formed request and one way to each refusal."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import onnx_models as models
from support import PASSWORD, Answer, RunningServer, eventually

from jupyter_mlops.schema.operations import Content, Form, Operation
from jupyter_mlops.server.handlers.documents import declared

OPERATIONS = {operation.id: operation for operation in declared()}
SECRET = "a secret of the tests"
DIGEST = "0" * 64
_BOUNDARY = "the-boundary"
_MULTIPART = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
_PUBLISH = {"code": "z = 1"}

BODIES: dict[str, Any] = {
    "login": {"username": "admin", "password": PASSWORD},
    "renewToken": {"refreshToken": "unknown"},
    "addUser": {"name": "somebody", "password": SECRET, "role": "Reader"},
    "changeUser": {"password": SECRET, "currentPassword": SECRET},
    "setComputeNodes": {"entries": []},
    "addComputeNode": {"entries": ["http://127.0.0.1:12805"]},
    "removeComputeNode": {"entries": ["http://127.0.0.1:12805"]},
    "publishWebService": _PUBLISH | {"snapshotId": "unknown"},
    "publishWebServiceVersion": _PUBLISH | {"snapshotId": "unknown"},
    "patchWebServiceVersion": _PUBLISH,
    "createOrUpdateServicePool": {"MaxPoolSize": 2},
    "rollbackWebService": {"revision": 1},
    "consume": {"x": 1},
    "consumeLatest": {"x": 1},
    "createSession": {"runtimeType": "COBOL"},
    "executeCode": {"code": "x = 1"},
    "CreateSnapshot": {"name": "kept"},
    "keepSnapshot": {"upload": "unknown"},
    "beginUpload": {"manifest": {"stream": {"digest": DIGEST, "size": 3}}},
    "StartBatchExecution": [{"x": 1}],
    "modelInfer": {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]},
    "latestModelInfer": {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]},
}
"""A body for each operation that takes JSON; it passes the decoding, and does no more than it must."""


@dataclass
class World:
    """The server, who calls, and the names of what is there."""

    server: RunningServer
    names: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def send(
        self,
        operation: str,
        body: Any = None,
        *,
        token: str | None = "",
        headers: Any = None,
        suffix: str = "",
        **names: str,
    ) -> Answer:
        """Send the well-formed request of an operation, with what is given in place of its own."""
        one = OPERATIONS[operation]
        path = self.path(one, **names) + suffix
        sent, more = self.body(one) if body is None else (body, {})
        if isinstance(one.takes, Form) and body is not None:
            more = _MULTIPART
        return self.server.request(one.method.upper(), path, sent, token=token, headers={**more, **(headers or {})})

    def path(self, operation: Operation, **names: str) -> str:
        """The address, with the names of what is there."""
        kind = operation.path.split("/")[1]
        known = self.names | {"id": self.names.get(f"id of {kind}", "unknown")} | names
        if kind == "v2":
            known["name"] = names.get("name", "lines")
        if operation.path.startswith("/users"):
            known["name"] = names.get("name", "ada")
        path = re.sub(r"\{(\w+)\}", lambda match: known[match[1]], operation.path)
        required = [
            f"{argument.name}={0 if argument.kind is int else 'unknown'}"
            for argument in operation.arguments
            if argument.required
        ]
        return path + ("?" + "&".join(required) if required else "")

    def body(self, operation: Operation) -> tuple[Any, dict[str, str]]:
        """The body and its headers."""
        if isinstance(operation.takes, Content):
            return b"abc", {"Content-Type": operation.takes.media_type}
        if isinstance(operation.takes, Form):
            return form({part.name: (part.file, b"content") for part in operation.takes.parts}), _MULTIPART
        return (None if operation.takes is None else BODIES[operation.id]), {}

    def login(self, name: str, role: str) -> str:
        """Add a user; the access token."""
        made = self.server.request("POST", "/users", {"name": name, "password": SECRET, "role": role})
        assert made.status == 201, made
        tokens = self.server.request("POST", "/login", {"username": name, "password": SECRET}, token=None)
        return tokens.json()["access_token"]


def form(parts: dict[str, tuple[bool, bytes]]) -> bytes:
    """A multipart body of fields and files."""
    pieces = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        + (b'; filename="data.txt"' if file else b"")
        + b"\r\n\r\n"
        + content
        + b"\r\n"
        for name, (file, content) in parts.items()
    ]
    return b"".join(pieces) + f"--{_BOUNDARY}--\r\n".encode()


def make(server: RunningServer) -> World:
    """Fill a server with something of everything, and users of every role."""
    world = World(server)
    assert server.publish_code("cars", "1.0", "z = 1 / x", "x:numeric", "z:numeric").status == 201
    assert models.publish(server, "lines/1.0", models.greedy()).status == 201
    session = server.request("POST", "/sessions", {}).json()["sessionId"]
    code = "open('data.txt', 'w').write('d'); x = 1"
    assert server.request("POST", f"/sessions/{session}/execute", {"code": code}).json()["success"]
    snapshot = server.request("POST", f"/sessions/{session}/snapshot", {}).json()["snapshotId"]
    upload = server.request("POST", "/uploads", BODIES["beginUpload"]).json()["id"]
    world.names = {
        "name": "cars", "version": "1.0", "snapshotId": snapshot, "objectName": "x", "fileName": "data.txt",
        "digest": DIGEST, "index": "0", "executionId": "unknown",
        "id of sessions": session, "id of snapshots": snapshot, "id of uploads": upload,
    }  # fmt: skip
    if "StartBatchExecution" in OPERATIONS:
        started = server.request("POST", "/api/cars/1.0/batch", [{"x": 1}]).json()
        world.names["executionId"] = started["batchExecutionId"]
        path = f"/api/cars/1.0/batch/{started['batchExecutionId']}"
        eventually(lambda: server.request("GET", path).json()["state"] == "Complete", 30)
    world.tokens = {role: world.login(role.lower(), role) for role in ("Owner", "Contributor", "Reader")}
    world.login("ada", "Reader")
    return world


def refusal(world: World, operation: Operation, status: int) -> Answer:
    """Do what is refused with this status."""
    special = _SPECIAL.get((operation.id, status)) or _SPECIAL.get(status)
    assert special is not None, f"no test reaches {status} of {operation.id}: add one here, or do not declare it"
    return special(world, operation)


def _malformed(world: World, operation: Operation) -> Answer:
    if isinstance(operation.takes, Form):
        return world.send(operation.id, b"no part", **_free(operation))
    if operation.takes is not None and not isinstance(operation.takes, Content):
        return world.send(operation.id, b'{"')
    if operation.parameters:
        return world.send(operation.id, **{operation.parameters[-1]: "%FF"})
    return world.server.request(operation.method.upper(), operation.path, token=None)


def _too_large(world: World, operation: Operation) -> Answer:
    _, headers = world.body(operation)
    return world.send(operation.id, b"", headers={**headers, "Content-Length": str(2**45)}, **_free(operation))


def _free(operation: Operation) -> dict[str, str]:
    """A service that is suitable, for those operations that look for it first."""
    if operation.id == "patchRealtimeWebServiceByNameVersion":
        return {"name": "lines"}
    return {"version": "free"} if operation.id == "publishRealtimeWebServiceByNameVersion" else {}


def _unknown(world: World, operation: Operation) -> Answer:
    unknown = {"changeUser": {"role": "Reader"}, "createSession": {"snapshotId": "unknown"}}.get(operation.id)
    return world.send(operation.id, unknown, **dict.fromkeys(operation.parameters[:1], "unknown"))


def _gone(world: World, operation: Operation) -> Answer:
    if "id of gone" not in world.names:
        session = world.server.request("POST", "/sessions", {}).json()["sessionId"]
        died = world.server.request("POST", f"/sessions/{session}/execute", {"code": "import os; os._exit(1)"})
        assert died.status == 502
        world.names["id of gone"] = session
    return world.send(operation.id, id=world.names["id of gone"])


def _lacking(world: World, operation: Operation) -> Answer:
    """Use an upload whose blob was never sent."""
    wanted = {"manifest": {"stream": {"digest": "1" * 64, "size": 3}}}
    upload = world.server.request("POST", "/uploads", wanted).json()["id"]
    body = {"upload": upload}
    return world.send(operation.id, body if operation.id == "keepSnapshot" else _PUBLISH | body)


def _spoiled(world: World, operation: Operation) -> Answer:
    """Go back to what answered its sample once, and does not any more."""
    needed = world.server.data_dir.parent / "needed.txt"
    needed.write_text("here")
    code = f"z = open({str(needed)!r}).read()"
    assert world.server.publish_code("spoiled", "1", code, "", "z:character", sample={}).status == 201
    assert world.server.request("PATCH", "/services/spoiled/1", {"code": "z = ''"}).status == 200
    needed.unlink()
    return world.send(operation.id, name="spoiled", version="1")


def _crowded(world: World, operation: Operation) -> Answer:
    opened = []
    try:
        while (answer := world.server.request("POST", "/sessions", {})).status == 201:
            opened.append(answer.json()["sessionId"])
        return answer
    finally:
        for session in opened:
            world.server.request("DELETE", f"/sessions/{session}")


def _many_batches(world: World, operation: Operation) -> Answer:
    assert world.server.publish_code("slow", "1", "import time\ntime.sleep(60)").status == 201
    begun = []
    try:
        while (answer := world.send(operation.id, [{}], name="slow", version="1")).status == 202:
            begun.append(answer.json()["batchExecutionId"])
        return answer
    finally:
        for batch in begun:
            world.server.request("DELETE", f"/api/slow/1/batch/{batch}")


def _other_body(world: World, operation: Operation) -> Answer:
    """Send something else with the key of a batch that there is."""
    key = {"Idempotency-Key": "kept"}
    assert world.send(operation.id, [{"x": 1}], headers=key).status == 202
    return world.send(operation.id, [{"x": 2}], headers=key)


def _still_running(world: World, operation: Operation) -> Answer:
    """Retry a batch that runs."""
    assert world.server.publish_code("running", "1", "import time\ntime.sleep(60)").status == 201
    begun = world.send("StartBatchExecution", [{}], name="running", version="1").json()["batchExecutionId"]
    try:
        return world.send(operation.id, name="running", version="1", executionId=begun)
    finally:
        world.server.request("DELETE", f"/api/running/1/batch/{begun}")
        world.server.request("DELETE", "/services/running/1")


def _unpicklable(world: World, operation: Operation) -> Answer:
    session = world.names["id of sessions"]
    path = f"/sessions/{session}/execute"
    world.server.request("POST", path, {"code": "stuck = (one for one in ())"})
    try:
        return world.send(operation.id, **({"objectName": "stuck"} if operation.parameters[-1] == "objectName" else {}))
    finally:
        world.server.request("POST", path, {"code": "del stuck"})


def _guessing(world: World, operation: Operation) -> Answer:
    body = {"username": "nobody", "password": "wrong"}
    if operation.id == "changeUser":
        body = {"password": SECRET, "currentPassword": "wrong"}
    for _ in range(12):
        answer = world.send(operation.id, body)
    return answer


_SPECIAL: dict[Any, Any] = {
    400: _malformed,
    401: lambda world, one: world.send(one.id, token="wrong"),
    403: lambda world, one: world.send(one.id, headers={"Host": "evil.example"}),
    404: _unknown,
    410: _gone,
    413: _too_large,
    415: lambda world, one: world.send(one.id, headers={"Content-Type": "application/json"}),
    429: _guessing,
    ("login", 401): lambda world, one: world.send(one.id, {"username": "nobody", "password": "wrong"}, token=None),
    ("addUser", 409): lambda world, one: world.send(one.id, BODIES["addUser"] | {"name": "ada"}),
    ("changeUser", 409): lambda world, one: _last_owner(world, one, {"role": "Reader"}),
    ("removeUser", 409): lambda world, one: _last_owner(world, one, None),
    ("publishWebService", 404): lambda world, one: world.send(one.id),
    ("publishWebServiceVersion", 404): lambda world, one: world.send(one.id),
    ("publishWebService", 409): _lacking,
    ("publishWebServiceVersion", 409): lambda world, one: world.send(one.id, {"code": "other = 1"}),
    ("patchWebServiceVersion", 409): _lacking,
    ("keepSnapshot", 409): _lacking,
    ("uploadPiece", 409): lambda world, one: world.send(one.id, suffix="2"),
    ("publishWebService", 422): lambda world, one: world.send(one.id, {"code": "no code"}),
    ("publishWebServiceVersion", 422): lambda world, one: world.send(one.id, {"code": "no code"}, version="new"),
    ("patchWebServiceVersion", 422): lambda world, one: world.send(one.id, {"code": "no code"}),
    ("rollbackWebService", 422): _spoiled,
    ("publishRealtimeWebServiceByNameVersion", 409): lambda world, one: world.send(one.id),
    ("patchRealtimeWebServiceByNameVersion", 409): lambda world, one: world.send(one.id),
    ("publishRealtimeWebServiceByName", 422): lambda world, one: world.send(one.id, name="new"),
    ("publishRealtimeWebServiceByNameVersion", 422): lambda world, one: world.send(one.id, version="free"),
    ("patchRealtimeWebServiceByNameVersion", 422): lambda world, one: world.send(one.id, name="lines"),
    ("modelInfer", 422): lambda world, one: world.send(one.id, _more_than_there_is()),
    ("latestModelInfer", 422): lambda world, one: world.send(one.id, _more_than_there_is()),
    ("createOrUpdateServicePool", 409): lambda world, one: world.send(one.id, {"InitialPoolSize": 256}),
    ("consume", 422): lambda world, one: world.send(one.id, {"x": 0}, headers={"Prefer": "status=strict"}),
    ("consumeLatest", 422): lambda world, one: world.send(one.id, {"x": 0}, headers={"Prefer": "status=strict"}),
    ("createSession", 409): _crowded,
    ("StartBatchExecution", 409): _many_batches,
    ("StartBatchExecution", 415): lambda world, one: world.send(one.id, b"x", headers={"Content-Type": "image/png"}),
    ("StartBatchExecution", 422): _other_body,
    ("retryBatch", 409): _still_running,
    ("getWorkspaceObject", 409): _unpicklable,
    ("CreateSnapshot", 409): _unpicklable,
}  # fmt: skip
"""How each refusal is reached: by operation and status, or by status for the operations that have no entry."""


def _more_than_there_is() -> Any:
    """Let the model ask for more memory than there is."""
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [2**42]}]}


def _last_owner(world: World, operation: Operation, body: Any) -> Answer:
    """Take the last Owner's role or account, after all others'."""
    token = world.server.token  # no user of the list, so it stays
    for user in world.server.request("GET", "/users").json():
        if user["role"] == "Owner" and user["name"] != "admin":
            assert world.server.request("PATCH", f"/users/{user['name']}", {"role": "Reader"}).status == 200
    return world.send(operation.id, body, token=token, name="admin")


def error_of(answer: Answer) -> dict[str, Any]:
    """The body of a refusal, which has the one shape."""
    error = json.loads(answer.body)
    assert error.pop("error", error["message"]) == error["message"]  # Open Inference Protocol's clients look there
    assert set(error) == {"message", "code", "exceptionType", "fields", "link"}, error
    assert error["code"] == answer.status
    assert error["message"]
    return error
