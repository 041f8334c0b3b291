"""Calling realtime services: every form of a body, names and types of columns, what is missing, and batches."""

import json

import msgspec
import numpy as np
import onnx_models as models
import pyarrow as pa
import pytest
from onnx_models import LABELLED, LINEAR, publish

ARROW = "application/vnd.apache.arrow.stream"
PACKED = "application/msgpack"
COLUMNS = {"a": [1.0, 2.0, -1.5], "b": [0, 1, 2]}
ANSWER = [3.0, 4.0, -4.0]


@pytest.fixture(scope="module")
def scored(server):
    assert publish(server, "lines/1", LINEAR).status == 201
    assert publish(server, "labels/1", LABELLED).status == 201
    choosy = models.box(
        models.labelled(),
        "a:double,b:string",
        "y:double",
        a={"nullable": True, "default": 10.0},
        b={"categories": ("x", "y")},
    )
    assert publish(server, "choosy/1", choosy).status == 201
    kinds = models.model(
        [
            models.helper.make_node("Cast", ["i"], ["fi"], to=models.FLOAT),
            models.helper.make_node("Cast", ["l"], ["fl"], to=models.FLOAT),
            models.helper.make_node("Add", ["fi", "fl"], ["sum"]),
            models.helper.make_node("Add", ["sum", "d"], ["y"]),
            models.helper.make_node("Not", ["l"], ["other"]),
            models.helper.make_node("Identity", ["i"], ["whole"]),
            models.helper.make_node("Identity", ["s"], ["text"]),
        ],
        [
            ("d", models.FLOAT, [None]),
            ("i", models.INT64, [None]),
            ("l", models.TensorProto.BOOL, [None, 1]),
            ("s", models.STRING, [None, 1]),
        ],
        [
            ("y", models.FLOAT, [None, None]),
            ("other", models.TensorProto.BOOL, [None, 1]),
            ("whole", models.INT64, [None]),
            ("text", models.STRING, [None, 1]),
        ],
    )
    graph = models.box(
        kinds,
        "d:double,i:integer,l:logical,s:string",
        "other:logical,whole:integer,text:string",
        d={"nullable": True},
    )
    assert publish(server, "kinds/1", graph).status == 201
    return server


def call(server, body, path="lines/1", media="application/json", accept="application/json"):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.request("POST", f"/api/{path}", sent, headers={"Content-Type": media, "Accept": accept})


def output(answer):
    assert answer.status == 200, answer
    body = answer.json()
    assert (body["success"], body["errorMessage"], body["outputFiles"]) == (True, "", {})
    return body["outputParameters"]["outputData"]


def stream(columns, **more):
    table = pa.table(columns, **more)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def read(answer):
    assert (answer.status, answer.headers["Content-Type"]) == (200, ARROW), answer
    return pa.ipc.open_stream(answer.body).read_all()


ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


@pytest.mark.parametrize("body", [{"inputData": COLUMNS}, COLUMNS, {"inputData": ROWS}, ROWS], ids=range(4))
def test_columns_and_rows_in_any_order(scored, body):
    assert output(call(scored, body)) == {"prediction": ANSWER}
    if isinstance(body, dict):
        turned = (
            dict(reversed((body.get("inputData") or body).items()))
            if not isinstance(body.get("inputData"), list)
            else body
        )
        assert output(call(scored, turned)) == {"prediction": ANSWER}
    packed = msgspec.msgpack.encode(body)
    assert output(call(scored, packed, media=PACKED)) == {"prediction": ANSWER}
    answer = call(scored, packed, media=PACKED, accept=PACKED)
    assert answer.headers["Content-Type"] == PACKED
    assert msgspec.msgpack.decode(answer.body)["outputParameters"] == {"outputData": {"prediction": ANSWER}}
    assert read(call(scored, body, accept=ARROW)).to_pydict() == {"prediction": ANSWER}


def test_one_row_as_an_object(scored):
    for body in ({"a": 1, "b": 0}, {"inputData": {"a": 1, "b": 0}}, [{"a": 1, "b": 0}]):
        assert output(call(scored, body)) == {"prediction": [3.0]}
    assert output(scored.call("lines", a=1.0, b=0.0)) == {"prediction": [3.0]}


@pytest.mark.parametrize(
    "columns",
    [
        COLUMNS,
        {"b": np.array([0, 1, 2], "int8"), "a": np.array([1.0, 2.0, -1.5], "float32")},
        {"a": pa.chunked_array([[1.0], [2.0, -1.5]]), "b": pa.chunked_array([[0.0, 1.0], [2.0]])},
    ],
)
def test_arrow_in_and_out(scored, columns):
    assert read(call(scored, stream(columns), media=ARROW, accept=ARROW)).to_pydict() == {"prediction": ANSWER}
    assert output(call(scored, stream(columns), media=ARROW)) == {"prediction": ANSWER}


