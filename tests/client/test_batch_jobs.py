"""A batch as a job: records in every form, results as they come, frames, another try, files, and broken connections."""

from __future__ import annotations

import asyncio
import doctest
import io
import socket
import threading
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support import eventually

from jupyter_mlops import DeployClient
from jupyter_mlops.client import batch_rows, sources
from jupyter_mlops.client.batch import Batch
from jupyter_mlops.client.batch_upload import Upload
from jupyter_mlops.client.records import read_records
from jupyter_mlops.client.service import Service
from jupyter_mlops.client.sources import source_of
from jupyter_mlops.client.transport import Address, Transport
from jupyter_mlops.errors import Conflict, InvalidInput, InvalidRequest, KeyReused, NotFound, ServerUnreachable
from jupyter_mlops.records.formats import Format
from jupyter_mlops.schema.types import Parameter, ValueType

FRAME = pd.DataFrame({"name": ["a", "b", None], "hp": [120.0, 1.0, 90.0], "wt": [2, 0, 3], "more": [1, 2, 3]})
ROWS = [
    {"name": "a", "hp": 120.0, "wt": 2.0},
    {"name": "b", "hp": 1.0, "wt": 0.0},
    {"name": None, "hp": 90.0, "wt": 3.0},
]
CARS, ANSWER = {"hp": float, "wt": float}, {"answer": float}
INPUTS = (
    Parameter(name="name", type=ValueType.CHARACTER),
    Parameter(name="hp", type=ValueType.NUMERIC),
    Parameter(name="wt", type=ValueType.NUMERIC),
)


@pytest.fixture(scope="module")
def client(server):
    with DeployClient(server.url, auth=server.token) as client:
        yield client


@pytest.fixture(scope="module")
def ratio(client):
    def ratio(name: str, hp: float, wt: float) -> float:
        if wt == 0:
            raise ZeroDivisionError(f"{name} has no weight")
        return hp / wt

    return client.deploy_service("ratio", version="1.0", code_fn=ratio, kernels=(1, 1))


@pytest.fixture(scope="module")
def gated(client, tmp_path_factory):
    """A service whose rows wait until a file of their name is there, and fail when there is none soon."""
    folder = str(tmp_path_factory.mktemp("gates"))

    def passing(x: int) -> int:
        import os
        import time

        for _ in range(200):
            if os.path.exists(f"{folder}/{x}"):
                with open(f"passed {x}.txt", "w") as file:
                    file.write(str(x))
                return x
            time.sleep(0.05)
        raise TimeoutError(f"no gate {x}")

    artifacts = [f"passed {x}.txt" for x in range(10)]
    service = client.deploy_service("gated", version="1", code_fn=passing, artifacts=artifacts, kernels=(2, 2))
    service.gate = lambda x: open(f"{folder}/{x}", "w").close()
    return service


def files(folder):
    """The same records in files of every format."""
    given = FRAME[["name", "hp", "wt"]]
    given.to_csv(folder / "r.csv", index=False)
    given.to_csv(folder / "r.tsv", index=False, sep="\t", encoding="utf-8-sig")
    given.to_json(folder / "r.ndjson", orient="records", lines=True)
    given.to_json(folder / "r.json", orient="records")
    given.to_parquet(folder / "r.parquet")
    return [folder / f"r.{end}" for end in ("csv", "tsv", "ndjson", "json", "parquet")]


