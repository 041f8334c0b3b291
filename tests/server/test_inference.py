"""Open Inference Protocol V2, with Triton's own client."""

import json

import numpy as np
import onnx_models as models
import pytest
import tritonclient.http as triton
from onnx_models import LABELLED, LINEAR, publish
from tritonclient.utils import InferenceServerException

ROWS = np.array([[1.0, 0.0], [2.0, 1.0], [0.5, -3.0]])
ANSWER = [3.0, 4.0, 5.0]


@pytest.fixture(scope="module")
def scored(server):
    assert publish(server, "lines/1.0", LINEAR).status == 201
    assert publish(server, "lines/2.0", LINEAR).status == 201
    assert publish(server, "labels/1", LABELLED).status == 201
    assert server.publish_code("code", "1", "y = 1", "", "y:numeric").status == 201
    return server


@pytest.fixture
def client(scored):
    with triton.InferenceServerClient(scored.url.removeprefix("http://")) as client:
        yield client


@pytest.fixture
def headers(scored):
    """A new dict for each use, because the client writes into it."""
    return lambda: {"Authorization": f"Bearer {scored.token}"}


def tensor(name, values, kind, *, binary=True):
    one = triton.InferInput(name, list(values.shape), kind)
    one.set_data_from_numpy(values, binary_data=binary)
    return one


def test_the_server_tells_of_itself_and_its_models(client, headers):
    assert client.is_server_live(headers=headers())
    assert client.is_server_ready(headers=headers())
    assert client.get_server_metadata(headers=headers())["extensions"] == ["binary_tensor_data"]
    assert client.is_model_ready("lines", "1.0", headers=headers())
    assert client.is_model_ready("lines", headers=headers())
    assert not client.is_model_ready("lines", "9", headers=headers())
    assert not client.is_model_ready("code", headers=headers())
    metadata = client.get_model_metadata("labels", "1", headers=headers())
    assert metadata["inputs"] == [
        {"name": "a", "datatype": "FP64", "shape": [-1]},
        {"name": "b", "datatype": "BYTES", "shape": [-1]},
    ]
    assert metadata["outputs"] == [{"name": "y", "datatype": "FP64", "shape": [-1]}]
    assert client.get_model_metadata("lines", headers=headers())["versions"] == ["1.0", "2.0"]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tensors_go_in_and_out_in_json_and_as_bytes(client, headers, binary_in, binary_out):
    inputs = [tensor("X", ROWS.astype(np.float32), "FP32", binary=binary_in)]
    outputs = [triton.InferRequestedOutput("prediction", binary_data=binary_out)]
    result = client.infer("lines", inputs, model_version="1.0", outputs=outputs, request_id="seven", headers=headers())
    assert result.as_numpy("prediction").tolist() == ANSWER
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("seven", "lines", "1.0")
    assert ("parameters" in response["outputs"][0]) == binary_out


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_tensor_for_each_column(client, headers, shape):
    inputs = [tensor(name, ROWS[:, place].reshape(shape), "FP64") for place, name in enumerate("ab")]
    assert client.infer("lines", inputs, headers=headers()).as_numpy("prediction").tolist() == ANSWER


@pytest.mark.parametrize("binary", [True, False])
def test_strings_are_bytes_tensors(client, headers, binary):
    inputs = [
        tensor("a", np.array([1.0, 2.0, 0.0]), "FP64", binary=binary),
        tensor("b", np.array(["x", "y", "né"], object), "BYTES", binary=binary),
    ]
    assert client.infer("labels", inputs, headers=headers()).as_numpy("y").tolist() == [3.0, 6.0, 0.0]


def test_large_tensors_and_empty_ones(client, headers):
    rows = np.arange(60_000, dtype=np.float32).reshape(-1, 2)
    found = client.infer("lines", [tensor("X", rows, "FP32")], headers=headers()).as_numpy("prediction")
    assert found.tolist() == (rows @ [2.0, -1.0] + 1).tolist()
    none = client.infer("lines", [tensor("X", rows[:0], "FP32")], headers=headers()).as_numpy("prediction")
    assert none.shape == (0,)


