"""Batches outlive what runs them: kills, retries, repeated submissions; and what is told of them meanwhile."""

import io
import json
import os
import signal
import time
import zipfile

import psutil
import pytest
from support import eventually

from jupyter_mlops.schema.access import Identity, Role
from jupyter_mlops.signing import read_key, sign

NAP = "import time\ntime.sleep(x / 1000)\ny = x"


class Batch:
    """A batch that was submitted."""

    def __init__(self, server, name, records, query="", version="1", **more):
        self.server = server
        self.base = f"/api/{name}/{version}/batch"
        answer = server.request("POST", self.base + query, records, **more)
        assert answer.status == 202, answer
        self.id = answer.json()["batchExecutionId"]

    def ask(self, method="GET", path="", **more):
        return self.server.request(method, f"{self.base}/{self.id}{path}", **more)

    def progress(self, query=""):
        answer = self.ask(path=f"/progress{query}")
        assert answer.status == 200, answer
        return answer.json()

    def reaches(self, *states, seconds=50):
        return eventually(lambda: (p := self.progress())["state"] in states and p, seconds)

    def lines(self, query=""):
        answer = self.ask(path=query, headers={"Accept": "application/x-ndjson"})
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.body.splitlines()]


@pytest.fixture(scope="module")
def nap(server):
    settings = {"initialPoolSize": 2, "maxPoolSize": 2}
    assert server.publish_code("nap", "1", NAP, "x:numeric", "y:numeric", pool=settings).status == 201
    return "nap"


@pytest.fixture(scope="module")
def picky(server):
    """A service whose odd rows fail until a file is there."""
    good = server.data_dir.parent / "good"
    code = (
        f"import os\nif x % 2 and not os.path.exists({str(good)!r}):\n    raise ValueError(f'odd: {{x}}' * (x == 3))\n"
        "open('note.txt', 'w').write(str(x))\nprint('row', x)\ny = x"
    )
    published = server.publish_code("picky", "1", code, "x:integer", "y:integer", outputFileNames=["note.txt"])
    assert published.status == 201
    return good


def token_of(server, name, role=Role.READER):
    return sign(read_key(server.data_dir), Identity(name=name, role=role), 3600)


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class TestProgress:
    def test_progress_is_one_small_object_that_can_be_waited_for(self, server, nap):
        batch = Batch(server, nap, [{"x": 300}] * 8, "?parallelCount=2&priority=high")
        first = batch.progress()
        assert (first["id"], first["name"], first["version"], first["revision"]) == (batch.id, nap, "1", 1)
        assert (first["priority"], first["engine"], first["total"]) == ("high", "local", 8)
        seen, sequence = [first], first["sequence"]
        while seen[-1]["state"] != "Complete":
            seen.append(batch.progress(f"?after={sequence}&wait=20"))
            assert seen[-1]["sequence"] > sequence
            sequence = seen[-1]["sequence"]
        completed = [one["completed"] for one in seen]
        assert completed == sorted(completed)
        assert len(set(completed)) > 2
        last = seen[-1]
        assert (last["completed"], last["failed"], last["running"], last["secondsLeft"]) == (8, 0, 0, None)
        assert last["created"] <= last["started"] <= last["ended"]
        assert last["seconds"] > 2

    def test_it_is_waited_for_no_longer_than_asked(self, server, nap):
        batch = Batch(server, nap, [])
        began = time.monotonic()
        done = batch.reaches("Complete")
        time.sleep(0.2)
        sequence = batch.progress()["sequence"]
        assert batch.progress(f"?after={sequence}&wait=1")["state"] == done["state"]
        assert time.monotonic() - began < 15
        for query in ("?wait=31", "?wait=a", "?after=-1"):
            assert batch.ask(path=f"/progress{query}").status == 400

    def test_batches_are_found_by_their_id_alone_and_listed_newest_first(self, server, nap):
        mine, theirs = Batch(server, nap, []), Batch(server, nap, [], token=token_of(server, "ann"))
        listed = [one["id"] for one in server.request("GET", "/batches").json()]
        assert listed.index(theirs.id) < listed.index(mine.id)
        assert server.request("GET", f"/batches/{theirs.id}").json()["owner"] == "ann"
        assert [one["id"] for one in server.request("GET", "/batches", token=token_of(server, "ann")).json()] == [
            theirs.id
        ]
        other = token_of(server, "ann")
        assert server.request("GET", f"/batches/{mine.id}", token=other).status == 404
        for method, path in (
            ("GET", "/progress"), ("GET", "/inputs"), ("GET", "/artifacts"), ("GET", "/archive"),
            ("POST", "/cancel"), ("POST", "/retry"),
        ):  # fmt: skip
            assert mine.ask(method, path, token=other).status == 404
            assert server.request(method, f"{mine.base}/unknown{path}").status == 404