def test_large_bodies_of_every_form(scored):
    rows = np.random.default_rng(0).normal(size=(30_000, 2)).astype("float32")
    columns = {"a": rows[:, 0], "b": rows[:, 1]}
    expected = rows @ [2.0, -1.0] + 1
    plain = {name: values.tolist() for name, values in columns.items()}
    for body, media in (
        ({"inputData": plain}, "application/json"),
        (msgspec.msgpack.encode(plain), PACKED),
        (stream(columns), ARROW),
    ):
        answer = call(scored, body, media=media, accept=ARROW)
        np.testing.assert_allclose(read(answer)["prediction"].to_numpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            output(call(scored, body, media=media))["prediction"], expected, rtol=1e-4, atol=1e-5
        )


def test_empty_frames_give_empty_frames(scored):
    nothing = {"a": [], "b": []}
    for body in (nothing, {"inputData": nothing}, []):
        assert output(call(scored, body)) == {"prediction": []}
    none = stream({"a": pa.array([], "float64"), "b": pa.array([], "float64")})
    found = read(call(scored, none, media=ARROW, accept=ARROW))
    assert (found.num_rows, found.column_names) == (0, ["prediction"])
    body = {"d": [], "i": [], "l": [], "s": []}
    assert output(call(scored, body, "kinds/1")) == {"other": [], "whole": [], "text": []}


def test_every_type_there_and_back(scored):
    body = {"d": [0.5, None], "i": [2**62, -1], "l": [True, False], "s": ["hé", ""]}
    expected = {"other": [False, True], "whole": [2**62, -1], "text": ["hé", ""]}
    assert output(call(scored, body, "kinds/1")) == expected
    packed = msgspec.msgpack.encode(body)
    assert output(call(scored, packed, "kinds/1", PACKED)) == expected
    table = read(call(scored, stream(body), "kinds/1", ARROW, ARROW))
    assert table.to_pydict() == expected
    assert [str(field.type) for field in table.schema] == ["bool", "int64", "string"]
    coded = stream(body | {"s": pa.array(["hé", ""]).dictionary_encode()})
    assert read(call(scored, coded, "kinds/1", ARROW, ARROW)).to_pydict() == expected


CASES = [
    ({"a": [1.0]}, "$.b", "column 'b' is missing; the model takes a: double, b: double"),
    ({"a": 1.0}, "$.b", "column 'b' is missing"),
    ({"inputData": [{"a": 1, "b": 2}, {"a": 1}]}, "$.inputData[1].b", "column 'b' is missing"),
    ({**COLUMNS, "z": [1, 2, 3]}, "$.z", "no column 'z'"),
    ({"inputData": COLUMNS, "other": 1}, "$.other", "one input `inputData`"),
    ({"a": [1.0, None], "b": [1, 2]}, "$.a[1]", "no missing values"),
    ({"a": ["1.0"], "b": [1]}, "$.a[0]", "expected double"),
    ({"a": [True], "b": [1]}, "$.a[0]", "expected double"),
    ({"a": [1.0, 2.0], "b": [1]}, "$", "one length, got a: 2, b: 1"),
    ({"a": [1.0], "b": 1}, "$.b", "columns"),
    ({"inputData": None}, "$.inputData", "expected an object of columns"),
    ({"inputData": "text"}, "$.inputData", "expected an object of columns"),
    ([1, 2], "$[0]", "columns"),
    ({}, "$.a", "column 'a' is missing"),
]


@pytest.mark.parametrize(("body", "fields", "told"), CASES, ids=range(len(CASES)))
def test_what_does_not_fit_is_named(scored, body, fields, told):
    for sent, media in ((body, "application/json"), (msgspec.msgpack.encode(body), PACKED)):
        answer = call(scored, sent, media=media)
        assert answer.status == 400, answer
        assert answer.json()["fields"] == fields
        assert told in answer.json()["message"]