def test_what_does_not_fit_is_named(client, headers):
    cases = [
        ([tensor("a", np.array([1.0]), "FP64")], "column 'b' is missing"),
        ([tensor("X", np.zeros((1, 3), np.float32), "FP32"), tensor("z", np.zeros(1), "FP64")], "no input 'z'"),
        (
            [tensor("a", np.array(["x"], object), "BYTES"), tensor("b", np.array([1.0]), "FP64")],
            "expected FP64 for 'a'",
        ),
        ([tensor("a", np.array([1.0]), "FP64"), tensor("b", np.array([1.0, 2.0]), "FP64")], "one length"),
        ([tensor("X", np.array([[1, 2], [3, np.nan]], np.float32), "FP32")], r"inputs.b\[1\]: is missing \(NaN\)"),
    ]
    for inputs, told in cases:
        with pytest.raises(InferenceServerException, match=told) as caught:
            client.infer("lines", inputs, headers=headers())
        assert caught.value.status() == "400"
    with pytest.raises(InferenceServerException, match="standard service") as caught:
        client.infer("code", [tensor("x", np.zeros(1), "FP64")], headers=headers())
    assert caught.value.status() == "404"
    with pytest.raises(InferenceServerException, match="no output 'z'"):
        client.infer(
            "lines",
            [tensor("X", ROWS.astype(np.float32), "FP32")],
            outputs=[triton.InferRequestedOutput("z")],
            headers=headers(),
        )


def test_bodies_that_lie_about_their_bytes_are_400(scored):
    def send(inputs, rest=b"", length=None):
        head = json.dumps({"inputs": inputs}).encode()
        sent = {"Inference-Header-Content-Length": str(len(head) if length is None else length)} if rest else {}
        return scored.request("POST", "/v2/models/lines/infer", head + rest, headers=sent)

    one = {"name": "X", "shape": [1, 2], "datatype": "FP32"}
    for body in (
        send([{**one, "data": [1.0]}]),
        send([{**one, "data": [[1.0, 2.0], [3.0]]}]),
        send([{**one, "data": [1.0, None]}]),
        send([{**one, "shape": [-1, 2], "data": [1.0, 2.0]}]),
        send([{**one, "shape": [2**62, 2**62], "data": [1.0, 2.0]}]),
        send([{**one, "datatype": "FP7", "data": [1.0, 2.0]}]),
        send([one]),
        send([{**one, "parameters": {"binary_data_size": 8}}], b"1234"),
        send([{**one, "parameters": {"binary_data_size": 7}}], b"1234567"),
        send([{**one, "parameters": {"binary_data_size": -8}}], b"12345678"),
        send([{**one, "parameters": {"binary_data_size": 8}}], b"12345678rest"),
        send([{**one, "parameters": {"binary_data_size": 8}}], b"12345678", 10**9),
        send([{**one, "parameters": {"binary_data_size": 8}}], b"12345678", "x"),
        send([{**one, "datatype": "BYTES", "parameters": {"binary_data_size": 5}}], b"\xff\xff\xff\x7fa"),
    ):
        assert body.status == 400, body
        assert body.json()["error"] == body.json()["message"]


def test_a_model_that_fails_is_422(scored):
    assert publish(scored, "greedy/1", models.greedy()).status == 201
    inputs = [{"name": "x", "shape": [1], "datatype": "INT64", "data": [2**42]}]
    answer = scored.request("POST", "/v2/models/greedy/infer", {"inputs": inputs})
    assert answer.status == 422
    assert "the model failed" in answer.json()["error"]


def test_credentials_are_needed(scored):
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/lines", "/v2/models/lines/ready"):
        assert scored.request("GET", path, token=None).status == 401
    assert scored.request("POST", "/v2/models/lines/infer", {}, token=None).status == 401
