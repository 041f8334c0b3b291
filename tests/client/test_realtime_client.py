"""Realtime services from Python: a model is serialized, published, and scored with rows in every form."""

from __future__ import annotations

import inspect
import json
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from onnx_models import LINEAR, linear
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from jupyter_mlops import DeployClient, serialize_model
from jupyter_mlops.client import frames
from jupyter_mlops.errors import Conflict, InvalidInput, InvalidRequest, NotFound, PublishRefused

ROWS = pd.DataFrame(
    {"age": [71, 158, 128, 2], "number": [3, 3, 4, 5], "start": [5.0, 14.0, 5.0, 1.0], "ward": ["a", "b", "a", "b"]},
    index=[10, 20, 30, 40],
)
PRESENT = np.array(["absent", "absent", "present", "absent"])


def trained():
    columns = ColumnTransformer([("ward", OneHotEncoder(), ["ward"])], remainder="passthrough")
    return make_pipeline(columns, LogisticRegression(max_iter=10_000)).fit(ROWS, PRESENT)


MODEL = trained()
PREDICTED = MODEL.predict(ROWS).tolist()
BOX = serialize_model(MODEL, ROWS, description="Kyphosis after an operation", quiet=True)


@pytest.fixture(scope="module")
def client(server):
    with DeployClient(server.url, auth=server.token) as client:
        yield client


@pytest.fixture(scope="module")
def service(client):
    """A realtime service that no test changes."""
    return client.realtime_service("kyphosis").version("1.0").serialized_model(BOX).alias("score").deploy()


def of(response):
    assert response.success, response.error
    return response.output("outputData")


def same(response, rows=ROWS):
    frame = of(response)
    assert frame["prediction"].tolist() == MODEL.predict(rows).tolist()
    assert frame["probability_present"].to_numpy() == pytest.approx(MODEL.predict_proba(rows)[:, 1], abs=1e-5)
    return frame


def test_a_model_is_published_and_known_by_its_columns(client, service):
    assert (service.name, service.version, service.alias) == ("kyphosis", "1.0", "score")
    assert service.view.description == "Kyphosis after an operation"
    assert service.capabilities()["runtime"] == "Realtime"
    assert service.capabilities()["inputs"] == [{"name": "inputData", "type": "data.frame"}]
    assert type(service).__name__ == "KyphosisService"
    assert {one.name: one.type for one in service.model.inputs}["ward"] == "string"
    told = inspect.getdoc(service.score)
    assert "ward: string" in told
    assert "prediction: string" in told
    found = client.get_service("kyphosis")
    same(found.score(ROWS))
    assert client.list_services("kyphosis", "1.0")[0]["runtimeType"] == "Realtime"


def test_rows_in_every_form(service):
    frame = same(service.score(ROWS))
    assert frame.index.tolist() == ROWS.index.tolist()
    same(service(ROWS))
    same(service(ROWS[["ward", "start", "number", "age"]]))  # by name, in any order
    same(service.score(inputData=ROWS))
    same(service.score({"inputData": ROWS.to_dict("list")}))
    same(service.score(ROWS.to_dict("list")))
    same(service.score(ROWS.to_dict("records")))
    same(service.score(ROWS.to_numpy()))
    same(service.score(ROWS.to_numpy().tolist()))
    same(service.score(pa.Table.from_pandas(ROWS, preserve_index=False)))
    same(service.score(**{name: ROWS[name] for name in ROWS}))
    same(service.score(*(ROWS[name].tolist() for name in ROWS)))


def test_one_row_in_every_form(service):
    row = ROWS.iloc[[1]]
    for response in (
        service.score(age=158, number=3, start=14.0, ward="b"),
        service.score(158, 3, start=14.0, ward="b"),
        service.score({"age": np.int64(158), "number": 3, "start": 14.0, "ward": "b"}),
        service.score([158, 3, 14.0, "b"]),
        service.score(ROWS.iloc[1]),
        service.score(row),
    ):
        assert len(same(response, row)) == 1


