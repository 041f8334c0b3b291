"""Batches of realtime services: rows of the model's columns run in chunks, and guilty rows alone fail."""

import json

import numpy as np
import onnx_models as models
import pyarrow as pa
import pytest
from onnx_models import LABELLED, LINEAR, publish
from support import eventually

ROWS = 25_000


@pytest.fixture(scope="module")
def scored(server):
    assert publish(server, "lines/1", LINEAR).status == 201
    assert publish(server, "labels/1", LABELLED).status == 201
    choosy = models.box(models.labelled(), "a:double,b:string", "y:double", b={"categories": ("x", "y")})
    assert publish(server, "choosy/1", choosy).status == 201
    assert publish(server, "loop/1", models.looping()).status == 201
    return server


def submit(server, name, records, media="application/json"):
    body = records if isinstance(records, bytes) else json.dumps(records).encode()
    answer = server.request("POST", f"/api/{name}/1/batch?parallelCount=2", body, headers={"Content-Type": media})
    assert answer.status == 202, answer
    return f"/api/{name}/1/batch/{answer.json()['batchExecutionId']}"


def finished(server, path):
    def done():
        answer = server.request("GET", path).json()
        return answer if answer["state"] in {"Complete", "Failed"} else None

    return eventually(done, 30)


def test_rows_are_answered_at_their_places(scored):
    rows = np.random.default_rng(0).normal(size=(ROWS, 2)).round(3)
    table = pa.table({"a": rows[:, 0], "b": rows[:, 1]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    path = submit(scored, "lines", sink.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream")
    answer = finished(scored, path)
    assert (answer["state"], answer["completedItemCount"]) == ("Complete", ROWS)
    found = [one["outputParameters"]["prediction"] for one in answer["batchExecutionResults"]]
    np.testing.assert_allclose(found, rows @ [2.0, -1.0] + 1, rtol=1e-4, atol=1e-4)


def test_records_as_old_clients_send_them(scored):
    answer = finished(scored, submit(scored, "labels", [{"a": 1.0, "b": "x"}, {"a": 2, "b": "?"}]))
    results = answer["batchExecutionResults"]
    assert [one["outputParameters"] for one in results] == [{"y": 3.0}, {"y": 4.0}]
    assert all(one["success"] for one in results)


def test_only_guilty_rows_fail(scored):
    records = [{"a": 1.0, "b": "z" if number in {3, 77} else "x"} for number in range(100)]
    answer = finished(scored, submit(scored, "choosy", records))
    assert answer["state"] == "Complete"
    wrong = {i: one for i, one in enumerate(answer["batchExecutionResults"]) if not one["success"]}
    assert set(wrong) == {3, 77}
    assert "does not know 'z'" in wrong[3]["errorMessage"]


def test_what_does_not_fit_is_refused_at_once(scored):
    answer = scored.request("POST", "/api/lines/1/batch", [{"a": 1.0, "b": 1.0}, {"a": "x", "b": 1.0}])
    assert answer.status == 400
    assert answer.json()["fields"] == "$[1].a"
    assert scored.request("POST", "/api/lines/1/batch", [{"a": 1.0}]).status == 400


def test_a_batch_that_hangs_can_be_cancelled(scored):
    path = submit(scored, "loop", [{"x": 2**50}] * 3)
    eventually(lambda: scored.request("GET", "/services/loop/1/pool/kernels").json()["kernels"])
    assert scored.request("DELETE", path).status == 200
    assert scored.request("GET", path).status == 404
    quick = scored.request("POST", "/api/lines/1", {"a": 1.0, "b": 0.0}, timeout=20)
    assert quick.status == 200


def test_frames_are_scored_as_machine_learning_server_did(scored):
    records = [
        {"inputData": {"a": [1.0, 2.0], "b": ["x", "?"]}},
        {"inputData": {"a": [1.0], "b": [3]}},
        {"inputData": {"b": ["y"], "a": [0]}},
    ]
    answer = finished(scored, submit(scored, "labels", records))
    assert (answer["state"], answer["totalItemCount"]) == ("Complete", 3)
    first, wrong, last = answer["batchExecutionResults"]
    assert first["outputParameters"] == {"outputData": {"y": [3.0, 4.0]}}
    assert last["outputParameters"] == {"outputData": {"y": [2.0]}}
    assert (wrong["success"], "expected string" in wrong["errorMessage"]) == (False, True)


def test_a_frame_that_is_none_is_refused_at_once(scored):
    answer = scored.request("POST", "/api/labels/1/batch", [{"inputData": {"a": [1], "b": ["x"]}}, {"a": 1, "b": "x"}])
    assert (answer.status, answer.json()["fields"].startswith("$[1]")) == (400, True), answer


def test_many_frames_are_scored_in_several_slices_and_large_ones_too(scored):
    wide = [{"inputData": {"a": [float(n)] * 20_000, "b": [0.5] * 20_000}} for n in range(3)]
    small = [{"inputData": {"a": [float(n)], "b": [0.5]}} for n in range(2000)]
    answer = finished(scored, submit(scored, "lines", wide + small))
    found = [one["outputParameters"]["outputData"]["prediction"] for one in answer["batchExecutionResults"]]
    assert [len(one) for one in found] == [20_000] * 3 + [1] * 2000
    assert [one[0] for one in found] == pytest.approx([2 * n + 0.5 for n in (*range(3), *range(2000))])