class TestRows:
    def test_rows_are_paged_as_lines_with_their_attempt(self, server, nap):
        batch = Batch(server, nap, [{"x": n / 100} for n in range(300)])
        batch.reaches("Complete")
        rows = batch.lines()
        assert [row["index"] for row in rows] == list(range(300))
        assert [row["outputParameters"]["y"] for row in rows] == [n / 100 for n in range(300)]
        assert {row["attempt"] for row in rows} == {1}
        assert all(row["seconds"] > 0 for row in rows)
        assert batch.lines("?offset=7&limit=3") == rows[7:10]
        assert batch.lines("?offset=299&limit=30") == rows[299:]
        assert batch.lines("?limit=0") == []
        page = batch.ask(path="?offset=298&limit=9").json()["batchExecutionResults"]
        assert [one["outputParameters"]["y"] for one in page] == [2.98, 2.99]
        recorded = batch.lines("?order=completion")
        assert sorted(recorded, key=lambda row: row["index"]) == rows
        assert batch.lines("?order=completion&after=120") == recorded[120:]
        inputs = [json.loads(line) for line in batch.ask(path="/inputs?offset=5&limit=2").body.splitlines()]
        assert inputs == [{"x": 0.05}, {"x": 0.06}]

    def test_columns_are_taken_too_and_rows_without_inputs(self, server, nap):
        batch = Batch(server, nap, {"x": [3, 1, 2]})
        batch.reaches("Complete")
        assert [row["outputParameters"]["y"] for row in batch.lines()] == [3, 1, 2]
        assert server.publish_code("none", "1", "y = 1", "", "y:integer").status == 201
        empty = Batch(server, "none", [{}] * 5)
        empty.reaches("Complete")
        assert [row["outputParameters"]["y"] for row in empty.lines()] == [1] * 5
        assert empty.ask(path="/inputs").body == b"{}\n" * 5

    @pytest.mark.usefixtures("picky")
    def test_artifacts_are_listed_and_archived(self, server):
        batch = Batch(server, "picky", [{"x": n} for n in range(0, 40, 2)])
        assert batch.reaches("Complete")["artifacts"] == 20
        listed = batch.ask(path="/artifacts?offset=3&limit=2").json()
        assert listed == [{"index": 3, "name": "note.txt", "size": 1}, {"index": 4, "name": "note.txt", "size": 1}]
        answer = batch.ask(path="/archive")
        assert answer.headers["Content-Type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            assert archive.testzip() is None
            assert {name: archive.read(name) for name in archive.namelist()} == {
                f"{n}/note.txt": str(2 * n).encode() for n in range(20)
            }
        assert batch.lines("?limit=1")[0]["consoleOutput"] == "row 0\n"


class TestRetry:
    def test_failed_rows_run_again_and_the_others_stay(self, server, picky):
        picky.unlink(missing_ok=True)
        batch = Batch(server, "picky", [{"x": n} for n in range(9)])
        done = batch.reaches("Complete")
        assert (done["completed"], done["failed"], done["artifacts"]) == (9, 4, 5)
        kinds = {(one["message"], one["count"], one["first"]) for one in done["errors"]}
        assert kinds == {("ValueError", 3, 1), ("ValueError: odd: 3", 1, 3)}
        before = {row["index"]: row for row in batch.lines() if row["success"]}
        picky.write_text("")
        assert batch.ask("POST", "/retry").json()["state"] == "InProgress"
        done = eventually(lambda: (p := batch.progress())["state"] == "Complete" and not p["failed"] and p)
        assert (done["completed"], done["artifacts"], done["errors"]) == (9, 9, [])
        rows = batch.lines()
        assert [row["index"] for row in rows] == list(range(9))
        assert [row["attempt"] for row in rows] == [1, 2] * 4 + [1]
        assert [row["outputParameters"]["y"] for row in rows] == list(range(9))
        assert all(rows[index] == row for index, row in before.items())
        assert batch.ask("POST", "/retry").json()["state"] == "Complete"

    def test_a_batch_that_runs_is_not_retried(self, server, nap):
        batch = Batch(server, nap, [{"x": 20_000}])
        eventually(lambda: batch.progress()["state"] == "InProgress")
        assert batch.ask("POST", "/retry").status == 409
        batch.ask("DELETE")


class TestCancel:
    def test_cancelling_keeps_what_was_recorded_and_stops_the_rest_within_a_second(self, server, nap):
        batch = Batch(server, nap, [{"x": 10}] * 20 + [{"x": 60_000}] * 4, "?parallelCount=2")
        eventually(lambda: batch.progress()["completed"] >= 20, 30)
        kernels = set(server.kernels(nap, "1"))
        answer = batch.ask("POST", "/cancel").json()
        assert answer["state"] == "Cancelled"
        eventually(lambda: batch.ask("POST", "/retry").status != 409 or None, 10)
        assert set(server.kernels(nap, "1")) == kernels
        batch.ask("POST", "/cancel")
        done = batch.progress()
        assert (done["state"], done["completed"], done["failed"]) == ("Cancelled", 20, 0)
        shown = batch.ask().json()
        assert [one["success"] for one in shown["batchExecutionResults"]] == [True] * 20 + [False] * 4
        assert "Cancelled" in shown["batchExecutionResults"][-1]["errorMessage"]

    def test_a_row_that_heeds_no_interrupt_costs_its_kernel(self, server):
        code = "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        pass"
        assert server.publish_code("stubborn", "1", code, pool={"maxPoolSize": 1}).status == 201
        batch = Batch(server, "stubborn", [{}])
        (pid,) = eventually(lambda: server.kernels("stubborn", "1"))
        eventually(lambda: batch.progress()["running"])
        time.sleep(0.3)
        batch.ask("POST", "/cancel")
        eventually(lambda: gone(pid), 5)
        assert batch.progress()["completed"] == 0


class TestIdempotency:
    def test_a_repeated_submission_is_the_same_batch(self, server, nap):
        key = {"Idempotency-Key": "once"}
        batch = Batch(server, nap, [{"x": 1}], headers=key)
        again = Batch(server, nap, [{"x": 1}], headers=key)
        assert again.id == batch.id
        others = (([{"x": 2}], ""), ([{"x": 1}], "?priority=low"))
        for body, query in others:
            answer = server.request("POST", f"/api/{nap}/1/batch{query}", body, headers=key)
            assert answer.status == 422
            assert batch.id in answer.json()["message"]
        theirs = Batch(server, nap, [{"x": 2}], headers=key, token=token_of(server, "bob"))
        assert theirs.id != batch.id
        for wrong in ("", "k" * 256, "\u00e9"):
            answer = server.request("POST", f"/api/{nap}/1/batch", [], headers={"Idempotency-Key": wrong})
            assert answer.status == 400
        batch.reaches("Complete")
        batch.ask("DELETE")
        assert Batch(server, nap, [{"x": 2}], headers=key).id != batch.id

    def test_one_that_is_still_arriving_is_a_conflict(self, server, nap):
        import socket

        host, port = server.url.removeprefix("http://").split(":")
        head = (
            f"POST /api/{nap}/1/batch HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {server.token}\r\n"
            "Idempotency-Key: slow\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n"
        )
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + b"[" * 200_000)
            key = {"Idempotency-Key": "slow"}
            eventually(lambda: list((server.data_dir / "batches").glob("*.new")))
            assert server.request("POST", f"/api/{nap}/1/batch", [{"x": 1}], headers=key).status == 409
        eventually(lambda: server.request("POST", f"/api/{nap}/1/batch", [{"x": 1}], headers=key).status == 202)
        eventually(lambda: not list((server.data_dir / "batches").glob("*.new")))


