"""Every request that the old SDK is known to send, byte for byte, gets the status and the shape that it reads."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from onnx_models import LABELLED
from support import PASSWORD, eventually

STEPS = json.loads((Path(__file__).parent / "sdk-wire-recording.json").read_text())
METADATA = {"name": str, "version": str, "inputParameterDefinitions": list, "outputParameterDefinitions": list}
RESULT = {
    "success": bool, "errorMessage": str, "consoleOutput": str, "changedFiles": list, "outputFiles": dict,
    "outputParameters": dict,
}  # fmt: skip
BATCH = {"state": str, "completedItemCount": int, "totalItemCount": int, "batchExecutionResults": list}
TOKENS = {"access_token": str, "refresh_token": str, "token_type": str, "expires_in": int}

# Method and path, with the status and what the body is: keys with their types, in a list when there are many.
EXPECTED: list[tuple[str, int, Any]] = [
    (r"POST /login", 200, TOKENS),
    (r"POST /sessions", 201, {"sessionId": str}),
    (r"DELETE /sessions/[^/]+", 200, None),
    (r"POST /sessions/[^/]+/workspace/\w+", 200, None),
    (r"POST /sessions/[^/]+/snapshot", 201, {"snapshotId": str}),
    (r"DELETE /snapshots/[^/]+", 200, None),
    (r"GET /services(/\w+(/[\w.]+)?)?", 200, [METADATA]),
    (r"POST /services/\w+(/[\w.]+)?", 201, str),
    (r"PATCH /services/\w+/[\w.]+", 200, str),
    (r"DELETE /services/\w+/[\w.]+", 200, None),
    (r"POST /realtime-services/\w+/[\w.]+", 201, str),
    (r"PATCH /realtime-services/\w+/[\w.]+", 200, str),
    (r"POST /api/\w+/[\w.]+", 200, RESULT),
    (r"GET /api/\w+/[\w.]+/swagger\.json", 200, {"swagger": str, "paths": dict}),
    (r"POST /api/\w+/[\w.]+/batch\?.*", 202, {"BatchExecutionId": str, "batchExecutionId": str}),
    (r"GET /api/\w+/[\w.]+/batch", 200, [str]),
    (r"GET /api/\w+/[\w.]+/batch/[\w-]+\?.*", 200, BATCH),
    (r"GET /api/\w+/[\w.]+/batch/[\w-]+/\d+/files", 200, [str]),
    (r"GET /api/\w+/[\w.]+/batch/[\w-]+/\d+/files/.+", 200, bytes),
    (r"DELETE /api/\w+/[\w.]+/batch/[\w-]+", 200, list),
]
OTHERWISE = {
    "login bad": 401, "no auth at all": 401, "token auth": 401, "deploy again same version (409)": 409,
    "get missing version": 404, "delete missing": 404, "batch download kwargs file_name": 404,
    "batch download all of index 1": 404, "get_batch by id": 404,
    "HTTP 400 on consume": 404, "200 with success false": 404,
}  # fmt: skip
ERROR = {"message": str, "link": str, "exceptionType": str, "code": int, "fields": str}


class Replay:
    """Sends the recorded requests, with this server's own ids and token in place of the recorded ones."""

    def __init__(self, server):
        self.server = server
        self.ids = {"sess-1": "", "snap-1": "", "exec-1": ""}
        self.token = ""

    def send(self, step, recorded):
        path = self.with_ids(recorded["path"])
        headers = {name: value.replace("Bearer TOK", f"Bearer {self.token}")
                   for name, value in recorded["headers"].items()}  # fmt: skip
        answer = self.server.request(recorded["method"], path, self.body(recorded), token=None, headers=headers)
        for key, name in (("sessionId", "sess-1"), ("snapshotId", "snap-1"), ("BatchExecutionId", "exec-1")):
            if answer.status in {201, 202} and key.encode() in answer.body:
                self.ids[name] = answer.json()[key]
        if answer.status == 202:
            eventually(
                lambda: (
                    self.server.request(
                        "GET", f"{path.partition('?')[0]}/{self.ids['exec-1']}", token=self.token
                    ).json()["state"]
                    == "Complete"
                )
            )
        if step == "login ok":
            self.token = answer.json()["access_token"]
        return answer

    def body(self, recorded) -> bytes | None:
        if "body_bytes" in recorded:
            whole, cut, _ = recorded["body_bytes"].partition("...(")
            body = ast.literal_eval(whole) + (self.rest_of_model(recorded) if cut else b"")
            # The recording's models are no models: ours takes their columns, `a` and `b`.
            return re.sub(rb"\bblob[12]\b", lambda _: LABELLED, body)
        text = recorded.get("body")
        return None if text is None else self.with_ids(text).replace('"pw"', json.dumps(PASSWORD)).encode()

    def rest_of_model(self, recorded) -> bytes:
        """The one body that was recorded only in part ends in the middle of its last part's first header."""
        boundary = recorded["headers"]["Content-Type"].partition("boundary=")[2]
        return f'; name="model"; filename="model"\r\n\r\nblob1\r\n--{boundary}--\r\n'.encode()

    def with_ids(self, text):
        for recorded, own in self.ids.items():
            text = text.replace(recorded, own)
        return text


@pytest.fixture(scope="module")
def replay(server):
    return Replay(server)


@pytest.mark.parametrize("step", STEPS, ids=[step["step"] for step in STEPS])
def test_the_recording(step, replay):
    """The steps follow one another: they are one conversation."""
    otherwise = OTHERWISE.get(step["step"])
    refused = 0
    for recorded in step["requests"]:
        asked = f"{recorded['method']} {recorded['path']}"
        status, shape = next((status, shape) for pattern, status, shape in EXPECTED if re.fullmatch(pattern, asked))
        answer = replay.send(step["step"], recorded)
        if answer.status != status:
            allowed = otherwise if isinstance(otherwise, tuple) else (otherwise,)
            assert answer.status in allowed, (asked, answer.body)
            shape, refused = ERROR, refused + 1
        assert_shape(answer, shape, asked)
    assert (refused > 0) == (otherwise is not None)


def assert_shape(answer, shape, asked):
    if shape is bytes:
        return
    body = answer.json() if shape is not None and answer.body else None
    if isinstance(shape, dict):
        body, shape = [body], [shape]
    if isinstance(shape, list):
        (inner,) = shape
        for one in body:
            if isinstance(inner, dict):
                assert {name: type(one[name]) for name in inner} == inner, asked
            else:
                assert type(one) is inner, asked
    elif shape is not None:
        assert type(body) is shape, asked