class TestRecords:
    def test_records_in_every_form_have_the_same_results(self, ratio, tmp_path, monkeypatch):
        monkeypatch.setattr(sources, "ARROW_FROM", 3)
        forms = [
            FRAME, FRAME.to_dict("list"), ROWS, iter(ROWS), *files(tmp_path), str(tmp_path / "r.csv"),
            (tmp_path / "r.csv").open(),
        ]  # fmt: skip
        jobs = [ratio.batch(form).start() for form in forms]
        jobs.append(ratio.batch(io.BytesIO(b"hp,wt,name\n120,2,a\n1,0,b\n90,3,\n"), format="csv").start())
        for form in forms:
            getattr(form, "close", lambda: None)()
        for job in jobs:
            assert job.wait(50, progress=False).completed_item_count == 3
            found = job.to_frame()
            assert found["answer"][[0, 2]].tolist() == [60, 30]
            assert found["_success"].tolist() == [True, False, True]
            assert found["_error"][1].endswith("ZeroDivisionError: b has no weight\n")
            assert found[["hp", "wt"]].to_numpy().tolist() == [[120, 2], [1, 0], [90, 3]]
            assert found["name"].fillna("none").tolist() == ["a", "b", "none"]

    @pytest.mark.parametrize(
        "frame",
        [
            FRAME,
            FRAME.astype({"hp": "float32", "wt": "bool"}),
            FRAME.assign(hp=pd.array([1, None, 3], dtype="Int64"), name=[1, 2.5, "c"]),
            FRAME.assign(hp=[np.inf, np.nan, 1], name=pd.Categorical(["a", "b", "a"])),
            FRAME.assign(name=pd.to_datetime(["2020-01-02", None, "2020-01-03"], utc=True)),
            FRAME.head(0),
        ],
        ids=["plain", "narrow", "nullable", "holes", "times", "empty"],
    )
    def test_a_frame_goes_as_arrow_and_is_the_same(self, frame, monkeypatch):
        monkeypatch.setattr(sources, "ARROW_FROM", 0)
        source = source_of(frame, INPUTS)
        assert source.records == read_records(frame, INPUTS)
        for arrow, kind in ((True, Format.ARROW_STREAM), (False, Format.NDJSON)):
            file, found = source.body(arrow=arrow)
            assert found is kind
            file.close()

    def test_what_is_not_single_values_goes_as_json(self):
        frame = pd.DataFrame({"v": [np.array([1, 2]), [3]]})
        source = source_of(frame, (Parameter(name="v", type=ValueType.VECTOR),))
        file, kind = source.body(arrow=True)
        file.seek(0)
        assert (kind, file.read()) == (Format.NDJSON, b'{"v":[1,2]}\n{"v":[3]}\n')
        file.close()

    def test_a_table_of_arrow_goes_without_what_is_no_input(self):
        source = source_of(pa.Table.from_pandas(FRAME), INPUTS)
        assert source.records == [row | {"wt": int(row["wt"])} for row in ROWS]
        file, kind = source.body(arrow=True)
        file.seek(0)
        assert (kind, pa.ipc.open_stream(file).schema.names) == (Format.ARROW_STREAM, ["name", "hp", "wt"])
        file.close()

    def test_refusals_before_anything_is_sent(self, ratio, tmp_path):
        for records, kind, word in (
            (tmp_path / "none.csv", None, "there is no file"),
            (tmp_path / "none.xlsx", None, "format="),
            (io.BytesIO(b""), None, "format="),
            (FRAME, "csv", "for paths and open files"),
            (FRAME.drop(columns="hp"), None, "no column 'hp'"),
            (pa.table({"hp": [1]}), None, "no column 'name'"),
        ):
            with pytest.raises(InvalidRequest, match=word):
                ratio.batch(records, format=kind)
        with pytest.raises(InvalidInput, match="many") as refused:
            ratio.batch(FRAME.assign(hp=[1, "many", 3]))
        assert refused.value.fields == "$[1].hp"

    def test_an_iterator_is_refused_where_it_does_not_fit_and_is_used_up(self, ratio):
        job = ratio.batch({"name": "a", "hp": hp, "wt": 1} for hp in (1, 2, "many"))
        with pytest.raises(InvalidInput, match="many") as refused:
            job.start()
        assert refused.value.fields == "$[2].hp"
        with pytest.raises(InvalidRequest, match="used up"):
            job.start()

    def test_the_server_refuses_a_file_with_the_place(self, ratio, tmp_path):
        (tmp_path / "r.csv").write_text("name,hp,wt\na,1,2\nb,many,3\n")
        with pytest.raises(InvalidInput, match="expected numeric, got 'many'") as refused:
            ratio.batch(tmp_path / "r.csv").start()
        assert refused.value.fields == "$[1].hp"

    def test_a_large_upload_shows_a_bar(self, capsys):
        upload = Upload(io.BytesIO(b"x" * 9_000_000), Format.CSV)
        assert sum(map(len, upload)) == sum(map(len, upload)) == 9_000_000  # from the beginning each time
        assert "sending" in capsys.readouterr().err