def test_what_does_not_fit_is_told_by_name(service):
    for given, told in (
        (lambda: service.score(ROWS.drop(columns="ward")), "the column 'ward' is missing; the model takes age: "),
        (lambda: service.score(ROWS.assign(more=1)), "the model has no column 'more'; the model takes age: "),
        (lambda: service.score(age=1, number=2, start=3.0), "the column 'ward' is missing"),
        (lambda: service.score(1, 2, 3, "a", age=4), "'age' is given twice"),
        (lambda: service.score(1, 2, 3, "a", 5), "5 values for 4 columns"),
        (lambda: service.score(age=[1, 2], number=2, start=3.0, ward="a"), "'number' is one value and 'age' holds"),
        (lambda: service.score(age=[1, 2], number=[1], start=[3], ward=["a"]), "not of one length: age: 2"),
        (lambda: service.score([{"age": 1, "number": 2, "start": 3.0}]), r"$[0].ward"),
        (lambda: service.score(np.zeros((2, 3))), "rows of 3 values came for 4 columns"),
        (lambda: service.score([[1, 2], [3]]), "rows of 2 values came for 4 columns"),
        (lambda: service.score(age=1, number=2, start="early", ward="a"), "start: expected a value for type numeric"),
        (lambda: service.score(ROWS.assign(ward=["a", "b", "c", "d"])), "the model does not know 'c', 'd'; it knows"),
        (lambda: service.score(ROWS.assign(start=[1.0, None, 2.0, 3.0])), "$.inputData.start[1]: is missing"),
    ):
        with pytest.raises(InvalidInput) as caught:
            given()
        assert told in str(caught.value)


def test_many_rows_go_and_come_as_arrow(service, monkeypatch):
    many = pd.concat([ROWS] * 1000, ignore_index=True)
    sent = []
    request = type(service._transport).request

    def seen(self, *args, **more):
        sent.append((more["content"].content_type, more["accept"]))
        return request(self, *args, **more)

    monkeypatch.setattr(type(service._transport), "request", seen)
    same(service.score(many), many)
    same(service.score(ROWS), ROWS)
    assert [kind.partition("/")[2] for kind, _ in sent] == ["vnd.apache.arrow.stream", "json"]
    assert sent[0][0] == sent[0][1]
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow", None)
        response = service.score(many)
    same(response, many)
    assert sent[-1][0] == "application/json"


def test_values_of_every_kind_go_as_arrow(client):
    count = 2 * frames.ARROW_FROM
    numbers = np.arange(count)
    service = client.deploy_realtime("lines", version="1", serialized_model=LINEAR)
    for a in (numbers, numbers.astype("float32"), numbers % 2 == 0, pd.Series(numbers, dtype="Int64"), list(numbers)):
        answered = of(service.consume(pd.DataFrame({"a": a, "b": numbers.astype(float)})))
        expected = 2 * np.asarray(a, dtype=float) - numbers + 1
        assert answered["prediction"].tolist() == expected.tolist()
    with pytest.raises(InvalidInput, match=r"\$\.b: 1 values are missing, and the model takes no missing values"):
        service.consume(a=numbers.astype(float), b=np.where(numbers == 7, np.nan, numbers))
    with pytest.raises(InvalidInput, match=r"\$\[3\]: Invalid `input` b: expected a value for type numeric, got str"):
        service.consume(a=numbers, b=[*map(float, numbers[:3]), "x", *map(float, numbers[4:])])
    assert of(service.consume(pd.DataFrame({"a": [], "b": []}))).to_dict("list") == {"prediction": []}


