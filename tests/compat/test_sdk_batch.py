"""Batches of the unmodified SDK. What it does wrong by itself is expected here as it is (docs/migration.md)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from azsdk import HttpException, fresh
from support import eventually

pytest_plugins = ["jupyter_fixtures"]


def manualTransmission(hp, wt):  # noqa: N802
    import pandas as pd

    if hp < 0:
        raise ValueError(f"no such engine: {hp}")
    answer = pd.DataFrame({"am_Pred": [hp * k + wt]})  # noqa: F821
    answer.to_csv("answer.csv")
    return answer


@pytest.fixture(scope="module")
def service(client):
    return (
        client.service(fresh("Batched"))
        .version("1.0")
        .code_fn(manualTransmission)
        .inputs(hp=float, wt=float)
        .outputs(answer=pd.DataFrame)
        .objects(k=2)
        .artifacts(["answer.csv", "image.png"])
        .deploy()
    )


def finished(batch):
    return eventually(lambda: (results := batch.results()).state == "Complete" and results, 30)


CARS = pd.DataFrame({"name": ["a", "b", "c"], "wt": [0.5, 0.25, 0.125], "hp": [110.0, 93.0, 1.0]})
FORMS = {
    "frame": CARS,
    "columns": {"hp": [110.0, 93.0, 1.0], "wt": [0.5, 0.25, 0.125]},
    "records": [{"hp": 110.0, "wt": 0.5}, {"hp": 93.0, "wt": 0.25}, {"hp": 1.0, "wt": 0.125}],
}


@pytest.mark.parametrize("form", FORMS)
def test_records_in_every_form(form, service):
    batch = service.batch(FORMS[form], parallel_count=3)
    assert batch.execution_id is None
    assert batch.results() is None
    assert batch.start() is batch
    assert batch.start().execution_id == batch.execution_id  # once is enough
    results = finished(batch)
    assert (results.completed_item_count, results.total_item_count) == (3, 3)
    assert results.execution_id == batch.execution_id
    assert results.api == service.capabilities()["api"]
    assert [results.execution(n).output("answer")["am_Pred"].tolist() for n in range(3)] == [[220.5], [186.25], [2.125]]
    assert results.execution(0).artifact("answer.csv", encoding="utf-8") == ",am_Pred\n0,220.5\n"
    assert "Complete" in str(results)
    batch.cancel()


def test_an_item_that_raises_is_one_item(service):
    batch = service.batch([{"hp": 1, "wt": 0}, {"hp": -1, "wt": 0}, {"hp": 3, "wt": 0}]).start()
    results = finished(batch)
    assert [bool(results.execution(n).error) for n in range(3)] == [False, True, False]
    assert "no such engine: -1" in results.execution(1).error
    assert results.execution(1).output("answer") is None
    assert batch.results(show_partial_results=False).state == "Complete"
    batch.cancel()


def test_files_of_items(service, tmp_path, monkeypatch):
    batch = service.batch(CARS).start()
    finished(batch)
    assert batch.list_artifacts(1) == ["answer.csv"]
    assert batch.artifact(1, "answer.csv") == b",am_Pred\n0,186.25\n"
    (path,) = batch.download(1, "answer.csv", str(tmp_path))
    assert Path(path).read_bytes() == b",am_Pred\n0,186.25\n"
    (path,) = batch.download(1, None, str(tmp_path))
    assert Path(path).read_bytes() == b",am_Pred\n0,220.5\n"  # S6: of item 0
    for index, name in ((7, "answer.csv"), (1, "nosuch.csv")):
        with pytest.raises(HttpException) as caught:
            batch.artifact(index, name)
        assert caught.value.status == 404
    batch.cancel()


def test_batches_are_listed_found_and_cancelled(service):
    batch = service.batch(CARS).start()
    identifier = batch.execution_id
    assert identifier in service.list_batch_executions()
    found = service.get_batch(identifier)
    assert found.execution_id == identifier
    assert finished(found).total_item_count == 3
    assert found.cancel() is None
    assert identifier not in service.list_batch_executions()
    with pytest.raises(HttpException) as caught:
        found.results()
    assert caught.value.status == 404


def test_before_it_is_started(service):
    batch = service.batch(CARS)
    assert (batch.parallel_count, len(batch.records)) == (10, 3)
    assert batch.state() is None  # S9
    for ask in (
        batch.cancel,
        lambda: batch.list_artifacts(0),
        lambda: batch.artifact(0, "a"),
        lambda: batch.download(0),
    ):
        with pytest.raises(ValueError, match="Batch not started"):
            ask()


def test_refusals(service, client):
    with pytest.raises(ValueError, match="Record out of bounds"):
        service.batch({"hp": [1.0, 2.0], "wt": [1.0]})
    void = client.deploy_service(fresh("void"), version="1", code_str="y = 1", outputs={"y": int})
    with pytest.raises(ValueError, match="void inputs"):
        void.batch([{}])
    with pytest.raises(HttpException) as caught:
        service.batch([{"hp": "fast", "wt": 1}]).start()
    assert caught.value.status == 400
    assert "$[0].hp" in caught.value.body
    with pytest.raises(HttpException) as caught:
        service.get_batch("nosuch").results()
    assert caught.value.status == 404