class TestResults:
    def test_as_they_come_in_order_and_one_by_one(self, gated):
        job = gated.batch([{"x": 0}, {"x": 1}, {"x": 2}], parallel_count=2).start()
        gated.gate(1)
        gated.gate(2)
        results = iter(job)
        first = [next(results), next(results)]
        assert sorted(one.index for one in first) == [1, 2]
        assert job.progress().completed == 2
        with pytest.raises(NotFound, match="record 0 has not been processed yet"):
            job.execution(0)
        gated.gate(0)
        (last,) = results
        assert (last.index, last.output("answer"), last.attempt, last.success) == (0, 0, 1, True)
        assert last.seconds > 0
        assert [one.index for one in job.in_order()] == [0, 1, 2]
        assert job.execution(2).output("answer") == 2
        with pytest.raises(NotFound, match="no record 3"):
            job.execution(3)

    def test_in_order_waits_for_the_next_one(self, gated):
        job = gated.batch([{"x": 3}, {"x": 4}], parallel_count=2).start()
        gated.gate(4)
        eventually(lambda: job.progress().completed == 1)
        threading.Timer(0.3, gated.gate, [3]).start()
        assert [one.index for one in job.in_order()] == [0, 1]

    def test_what_was_cancelled_gives_what_was_recorded(self, gated):
        job = gated.batch([{"x": 8}, {"x": 4}, {"x": 8}], parallel_count=2).start()
        gated.gate(4)
        eventually(lambda: job.progress().completed == 1)
        assert job.cancel().state() == "Cancelled"
        assert [one.index for one in job] == [one.index for one in job.in_order()] == [1]
        assert job.to_frame().index.tolist() == [1]

    def test_it_can_be_awaited(self, ratio):
        async def main():
            job = ratio.batch(ROWS).start()
            response, ticks = await asyncio.gather(_of(job), asyncio.sleep(0, 1))
            return response, ticks

        response, _ = asyncio.run(main())
        assert (response.state, response.completed_item_count) == ("Complete", 3)
        assert response.execution(2).output("answer") == 30

    def test_many_results_come_in_pages(self, client):
        service = client.deploy_service(
            "double", version="1", code_fn=lambda x: 2 * x, inputs={"x": int}, outputs={"y": int}
        )
        job = service.batch({"x": range(2500)}).start()
        response = job.wait(50, progress=False)
        assert [response.execution(x).output("y") for x in (0, 999, 1000, 2499)] == [0, 1998, 2000, 4998]
        assert [one.output("y") for one in job.in_order()] == list(range(0, 5000, 2))
        assert job.to_frame()["y"].tolist() == list(range(0, 5000, 2))
        assert client.get_batch(job.execution_id).to_frame()["x"].tolist() == list(range(2500))

    def test_frames_are_the_same_by_arrow_and_by_json(self, client, monkeypatch):
        def everything(n: int):
            import datetime as dt

            import numpy as np
            import pandas as pd

            if n == 2:
                raise ValueError(n)
            return (
                n,
                n / 2,
                "t" * n,
                n > 1,
                dt.datetime(2020, 1, 2 + n),
                np.arange(n),
                np.eye(2),
                pd.DataFrame({"c": [n]}),
            )

        outputs = {
            "i": int, "f": float, "t": str, "l": bool, "w": "datetime",
            "v": np.array, "m": np.matrix, "d": pd.DataFrame,
        }  # fmt: skip
        service = client.deploy_service("everything", version="1", code_fn=everything, outputs=outputs)
        job = service.batch({"n": [1, 2, 3]}).start()
        job.wait(50, progress=False)
        by_json = job.to_frame()
        monkeypatch.setattr(batch_rows, "ARROW_FROM", 0)
        by_arrow = job.to_frame()
        plain = ["n", "i", "f", "t", "l", "_success", "_attempt"]
        pd.testing.assert_frame_equal(by_arrow[plain], by_json[plain], check_dtype=False)
        for frame in (by_arrow, by_json):
            assert frame["w"][0].isoformat() == "2020-01-03T00:00:00"
            assert frame["v"][2].tolist() == [0, 1, 2]
            assert frame["m"][0].shape == (2, 2)
            assert frame["d"][2]["c"].tolist() == [3]
            assert frame["d"][1] is None
            assert frame["_error"][1].endswith("ValueError: 2\n")
        assert job.failed().index.tolist() == [1]

    def test_names_of_inputs_and_outputs_may_be_the_same(self, client):
        service = client.deploy_service(
            "next", version="1", code_fn=lambda x: x + 1, inputs={"x": int}, outputs={"x": int}
        )
        frame = pd.DataFrame({"x": [1, 2]}, index=["a", "b"])
        found = service.batch(frame).start().wait(50, progress=False)
        assert found.to_frame()["x"].tolist() == [2, 3]
        whole = service.get_batch(found.execution_id).to_frame()
        assert (whole["x_input"].tolist(), whole["x"].tolist()) == ([1, 2], [2, 3])


