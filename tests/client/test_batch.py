"""Batches from Python, against a real server: as with azureml.deploy, its faults mended, and what it had not."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import eventually

from jupyter_mlops import DeployClient
from jupyter_mlops.client.records import read_records
from jupyter_mlops.errors import DeadlineExceeded, InvalidInput, InvalidRequest, NotFound
from jupyter_mlops.schema.types import Parameter, ValueType

HP_WT = (Parameter(name="hp", type=ValueType.NUMERIC), Parameter(name="wt", type=ValueType.NUMERIC))


@pytest.fixture(scope="module")
def client(server):
    with DeployClient(server.url, auth=server.token) as client:
        yield client


@pytest.fixture(scope="module")
def cars(client):
    def ratio(hp: float, wt: float) -> float:
        if wt == 0:
            raise ZeroDivisionError(f"hp is {hp}")
        return hp / wt

    return client.deploy_service("cars", version="1.0", code_fn=ratio)


@pytest.fixture(scope="module")
def slow(client):
    def nap(x: float) -> float:
        import time

        time.sleep(max(x, 0.1))
        return x

    return client.deploy_service("slow", version="1", code_fn=nap, kernels=(1, 1))


class TestRecords:
    @pytest.mark.parametrize(
        "records",
        [
            [{"hp": 120, "wt": 2.5}, {"wt": 2, "hp": None}],
            ({"hp": hp, "wt": wt} for hp, wt in ((120, 2.5), (None, 2))),
            {"wt": [2.5, 2], "more": ["a", "b", "c"], "hp": [120, None]},
            {"wt": np.array([2.5, 2]), "hp": (120.0, float("nan"))},
            pd.DataFrame({"wt": [2.5, 2], "a column": [1, 2], "hp": [120, np.nan]}, index=["a", "b"]),
            pd.DataFrame({"hp": pd.array([120, None], dtype="Int64"), "wt": [2.5, 2], 3: 3}),
            [{"hp": np.float32(120), "wt": np.array([2.5])}, {"hp": pd.NA, "wt": np.int8(2)}],
        ],
        ids=["dicts", "generator", "columns", "arrays", "frame", "nullable", "numpy"],
    )
    def test_every_form_of_records_is_the_same_list(self, records):
        assert read_records(records, HP_WT) == [{"hp": 120, "wt": 2.5}, {"hp": None, "wt": 2}]

    def test_columns_may_have_any_name(self):
        names = ("petal.length", "petal width (cm)", "class", "0")
        inputs = tuple(Parameter(name=name, type=ValueType.NUMERIC) for name in names)
        frame = pd.DataFrame([[1, 2, 3, 4]], columns=["petal.length", "petal width (cm)", "class", 0])
        assert read_records(frame, inputs) == [dict(zip(names, (1, 2, 3, 4), strict=True))]

    def test_points_in_time_texts_and_frames(self):
        inputs = (
            Parameter(name="when", type=ValueType.CHARACTER, format="date-time"),
            Parameter(name="names", type=ValueType.VECTOR),
            Parameter(name="table", type=ValueType.DATA_FRAME),
        )
        when = dt.datetime(2020, 1, 2, 3, 4)
        records = {
            "when": pd.Series([when, pd.NaT]),
            "names": [["a", "b"], np.array(["c"])],
            "table": [pd.DataFrame({"x": [1, 2]}), {"x": []}],
        }
        assert read_records(records, inputs) == [
            {"when": "2020-01-02T03:04:00", "names": ["a", "b"], "table": {"x": [1, 2]}},
            {"when": None, "names": ["c"], "table": {"x": []}},
        ]

    @pytest.mark.parametrize(
        ("records", "fields", "word"),
        [
            ([{"hp": 1, "wt": 2}, {"hp": 1}], "$[1].wt", "missing"),
            ([{"hp": 1, "wt": 2, "x": 3}], "$[0].x", "no input 'x'"),
            ([{"hp": 1, "wt": 2}, 3], "$[1]", "a dict"),
            ([{"hp": 1, "wt": 2}, {"hp": "many", "wt": 2}], "$[1].hp", "numeric"),
            ({"hp": [1, 2, "many"], "wt": [1, 2, 3]}, "$[2].hp", "numeric"),
            ({"hp": [1, 2], "wt": [1, 2, 3]}, "$", "Record out of bounds"),
            ({"hp": [1, 2]}, "$.wt", "no column 'wt'"),
            ({"hp": [1, 2], "wt": 3}, "$.wt", "list of values"),
            ({"hp": [1, 2], "wt": "ab"}, "$.wt", "list of values"),
            (pd.DataFrame([[1, 2, 3]], columns=["hp", "wt", "hp"]), "$.hp", "two columns"),
            ("hp", "$", "list of dicts"),
            (3, "$", "list of dicts"),
        ],
    )
    def test_what_does_not_fit_is_refused_with_the_place(self, records, fields, word):
        with pytest.raises(InvalidInput, match=word) as caught:
            read_records(records, HP_WT)
        assert caught.value.fields == fields
        assert isinstance(caught.value, ValueError)

    def test_columns_that_are_no_inputs_may_repeat(self):
        frame = pd.DataFrame([[1, 2, 3, 4]], columns=["hp", "wt", "x", "x"])
        assert read_records(frame, HP_WT) == [{"hp": 1, "wt": 2}]

    def test_a_service_without_inputs_has_no_batches(self, client):
        service = client.deploy_service("void", version="1", code_fn=lambda: 1, outputs={"one": int})
        with pytest.raises(ValueError, match="Attempt to batch a service with void inputs"):
            service.batch([{}])


class TestBatch:
    def test_as_with_azureml_deploy(self, cars):
        batch = cars.batch({"hp": [120, 1, 90], "wt": [2, 0, 3]}, parallel_count=3)
        assert (batch.execution_id, batch.parallel_count, batch.api) == (None, 3, "/api/cars/1.0/batch")
        assert batch.records == [{"hp": 120, "wt": 2}, {"hp": 1, "wt": 0}, {"hp": 90, "wt": 3}]
        assert batch.results() is None
        assert batch.start() is batch
        first = batch.execution_id
        assert batch.start().execution_id == first
        response = eventually(lambda: (r := batch.results(show_partial_results=True)).state == "Complete" and r, 30)
        assert (response.completed_item_count, response.total_item_count) == (3, 3)
        assert (response.execution_id, response.api) == (first, "/api/cars/1.0")
        assert batch.state() == "Complete"
        assert response.execution(0).output("answer") == 60
        assert response.execution(2).outputs == {"answer": 30}
        failed = response.execution(1)
        assert "ZeroDivisionError: hp is 1" in failed.error
        assert failed.outputs == {"answer": None}
        assert list(response.errors) == [1]
        for index in (3, -1):
            with pytest.raises(NotFound, match="no record"):
                response.execution(index)
        assert first in cars.list_batch_executions()
        assert cars.get_batch_executions() == cars.list_batch_execution() == cars.list_batch_executions()
        assert "Complete, 3 of 3, 1 without" in repr(response)
        assert first in repr(batch)

    def test_a_batch_is_found_by_its_id(self, cars):
        started = cars.batch([{"hp": 4, "wt": 2}]).start()
        found = cars.get_batch(started.execution_id)
        assert found.records == []
        assert found.wait(30, progress=False).execution(0).output("answer") == 2
        with pytest.raises(NotFound, match=r"GET /api/cars/1\.0/batch"):
            cars.get_batch("unknown").state()

    def test_what_needs_a_started_batch_says_so(self, cars):
        batch = cars.batch([{"hp": 1, "wt": 1}])
        for ask in (
            batch.cancel,
            batch.delete,
            batch.retry_failed,
            batch.progress,
            batch.artifacts,
            batch.archive,
            batch.to_frame,
            batch.failed,
            batch.in_order,
            lambda: iter(batch),
            lambda: batch.execution(0),
            batch.state,
            batch.wait,
            batch.results_frame,
            lambda: batch.list_artifacts(0),
            lambda: batch.artifact(0, "a"),
            lambda: batch.download(0),
        ):
            with pytest.raises(ValueError, match="Batch not started"):
                ask()
        assert "not started" in repr(batch)

    def test_a_refusal_of_the_server_is_raised_at_start(self, cars):
        with pytest.raises(InvalidRequest, match="1 to 100"):
            cars.batch([{"hp": 1, "wt": 1}], parallel_count=0).start()

    def test_cancelling_stops_and_keeps_what_there_is(self, slow):
        batch = slow.batch([{"x": 0.1}, {"x": 30}], parallel_count=1).start()
        eventually(lambda: batch.progress().completed == 1)
        assert batch.cancel() is batch
        assert batch.state() == "Cancelled"
        assert batch.execution(0).output("answer") == 0.1
        assert batch.delete() is batch
        with pytest.raises(NotFound):
            batch.state()
        assert slow.nap(0.1).output("answer") == 0.1

    def test_results_are_seen_while_it_runs(self, slow):
        batch = slow.batch([{"x": 0.1}, {"x": 20}], parallel_count=1).start()
        seen = eventually(lambda: (r := batch.results()).completed_item_count == 1 and r)
        assert seen.execution(0).output("answer") == 0.1
        with pytest.raises(NotFound, match="not been processed yet"):
            seen.execution(1)
        assert batch.results(show_partial_results=False).errors == {}
        assert list(seen.to_frame()["answer"]) == [0.1]
        batch.cancel()


class TestWait:
    def test_it_shows_progress_and_returns_everything(self, slow, capsys):
        response = slow.batch([{"x": 0.1 + n / 1000} for n in range(5)]).start().wait()
        assert [response.execution(n).output("answer") for n in range(5)] == [0.1 + n / 1000 for n in range(5)]
        shown = capsys.readouterr().err
        assert "/api/slow/1" in shown
        assert "5/5" in shown

    def test_without_progress_it_is_silent(self, slow, capsys):
        slow.batch([{"x": 0.1}]).start().wait(progress=False)
        assert capsys.readouterr() == ("", "")

    def test_a_timeout_ends_the_waiting_only(self, slow):
        batch = slow.batch([{"x": 0.2}] * 4).start()
        with pytest.raises(DeadlineExceeded, match=r"of 4 records in 0\.1 seconds; it goes on"):
            batch.wait(0.1, progress=False)
        assert batch.wait(30, progress=False).completed_item_count == 4

    def test_an_empty_batch_has_been_waited_for(self, cars):
        response = cars.batch([]).start().wait(30, progress=False)
        assert (response.state, response.total_item_count) == ("Complete", 0)
        assert response.to_frame().empty

    def test_an_interrupt_ends_the_waiting_and_not_the_batch(self, server, slow):
        code = (
            "import sys\nfrom jupyter_mlops import DeployClient\n"
            "service = DeployClient(sys.argv[1], auth=sys.argv[2]).get_service('slow')\n"
            "batch = service.batch([{'x': 1.0}] * 3).start()\n"
            "print(batch.execution_id, flush=True)\n"
            "try:\n    batch.wait()\nexcept KeyboardInterrupt:\n    print('left', batch.state(), flush=True)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, server.url, server.token], stdout=subprocess.PIPE, text=True
        )
        with process:
            batch = slow.get_batch(process.stdout.readline().strip())
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            said = process.stdout.read()
        assert said == "left InProgress\n"
        assert batch.wait(30, progress=False).completed_item_count == 3


class TestFrames:
    def test_the_rows_are_those_of_the_records(self, cars):
        frame = pd.DataFrame({"hp": [10.0, 20.0, 30.0], "wt": [2.0, 4.0, 3.0]}, index=["a", "b", "c"])
        batch = cars.batch(frame).start()
        batch.wait(30, progress=False)
        expected = pd.DataFrame({"answer": [5.0, 5.0, 10.0]}, index=["a", "b", "c"])
        pd.testing.assert_frame_equal(batch.results_frame(), expected)
        whole = batch.to_frame()
        pd.testing.assert_frame_equal(whole[["hp", "wt", "answer"]], frame.assign(answer=expected["answer"]))
        assert list(whole.columns[3:]) == ["_success", "_error", "_attempt", "_seconds"]

    def test_rows_that_failed_are_missing_and_say_why(self, cars):
        frame = cars.batch({"hp": [1, 2], "wt": [0, 1]}).start().wait(30, progress=False).to_frame()
        assert list(frame.columns) == ["answer", "error"]
        assert np.isnan(frame["answer"][0])
        assert frame["answer"][1] == 2
        assert "ZeroDivisionError" in frame["error"][0]
        assert frame["error"][1] == ""

    def test_outputs_of_every_type(self, client):
        def everything(n: int):
            import numpy as np
            import pandas as pd

            return n, "t" * n, np.arange(n), np.eye(2) * n, pd.DataFrame({"c": [n]})

        outputs = {"i": int, "t": str, "v": np.array, "m": np.matrix, "d": pd.DataFrame}
        service = client.deploy_service("everything", version="1", code_fn=everything, outputs=outputs)
        frame = service.batch({"n": [1, 2, 3]}).start().wait(30, progress=False).to_frame()
        assert list(frame["i"]) == [1, 2, 3]
        assert list(frame["t"]) == ["t", "tt", "ttt"]
        assert [list(v) for v in frame["v"]] == [[0], [0, 1], [0, 1, 2]]
        assert [m.shape for m in frame["m"]] == [(2, 2)] * 3
        assert [d["c"][0] for d in frame["d"]] == [1, 2, 3]


@pytest.fixture(scope="module")
def written(client):
    def write(n: int) -> int:
        Path("n.txt").write_text(str(n))
        if n % 2:
            Path("odd one.txt").write_text(f"odd {n}")
        return n

    service = client.deploy_service("writing", version="1", code_fn=write, artifacts=["n.txt", "odd one.txt"])
    batch = service.batch([{"n": n} for n in range(6)]).start()
    batch.wait(30, progress=False)
    return batch


class TestFiles:
    def test_files_are_those_of_the_record(self, written):
        assert written.list_artifacts(index=2) == ["n.txt"]
        assert written.list_artifacts(5) == ["n.txt", "odd one.txt"]
        assert written.artifact(4, "n.txt") == b"4"
        assert written.artifact(index=3, file_name="odd one.txt") == b"odd 3"
        assert written.results().execution(3).artifact("odd one.txt", encoding="utf-8") == "odd 3"
        with pytest.raises(NotFound, match=r"no file .odd one\.txt."):
            written.artifact(2, "odd one.txt")
        with pytest.raises(NotFound, match="no item 6"):
            written.list_artifacts(6)

    def test_downloads_go_where_they_are_to_go(self, written, tmp_path, monkeypatch):
        paths = written.download(5, destination=tmp_path)
        assert paths == [str(tmp_path / "n.txt"), str(tmp_path / "odd one.txt")]
        assert [Path(path).read_text() for path in paths] == ["5", "odd 5"]
        here = tmp_path / "here"
        here.mkdir()
        monkeypatch.chdir(here)  # long after the module was imported
        assert written.download(3, file_name="n.txt") == [str(here / "n.txt")]
        assert os.listdir(here) == ["n.txt"]
        assert (here / "n.txt").read_text() == "3"
        with pytest.raises(ValueError, match="there is no directory"):
            written.download(3, destination=tmp_path / "nowhere")
