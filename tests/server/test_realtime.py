"""Publishing realtime services: what is checked, recorded and shown, and that a refusal leaves nothing behind."""

import io
import json
import os
import tempfile
import zipfile
from pathlib import Path

import onnx_models as models
import psutil
import pytest
from onnx_models import LABELLED, LINEAR, publish
from support import eventually
from urllib3.filepost import encode_multipart_formdata

ROWS = {"a": [1.0, 2.0], "b": [0.0, 1.0]}


def answered(server, path="lines/1.0", rows=None):
    answer = server.request("POST", f"/api/{path}", {"inputData": rows or ROWS})
    assert answer.status == 200, answer
    return answer.json()["outputParameters"]["outputData"]


def on_disk(server):
    return sum(path.stat().st_size for path in server.data_dir.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def lines(server):
    """A realtime service that no test changes."""
    assert publish(server, "lines/1.0", LINEAR, description="linear", operationId="predict").status == 201
    return server


def test_a_model_is_published_and_shown_as_machine_learning_server_did(lines):
    assert answered(lines) == {"prediction": [3.0, 4.0]}
    (shown,) = lines.request("GET", "/services/lines/1.0").json()
    assert shown["runtimeType"] == "Realtime"
    assert shown["inputParameterDefinitions"] == [{"name": "inputData", "type": "data.frame"}]
    assert shown["outputParameterDefinitions"] == [{"name": "outputData", "type": "data.frame"}]
    assert shown["outputFileNames"] == []
    assert (shown["description"], shown["operationId"]) == ("linear", "predict")
    assert [column["name"] for column in shown["model"]["inputs"]] == ["a", "b"]
    assert shown["proof"] == "answered"


def test_it_answers_where_temporary_files_have_a_blank_in_their_path(start_server, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="a b") as place:  # short: sockets have short paths
        monkeypatch.setenv("TMPDIR", place)
        server = start_server()
        assert publish(server, "lines/1.0", LINEAR).status == 201
        assert answered(server) == {"prediction": [3.0, 4.0]}
        server.stop()


def test_documents_name_the_columns_with_their_types(lines):
    document = lines.request("GET", "/api/lines/1.0/openapi.json").json()
    data = document["components"]["schemas"]["InputParameters"]["properties"]["inputData"]
    assert data["properties"]["a"]["items"] == {"type": "number"}
    assert set(data["required"]) == {"a", "b"}
    swagger = lines.request("GET", "/api/lines/1.0/swagger.json").json()
    data = swagger["definitions"]["InputParameters"]["properties"]["inputData"]
    assert data["properties"]["b"] == {"type": "array", "items": {"type": "number"}}
    out = swagger["definitions"]["OutputParameters"]["properties"]["outputData"]
    assert out["properties"]["prediction"] == {"type": "array", "items": {"type": "number"}}


def test_a_bare_onnx_file_is_taken_and_its_columns_are_named_like_its_tensors(server):
    answer = publish(server, "bare", models.labelled())
    assert answer.status == 201
    assert answered(server, f"bare/{answer.json()}", {"a": [1, 2], "b": ["x", "?"]}) == {"y": [3.0, 4.0]}
    assert publish(server, "wide/1", models.linear()).status == 201
    assert answered(server, "wide/1", {"X_0": [1.0], "X_1": [0.0]}) == {"y": [3.0]}


def test_probabilities_that_a_graph_gives_as_a_map_are_columns(server):
    mapped = models.model(
        [
            models.helper.make_node("Concat", ["x", "x"], ["p"], axis=1),
            models.helper.make_node(
                "ZipMap", ["p"], ["probability"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"]
            ),
            models.helper.make_node("Identity", ["x"], ["label"]),
        ],
        [("x", models.FLOAT, [None, 1])],
        [("label", models.FLOAT, [None, 1])],
    )
    value = mapped.graph.output.add()
    value.name = "probability"
    inner = value.type.sequence_type.elem_type.map_type
    inner.key_type = models.STRING
    inner.value_type.tensor_type.elem_type = models.FLOAT
    assert publish(server, "mapped/1", mapped).status == 201
    expected = {"label": [0.5, 1.0], "probability_no": [0.5, 1.0], "probability_yes": [0.5, 1.0]}
    assert answered(server, "mapped/1", {"x": [0.5, 1.0]}) == expected


def test_what_is_wrong_is_told_first(server):
    missing = publish(server, "no/1.0", description="linear")
    assert (missing.status, missing.json()["fields"]) == (400, "$.model")
    assert "needs the file `model`" in missing.json()["message"]
    alias = publish(server, "no/1.0", LINEAR, operationId="not a name")
    assert (alias.status, alias.json()["fields"]) == (400, "$.operationId")
    version = publish(server, "no/latest", LINEAR)
    assert (version.status, version.json()["fields"]) == (400, "$.version")
    name = publish(server, "-a/1", LINEAR)
    assert (name.status, name.json()["fields"]) == (400, "$.name")
    other = publish(server, "no/1.0", LINEAR, other=("other", b"x", "text/plain"))
    assert (other.status, other.json()["fields"]) == (400, "$.other")
    assert server.request("GET", "/services/no").json() == []


def test_models_of_machine_learning_servers_own_are_refused_with_the_way_on(server):
    for content in (b"blob1", b"blob\x02\x00\x00\x00\x10\x00\x00\x00RxSerialized"):
        answer = publish(server, "old/1.0", content)
        assert answer.status == 422
        assert "rx_serialize_model" in answer.json()["message"]
        assert "jupyter_mlops.compat.revoscalepy" in answer.json()["message"]


def test_a_header_that_does_not_suit_its_graph_is_refused(server):
    for container, told in (
        (models.box(models.linear(), "a:double:X:0", "y:double"), "1 columns are for it"),
        (models.box(models.linear(), "a:double:X:0,b:double:X:5", "y:double"), "places 0 to n-1"),
        (models.box(models.linear(), "a:double:Z:0", "y:double"), "no input 'Z'"),
        (models.box(models.linear(), "a:double:X:0,b:double:X:1", "z:double"), "no output 'z'"),
        (models.box(models.linear(), "a:double:X:0,b:double:X:1", "z:double:y:7"), "has no column for 'z'"),
        (models.box(models.labelled(), "a:double", "y:double"), "input 'b'"),
    ):
        answer = publish(server, "odd/1.0", container)
        assert answer.status == 422, told
        assert told in answer.json()["message"]


def test_a_change_makes_a_revision_and_any_can_be_gone_back_to(server):
    assert publish(server, "changes/1", LINEAR, description="first").status == 201
    doubled = models.box(models.linear((4.0, -2.0), 2.0), "a:double:X:0,b:double:X:1", "prediction:double:y:0")
    assert publish(server, "changes/1", doubled, "PATCH").json() == "1"
    assert answered(server, "changes/1") == {"prediction": [6.0, 8.0]}
    assert publish(server, "changes/1", None, "PATCH", description="second", operationId="twice").status == 200
    (shown,) = server.request("GET", "/services/changes/1").json()
    assert (shown["description"], shown["operationId"], shown["revision"]) == ("second", "twice", 3)
    assert answered(server, "changes/1") == {"prediction": [6.0, 8.0]}
    assert server.request("POST", "/services/changes/1/rollback", {"revision": 1}).status == 200
    assert answered(server, "changes/1") == {"prediction": [3.0, 4.0]}
    revisions = server.request("GET", "/services/changes/1/revisions").json()
    assert [one["number"] for one in revisions if one["current"]] == [1]
    refused = publish(server, "changes/1", b"blob?", "PATCH")
    assert refused.status == 422
    assert answered(server, "changes/1") == {"prediction": [3.0, 4.0]}
    assert publish(server, "changes/1", None, "PATCH").status == 400


def test_standard_services_and_realtime_ones_are_changed_at_their_own_addresses(lines):
    lines.publish_code("there", "1", "y = 1", "", "y:numeric")
    assert publish(lines, "there/1", LINEAR, "PATCH").status == 409
    assert publish(lines, "there/1", LINEAR).status == 409
    assert publish(lines, "nothere/1", LINEAR, "PATCH").status == 404
    answer = lines.request("PATCH", "/services/lines/1.0", {"description": "x"})
    assert answer.status == 400
    assert "PATCH /realtime-services" in answer.json()["message"]
    again = lines.request("POST", "/services/lines/1.0", {"code": "x = 1"})
    assert again.status == 409
    lines.request("DELETE", "/services/there/1")


def test_it_is_deleted_with_its_model(server):
    assert publish(server, "gone/1", LABELLED).status == 201
    assert answered(server, "gone/1", {"a": [1.0], "b": ["y"]}) == {"y": [4.0]}
    archive = server.request("GET", "/services/gone/1/snapshot")
    with zipfile.ZipFile(io.BytesIO(archive.body)) as zipped:
        assert zipped.read("model") == LABELLED
        assert json.loads(zipped.read("service.json"))["name"] == "gone"
    (shown,) = server.request("GET", "/services/gone/1").json()
    digest = shown["captured"][0]["fingerprint"]
    assert list(server.data_dir.rglob(digest))
    assert server.request("DELETE", "/services/gone/1").status == 200
    assert server.request("POST", "/api/gone/1", {}).status == 404
    assert not list(server.data_dir.rglob(digest))


def test_pools_status_and_metrics_know_it(lines):
    answered(lines)
    view = lines.request("GET", "/services/lines/1.0/pool/kernels").json()
    assert view["calls"] >= 1
    assert len(view["kernels"]) >= 1
    assert lines.request("GET", "/services/lines/1.0/pool").json()[0]["Status"] == "Success"
    status = lines.request("GET", "/status").json()["components"]["services"]["components"]["lines/1.0"]
    assert status["statusCode"] == "pass"
    assert 'mlops_calls_total{outcome="answered",service="lines",version="1.0"}' in lines.request(
        "GET", "/metrics"
    ).body.decode().replace(
        '{service="lines",version="1.0",outcome="answered"}', ('{outcome="answered",service="lines",version="1.0"}')
    )


def test_another_kind_of_body_is_415(server):
    answer = server.request("POST", "/realtime-services/LinMod/1.0", {"model": "x"})
    assert answer.status == 415
    assert "multipart/form-data" in answer.json()["message"]
    headers = {"Content-Type": "multipart/form-data"}
    assert server.request("POST", "/realtime-services/LinMod/1.0", b"", headers=headers).status == 415


def test_a_form_that_is_cut_off_is_400(server):
    body, kind = encode_multipart_formdata({"model": ("model", LINEAR, "application/octet-stream")})
    answer = server.request("POST", "/realtime-services/LinMod/1.0", body[:-10], headers={"Content-Type": kind})
    assert answer.status == 400
    assert "ends before its last boundary" in answer.json()["message"]


def test_readers_are_refused_before_their_model_is_read(server):
    server.request("POST", "/users", {"name": "rita", "password": "x" * 12, "role": "Reader"})
    login = server.request("POST", "/login", {"username": "rita", "password": "x" * 12}, token=None).json()
    assert publish(server, "rita/1", LINEAR, token=login["access_token"]).status == 403
    announced = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(2**32)}
    path = "/realtime-services/LinMod/1.0"
    answer = server.request("POST", path, b"", token=login["access_token"], headers=announced, timeout=5)
    assert answer.status == 403


def test_a_large_model_that_is_refused_leaves_nothing_on_disk_and_little_in_memory(server):
    process = psutil.Process(server.process.pid)
    disk, memory = on_disk(server), process.memory_info().rss
    answer = publish(server, "large/1.0", os.urandom(2**20) * 100)
    assert answer.status == 422
    assert "is not an ONNX model" in answer.json()["message"]
    assert process.memory_info().rss - memory < 64 * 2**20
    eventually(lambda: on_disk(server) <= disk + 2**20)  # the log and the database may grow


def test_the_server_itself_never_loads_onnxruntime(lines):
    answered(lines)
    for process in (psutil.Process(lines.process.pid), *lines.processes()):
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        meant = {"jupyter_mlops.realtime.worker", "jupyter_mlops.realtime.nursery"}.intersection(process.cmdline())
        assert ("onnxruntime" in maps) == bool(meant)


def test_services_are_there_after_a_restart(start_server):
    server = start_server()
    assert publish(server, "lines/1.0", LINEAR).status == 201
    server.stop()
    server.start()
    assert answered(server) == {"prediction": [3.0, 4.0]}


def test_other_verbs_are_405(server):
    for method, path in (("GET", "a"), ("PATCH", "a"), ("DELETE", "a/1"), ("PUT", "a/1")):
        assert server.request(method, f"/realtime-services/{path}").status == 405