async def _of(job):
    return await job


@pytest.mark.parametrize("documented", [Batch, Service.batch], ids=["Batch", "Service.batch"])
def test_the_examples_run(client, documented):
    service = client.deploy_service("cars", version="1", code_fn=lambda hp, wt: hp / wt, inputs=CARS, outputs=ANSWER)
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder(recurse=False).find(documented, "example", globs={"service": service}):
        assert test.examples
        assert runner.run(test).failed == 0


def test_what_failed_is_tried_again(client, tmp_path):
    def once(x: int, folder: str) -> int:
        import os

        if x % 2 and not os.path.exists(folder):
            raise FileNotFoundError(folder)
        return x

    service = client.deploy_service("once", version="1", code_fn=once)
    frame = pd.DataFrame({"x": [0, 1, 2, 3], "folder": str(tmp_path / "later")}, index=list("abcd"))
    job = service.batch(frame).start()
    job.wait(50, progress=False)
    failed = job.failed()
    assert (failed.index.tolist(), failed["x"].tolist()) == (["b", "d"], [1, 3])
    (error,) = job.progress().errors
    assert (error.count, error.first) == (2, 1)
    (tmp_path / "later").mkdir()
    assert job.retry_failed() is job
    job.wait(50, progress=False)
    assert job.failed().empty
    found = job.to_frame()
    assert found["answer"].tolist() == [0, 1, 2, 3]
    assert list(found["_attempt"]) == [1, 2, 1, 2]


def test_files_of_all_records(gated, tmp_path):
    for x in range(5, 8):
        gated.gate(x)
    job = gated.batch({"x": [5, 6, 7]}).start()
    with pytest.raises(Conflict):
        gated.batch({"x": [9]}).start().retry_failed()
    job.wait(50, progress=False)
    assert [(one.index, one.name, one.size) for one in job.artifacts()] == [
        (n, f"passed {n + 5}.txt", 1) for n in range(3)
    ]
    path = job.archive(tmp_path)
    assert path.name == f"batch-{job.execution_id}.zip"
    with zipfile.ZipFile(path) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"{n}/passed {n + 5}.txt": b"%d" % (n + 5) for n in range(3)
        }