class TestSettings:
    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("?priority=urgent", "priority"),
            ("?engine=dask", "engine"),
            ("?engine=spark", "engine"),
            ("?webhook=http://example.org/x", "webhook"),
            ("?webhook=file:///etc/passwd", "webhook"),
        ],
    )
    def test_what_is_not_there_is_refused(self, server, nap, query, field):
        answer = server.request("POST", f"/api/{nap}/1/batch{query}", [{"x": 1}])
        assert (answer.status, answer.json()["fields"]) == (400, field)

    def test_other_forms_of_records(self, server, nap):
        lines = b'{"x": 1}\n{"x": 2}\n'
        batch = Batch(server, nap, lines, headers={"Content-Type": "application/x-ndjson"})
        batch.reaches("Complete")
        assert [row["outputParameters"]["y"] for row in batch.lines()] == [1, 2]
        answer = server.request("POST", batch.base, b"x\n1\n", headers={"Content-Type": "text/csv"})
        assert answer.status == 202
        answer = server.request("POST", batch.base, b"x", headers={"Content-Type": "application/pdf"})
        assert answer.status == 415


class TestKills:
    @pytest.mark.slow
    def test_a_killed_server_goes_on_from_what_is_recorded(self, start_server):
        server = start_server()
        assert server.publish_code("nap", "1", NAP, "x:numeric", "y:numeric", pool={"maxPoolSize": 2}).status == 201
        changed = server.publish_code("nap", "2", NAP, "x:numeric", "y:numeric")
        assert changed.status == 201
        batch = Batch(server, "nap", [{"x": 5 + n / 1000} for n in range(600)])
        redeployed = server.request("PATCH", "/services/nap/1", {"code": "y = -1"})
        assert redeployed.status == 200
        recorded = 0
        for _ in range(2):
            recorded = eventually(lambda seen=recorded: (n := batch.progress()["completed"]) > seen and n, 20)
            server.stop(kill=True)
            server.start()
            assert batch.progress()["completed"] >= recorded
        done = batch.reaches("Complete")
        assert (done["completed"], done["failed"], done["revision"]) == (600, 0, 1)
        rows = batch.lines()
        assert [row["outputParameters"]["y"] for row in rows] == [5 + n / 1000 for n in range(600)]
        assert max(row["attempt"] for row in rows) <= 3
        assert sum(row["attempt"] - 1 for row in rows) == done["attempts"]
        server.stop()
        server.start()
        assert batch.progress()["state"] == "Complete"
        assert batch.lines() == rows

    def test_a_killed_kernel_costs_only_its_row_another_try(self, server, nap):
        batch = Batch(server, nap, [{"x": 20}] * 150)
        eventually(lambda: batch.progress()["completed"] >= 10)
        for pid in server.kernels(nap, "1"):
            os.kill(pid, signal.SIGKILL)
        done = batch.reaches("Complete")
        assert (done["completed"], done["failed"]) == (150, 0)
        assert 1 <= done["attempts"] <= 4
        rows = batch.lines()
        assert [row["outputParameters"]["y"] for row in rows] == [20] * 150
        assert sum(row["attempt"] - 1 for row in rows) == done["attempts"]

    def test_a_row_that_ends_three_kernels_fails_with_the_reason(self, server):
        code = "import os\nif x == 20:\n    os._exit(1)\ny = x"
        assert server.publish_code("poison", "1", code, "x:numeric", "y:numeric", pool={"maxPoolSize": 1}).status == 201
        batch = Batch(server, "poison", [{"x": n} for n in range(50)])
        done = batch.reaches("Complete")
        assert (done["failed"], done["errors"][0]["first"]) == (1, 20)
        assert "3 times" in done["errors"][0]["message"]
        rows = batch.lines()
        assert [row["outputParameters"].get("y") for row in rows] == [n if n != 20 else None for n in range(50)]
        assert rows[20]["attempt"] >= 3

    @pytest.mark.slow
    def test_a_hung_kernel_is_noticed_by_the_deadline(self, server):
        settings = {"maxPoolSize": 1}
        answer = server.publish_code("hung", "1", NAP, "x:numeric", "y:numeric", timeout=1, pool=settings)
        assert answer.status == 201
        batch = Batch(server, "hung", [{"x": 50}] * 30)
        eventually(lambda: batch.progress()["completed"] >= 3)
        (pid,) = server.kernels("hung", "1")
        os.kill(pid, signal.SIGSTOP)
        done = batch.reaches("Complete")
        assert (done["completed"], done["failed"]) == (30, 0)