def test_columns_that_came_along_in_the_sample_may_be_sent_too(client):
    wide = ROWS.assign(outcome="absent")
    service = client.deploy_realtime("wide", version="1", serialized_model=serialize_model(MODEL, wide, quiet=True))
    assert service.model.ignored == ("outcome",)
    for rows in (wide, ROWS, wide.to_dict("records"), wide.to_dict("list")):
        same(service.consume(rows))
    same(service.consume(wide.iloc[1]), ROWS.iloc[[1]])
    with pytest.raises(InvalidInput, match="no column 'more'"):
        service.consume(wide.assign(more=1))
    path = service.url.removeprefix(service.server)
    for body in (wide.to_dict("records"), wide.to_dict("list"), wide.to_dict("records")[0]):
        answer = client.transport.json("POST", path, body)["outputParameters"]["outputData"]
        assert answer["prediction"] == PREDICTED[: len(answer["prediction"])]
    with pytest.raises(InvalidInput, match="no column 'more'"):
        client.transport.json("POST", path, wide.assign(more=1).to_dict("records"))
    body = pa.BufferOutputStream()
    table = pa.Table.from_pandas(wide, preserve_index=False)
    with pa.ipc.new_stream(body, table.schema) as writer:
        writer.write_table(table)
    sent = frames.Body(body.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream")
    answer = json.loads(client.transport.request("POST", path, content=sent))
    assert answer["outputParameters"]["outputData"]["prediction"] == PREDICTED


def test_batches_take_rows_of_the_models_columns(service, tmp_path):
    frame = service.batch(ROWS.assign(more=1)).start().wait().to_frame()
    assert frame.index.tolist() == ROWS.index.tolist()
    assert frame["prediction"].tolist() == MODEL.predict(ROWS).tolist()
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    for records in (ROWS.to_dict("records"), tmp_path / "rows.csv"):
        batch = service.batch(records).start()
        assert [row.output("prediction") for row in batch.in_order()] == MODEL.predict(ROWS).tolist()
    odd = service.batch([{"age": 1, "number": 2, "start": 3.0, "ward": ward} for ward in "ab?"]).start()
    (failed,) = [row for row in odd.in_order() if not row.success]
    assert "the model does not know '?'; it knows 'a', 'b'" in failed.error
    with pytest.raises(InvalidInput, match="there is no column 'ward'"):
        service.batch(ROWS.drop(columns="ward"))


def test_categories_go_as_text(service):
    many = pd.concat([ROWS] * 100, ignore_index=True).astype({"ward": "category"})
    same(service.score(many), many)
    same(service.score(many[:3]), many[:3])


def test_an_unchanged_publish_returns_what_is_there(client):
    box = serialize_model(MODEL, ROWS, quiet=True)
    first = client.deploy_realtime("again", serialized_model=box)
    assert (first.version, first.unchanged) == ("1", False)
    again = client.deploy_realtime("again", serialized_model=serialize_model(MODEL, ROWS, quiet=True))
    assert (again.version, again.unchanged) == ("1", True)
    assert client.deploy_realtime("again", version="1", serialized_model=box).unchanged
    second = client.deploy_realtime("again", serialized_model=LINEAR)
    assert (second.version, second.unchanged) == ("2", False)
    with pytest.raises(Conflict, match=r"version 1 exists and differs in: model\. Update .* or .* next version, 2"):
        client.deploy_realtime("again", version="1", serialized_model=LINEAR)
    with pytest.raises(Conflict, match="differs in: description, alias, timeout"):
        client.deploy_realtime("again", version="1", serialized_model=box, description="x", alias="y", timeout=5)
    assert client.deploy_realtime("again", version="1", serialized_model=box, timeout=60).unchanged


def test_a_change_takes_what_is_given(client):
    definition = client.realtime_service("changes").version("1.0").serialized_model(LINEAR).description("first")
    service = definition.alias("line").timeout(7).deploy()
    assert of(service.line(a=1, b=0))["prediction"].tolist() == [3.0]
    assert service.view.timeout == 7.0
    service = client.redeploy_realtime("changes", version="1.0", description="second")
    assert (service.view.description, service.alias, service.view.revision) == ("second", "line", 2)
    regression = LinearRegression().fit([[1.0], [2.0]], [10.0, 20.0])
    service = client.realtime_service("changes").serialized_model(serialize_model(regression, quiet=True)).redeploy()
    assert of(service.line([[3.0], [4.0]]))["prediction"].tolist() == pytest.approx([30.0, 40.0])
    assert len(service.revisions()) == 3
    assert service.serialized_model(1) == LINEAR
    with pytest.raises(InvalidRequest, match=r"changes 1\.0 is a model alone, .* serialized_model\(\) gives its bytes"):
        service.open()
    with pytest.raises(InvalidRequest, match=r"failures\(\) lists the calls that failed"):
        service.debug()
    assert of(service.rollback(1).line(a=1, b=0))["prediction"].tolist() == [3.0]


def test_what_is_no_serialized_model_is_refused(client, tmp_path):
    with pytest.raises(InvalidRequest, match=r"bytes, not a Pipeline: give serialize_model\(model\)"):
        client.realtime_service("no").serialized_model(MODEL)
    with pytest.raises(InvalidRequest, match="there is no file"):
        client.realtime_service("no").serialized_model(tmp_path / "no.onnx")
    with pytest.raises(InvalidRequest, match="needs a model"):
        client.realtime_service("no").version("1").deploy()
    with pytest.raises(InvalidRequest, match="no option 'code_fn'; the options are version, description, alias"):
        client.deploy_realtime("no", code_fn=trained)
    with pytest.raises(PublishRefused):
        client.deploy_realtime("no", serialized_model=b"pickle")
    with pytest.raises(NotFound):
        client.get_service("no")


def test_onnx_files_are_taken(client, tmp_path):
    path = tmp_path / "line.onnx"
    path.write_bytes(linear().SerializeToString())
    service = client.realtime_service("file").serialized_model(path).deploy()
    assert of(service.consume([[1.0, 0.0], [2.0, 1.0]]))["y"].tolist() == [3.0, 4.0]