def test_batches_are_found_without_their_service(client, ratio):
    job = ratio.batch(ROWS, priority="low").start()
    found = client.get_batch(job.execution_id)
    assert found.api == "/api/ratio/1.0/batch"
    assert found.wait(50, progress=False).execution(0).output("answer") == 60
    (listed,) = (one for one in client.batches() if one.id == job.execution_id)
    assert (listed.name, listed.version, listed.priority, listed.total) == ("ratio", "1.0", "low", 3)
    with pytest.raises(NotFound):
        client.get_batch("nosuch")


class Breaking:
    """A proxy that passes requests on, and breaks the first connections off before their answers come."""

    def __init__(self, server, broken):
        host, port = server.url.removeprefix("http://").split(":")
        self._to = (host, int(port))
        self._broken = broken
        self.received = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                request = connection.recv(2**20)
                while not request.endswith(b"}\n"):
                    request += connection.recv(2**20)
                self.received.append(request)
                if len(self.received) > self._broken or self._to is None:
                    with socket.create_connection(self._to) as onward:
                        onward.sendall(request)
                        connection.sendall(onward.recv(2**16))


def key_of(request):
    (line,) = (one for one in request.splitlines() if one.lower().startswith(b"idempotency-key:"))
    return line


def test_a_start_is_sent_again_under_its_key(server, ratio):
    """The server gets it three times, for the answers of the first two are lost, and starts one batch."""

    class Losing(Breaking):
        def _serve(self):
            for number in range(3):
                connection, _ = self._listener.accept()
                with connection, socket.create_connection(self._to) as onward:
                    request = connection.recv(2**20)
                    while not request.endswith(b"}\n"):
                        request += connection.recv(2**20)
                    self.received.append(request)
                    onward.sendall(request)
                    answer = onward.recv(2**16)
                    if number == 2:
                        connection.sendall(answer)

    before = ratio.list_batch_executions()
    proxy = Losing(server, 0)
    transport = Transport(Address(url=proxy.url, token=server.token))
    job = Batch(transport, "/api/ratio/1.0", (), source_of(ROWS, INPUTS)).start()
    assert len({key_of(request) for request in proxy.received}) == 1
    assert len(proxy.received) == 3
    assert set(ratio.list_batch_executions()) - set(before) == {job.execution_id}
    transport.close()
    proxy._thread.join()
    proxy._listener.close()


def test_a_start_that_never_arrives_may_be_repeated(server, ratio):
    proxy = Breaking(server, 4)
    transport = Transport(Address(url=proxy.url, token=server.token))
    job = Batch(transport, "/api/ratio/1.0", (), source_of(iter(ROWS), INPUTS))
    with pytest.raises(ServerUnreachable):
        job.start()
    assert job.execution_id is None
    assert len(proxy.received) == 3
    job.start()  # of an iterator, which cannot be asked twice
    assert len({key_of(request) for request in proxy.received}) == 1
    assert ratio.get_batch(job.execution_id).wait(50, progress=False).total_item_count == 3
    transport.close()
    proxy.close()


def test_one_key_is_one_batch(ratio):
    first = ratio.batch(ROWS, idempotency_key="mine").start()
    assert ratio.batch(ROWS, idempotency_key="mine").start().execution_id == first.execution_id
    with pytest.raises(KeyReused):
        ratio.batch(ROWS[:1], idempotency_key="mine").start()


@pytest.mark.slow
def test_who_waits_waits_for_a_server_that_starts_again(start_server):
    server = start_server()
    transport = Transport(
        Address(url=server.url, token=server.token), lambda: Address(url=server.url, token=server.token)
    )
    with DeployClient.over(transport) as client:

        def nap(x: float) -> float:
            import time

            time.sleep(0.2)
            return x

        job = client.deploy_service("nap", version="1", code_fn=nap).batch({"x": range(20)}, parallel_count=2).start()
        found = []
        waiting = threading.Thread(target=lambda: found.append(job.wait(50, progress=False)))
        waiting.start()
        eventually(lambda: job.progress().completed > 2)
        server.stop(kill=True)
        server.start()
        waiting.join(50)
        assert found[0].completed_item_count == 20
        assert found[0].errors == {}