class TestTogether:
    def test_many_rows_as_one_agree_with_rows_one_by_one_and_only_guilty_ones_fail(self, server):
        from jupyter_mlops import DeployClient

        def root(x, s):
            import numpy as np

            if (x < -1000).any():
                import os

                os._exit(1)
            if (x < 0).any():
                raise ValueError("negative")
            return {"y": np.sqrt(x), "t": [f"{text}!" for text in s]}

        with DeployClient(server.url, auth=server.token) as client:
            definition = client.service("root").version("1").code_fn(root).inputs(x=float, s=str)
            definition.outputs(y=float, t=str).batchable().sample({"x": 4.0, "s": "a"}).kernels(1, 1).deploy()
        values = [float(n) for n in range(2000)]
        values[77] = values[1500] = -1.0
        values[1234] = -2000.0
        batch = Batch(server, "root", [{"x": x, "s": str(x)} for x in values])
        done = batch.reaches("Complete")
        assert (done["completed"], done["failed"]) == (2000, 3)
        rows = batch.lines()
        assert [row["index"] for row in rows if not row["success"]] == [77, 1234, 1500]
        assert "negative" in rows[77]["errorMessage"]
        assert "kernel" in rows[1234]["errorMessage"]
        for index in (0, 5, 1999):
            single = server.call("root", "1", x=values[index], s=str(values[index])).json()
            assert rows[index]["outputParameters"] == single["outputParameters"]

    def test_two_batches_and_calls_advance_together(self, server, nap):
        first = Batch(server, nap, [{"x": 5}] * 600)
        eventually(lambda: first.progress()["completed"] > 0)
        second = Batch(server, nap, [{"x": 5}] * 600, token=token_of(server, "carl"))
        for _ in range(10):
            assert server.call(nap, "1", x=1).json()["success"]
        eventually(lambda: second.progress()["completed"] > 0)
        assert first.progress()["state"] == "InProgress"
        first.ask("POST", "/cancel")
        second.ask("POST", "/cancel")