def test_what_does_not_fit_in_arrow_is_named(scored):
    for columns, told in (
        ({"a": [1.0]}, "column 'b' is missing"),
        ({"a": [1.0], "b": [1.0], "z": [1.0]}, "no column 'z'"),
        ({"a": ["x"], "b": [1.0]}, "expected double, got Arrow's string"),
        ({"a": [1.0, None], "b": [1.0, 2.0]}, "$.a: 1 values are missing"),
        ({"a": [[1.0]], "b": [1.0]}, "expected double"),
    ):
        answer = call(scored, stream(columns), media=ARROW, accept=ARROW)
        assert answer.status == 400
        assert told in answer.json()["message"]
    twice = pa.table([[1.0], [1.0], [2.0]], names=["a", "a", "b"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, twice.schema) as writer:
        writer.write_table(twice)
    assert call(scored, sink.getvalue().to_pybytes(), media=ARROW).status == 400


@pytest.mark.parametrize("media", ["application/json", PACKED, ARROW])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1e999", b"\xdd\xff\xff\xff\xff"])
def test_what_is_no_body_is_400(scored, media, body):
    answer = call(scored, body, media=media)
    assert answer.status == 400
    assert answer.json()["message"]


def test_damaged_arrow_is_400_or_502_and_nobody_else_notices(scored):
    body = stream({"d": [0.5] * 9, "i": list(range(9)), "l": [True] * 9, "s": ["text"] * 9})
    for place in range(0, len(body), 23):
        damaged = body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]
        assert call(scored, damaged, "kinds/1", ARROW).status in {200, 400, 502}
        assert call(scored, body[:place], "kinds/1", ARROW).status == 400
    assert output(call(scored, COLUMNS)) == {"prediction": ANSWER}


def test_missing_values_become_what_the_model_says(scored):
    assert output(call(scored, {"a": [1.0, None], "b": ["x", "y"]}, "choosy/1")) == {"y": [3.0, 22.0]}
    columns = {"a": pa.array([1.0, None]), "b": ["x", "y"]}
    assert read(call(scored, stream(columns), "choosy/1", ARROW, ARROW)).to_pydict() == {"y": [3.0, 22.0]}
    refused = call(scored, {"a": [1.0], "b": [None]}, "choosy/1")
    assert (refused.status, refused.json()["fields"]) == (400, "$.b[0]")


def test_categories_that_the_model_refuses_are_named(scored):
    columns = {"a": [1.0, 2.0, 3.0], "b": ["x", "z", "w"]}
    for body, media in ((columns, "application/json"), (stream(columns), ARROW)):
        answer = call(scored, body, "choosy/1", media)
        assert answer.status == 400
        assert answer.json()["fields"] == "$.b"
        assert "does not know 'z', 'w'; it knows 'x', 'y'" in answer.json()["message"]
    assert output(call(scored, {"a": [1.0], "b": ["z"]}, "labels/1")) == {"y": [2.0]}


def test_whole_numbers_may_be_written_as_fractions_of_nothing(scored):
    body = {"d": [1], "i": [3.0], "l": [True], "s": ["x"]}
    assert output(call(scored, body, "kinds/1"))["whole"] == [3]
    for value in (3.5, 2**70, "3"):
        assert call(scored, {**body, "i": [value]}, "kinds/1").status == 400


def test_numbers_beyond_the_models_type_are_infinite_and_answers_null(scored):
    assert output(call(scored, {"a": [1e300], "b": [0.0]})) == {"prediction": [None]}
    infinite = stream({"a": [1e300, float("inf"), float("-inf")], "b": [0.0, 0.0, 0.0]})
    found = read(call(scored, infinite, media=ARROW, accept=ARROW))["prediction"].to_pylist()
    assert found == [float("inf"), float("inf"), float("-inf")]
    packed = msgspec.msgpack.encode({"a": [float("inf"), float("-inf")], "b": [0.0, 0.0]})
    assert call(scored, packed, media=PACKED).status == 200


def test_what_is_not_a_number_is_missing(scored):
    columns = {"a": [1.0, float("nan")], "b": [0.0, 0.0]}
    for body, media in ((stream(columns), ARROW), (msgspec.msgpack.encode(columns), PACKED)):
        answer = call(scored, body, media=media)
        assert (answer.status, answer.json()["fields"]) == (400, "$.a"), answer
        assert "$.a[1]: is missing (NaN)" in answer.json()["message"]
    columns["b"] = ["x", "y"]
    for body, media in ((stream(columns), ARROW), (msgspec.msgpack.encode(columns), PACKED)):
        assert output(call(scored, body, "choosy/1", media)) == {"y": [3.0, 22.0]}


def test_latest_and_unknown_versions(scored):
    assert output(call(scored, COLUMNS, "lines")) == {"prediction": ANSWER}
    assert output(call(scored, COLUMNS, "lines/latest")) == {"prediction": ANSWER}
    assert call(scored, COLUMNS, "lines/9").status == 404
