"""Sessions, snapshots, and services published from them, as Python drives them."""

from __future__ import annotations

import datetime as dt
import functools
import operator
import signal
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pandas as pd
import pytest
from support import PASSWORD, eventually

from jupyter_mlops import DeployClient
from jupyter_mlops.errors import (
    CaptureError,
    CodeRaised,
    DeadlineExceeded,
    Gone,
    InternalError,
    InvalidRequest,
    KernelDied,
    NotFound,
    PublishRefused,
)


@pytest.fixture
def client(server):
    with DeployClient(server.url, auth=server.token) as client:
        yield client


@pytest.fixture
def session(client):
    with client.create_session("work") as session:
        yield session


def test_code_runs_and_leaves_what_it_makes(session):
    response = session.execute("print('adding')\ny = x + 1", inputs={"x": 3}, outputs=["y"])
    assert (response.success, response.error, response.console_output) == (True, "", "adding\n")
    assert response.output("y") == 4
    assert response.outputs == {"y": 4}
    assert response.changed_files == []
    assert response.raise_for_error() is response
    assert session.execute("z = y * 2", outputs="z").output("z") == 8
    assert repr(response) == "<SessionResponse: y=4>"
    with pytest.raises(NotFound, match="no output 'x'; there are y"):
        response.output("x")


def test_inputs_are_said_in_json(session):
    given = {
        "frame": pd.DataFrame({"a": [1.0, np.nan], "when": pd.to_datetime(["2020-01-02", None])}),
        "array": np.array([[1, 2], [3, 4]]),
        "series": pd.Series(["a", None]),
        "number": np.float32(0.5),
        "when": dt.datetime(2020, 1, 2, 3, 4),
        "nested": {"rows": [np.int64(1), (2, 3)]},
        "nothing": None,
    }
    assert session.execute("", inputs=given, outputs=list(given)).outputs == {
        "frame": {"a": [1.0, None], "when": ["2020-01-02T00:00:00", None]},
        "array": [[1, 2], [3, 4]],
        "series": ["a", None],
        "number": 0.5,
        "when": "2020-01-02T03:04:00",
        "nested": {"rows": [1, [2, 3]]},
        "nothing": None,
    }
    with pytest.raises(InvalidRequest, match=r"lock: JSON cannot say .*session\['lock'\] = "):
        session.execute("", inputs={"lock": threading.Lock()})


def test_code_that_raises_raises_nothing_here(session):
    response = session.execute("print('before')\n1 / 0", outputs=["x"])
    assert not response.success
    assert "ZeroDivisionError" in response.error
    assert response.console_output == "before\n"
    assert "failed" in repr(response)
    with pytest.raises(CodeRaised, match="ZeroDivisionError"):
        response.raise_for_error()
    assert session.execute("x = 1", outputs=["x"]).output("x") == 1


def test_variables_are_items(session):
    model = {"coef": np.arange(3.0)}
    assert session
    assert len(session) == 0
    session["model"] = model
    session["predict"] = functools.partial(operator.add, 1)
    assert session.execute("total = float(sum(model['coef'])) + predict(1)", outputs=["total"]).output("total") == 5.0
    assert set(session) == {"model", "predict", "total"}
    assert "model" in session
    assert "nothing" not in session
    assert session["total"] == 5.0
    assert list(session["model"]["coef"]) == [0.0, 1.0, 2.0]
    del session["model"]
    assert "model" not in session
    with pytest.raises(KeyError, match="model"):
        session["model"]
    with pytest.raises(KeyError):
        del session["model"]
    with pytest.raises(CaptureError, match="rows: generator objects cannot be pickled"):
        session["rows"] = (n for n in [])


def test_a_large_object_there_and_back(session):
    large = np.random.default_rng(1).random(2_000_000)
    session["large"] = large
    assert np.array_equal(session["large"], large)


def test_files_there_and_back(session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cars.csv").write_text("hp\n120\n")
    assert session.upload("cars.csv") == "cars.csv"
    assert session.upload(tmp_path / "cars.csv", 'ä "b".csv') == 'ä "b".csv'
    assert sorted(session.files()) == ["cars.csv", 'ä "b".csv']
    code = "import pandas as pd; pd.read_csv('cars.csv').mul(2).to_csv('twice.csv')"
    assert session.execute(code).changed_files == ["twice.csv"]
    (tmp_path / "there").mkdir()
    assert session.download("twice.csv", "there").read_text() == ",hp\n0,240\n"
    assert session.download("twice.csv", tmp_path / "again.csv").read_text() == ",hp\n0,240\n"
    (tmp_path / "cars.csv").unlink()
    assert session.download("cars.csv").resolve() == tmp_path / "cars.csv"
    session.delete_file("cars.csv")
    assert "cars.csv" not in session.files()
    with pytest.raises(NotFound):
        session.download("cars.csv", "there")
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["twice.csv"]


def test_a_large_file_is_whole(session, tmp_path):
    content = bytes(range(256)) * 40_000
    (tmp_path / "large").write_bytes(content)
    session.upload(tmp_path / "large")
    assert session.download("large", tmp_path / "back").read_bytes() == content


def test_console_history_and_cancel(session):
    code, done = "print('on it')\nimport time\ntime.sleep(60)", []
    waiting = threading.Thread(target=lambda: done.append(session.execute(code)))
    waiting.start()
    eventually(lambda: "on it" in session.console())
    session.cancel()
    waiting.join()
    assert not done[0].success
    assert session.execute("still = 'here'", outputs=["still"]).output("still") == "here"
    assert session.history() == [code, "still = 'here'"]


def test_waiting_ends_when_it_is_to_end_and_the_code_runs_on(session):
    with pytest.raises(DeadlineExceeded):
        session.execute("import time\ntime.sleep(1)\nlate = 1", timeout=0.3)
    assert session.execute("", outputs=["late"]).output("late") == 1


def test_an_interrupt_here_stops_it_there(server):
    code = (
        "from jupyter_mlops import DeployClient\n"
        f"client = DeployClient({server.url!r}, auth={server.token!r})\n"
        "session = client.create_session('interrupted')\n"
        "print(session.id, flush=True)\n"
        "session.execute('import time\\nprint(1)\\ntime.sleep(60)')\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    identifier = program.stdout.readline().strip()
    with DeployClient(server.url, auth=server.token) as client, client.get_session(identifier) as session:
        eventually(lambda: session.console() == "1\n")
        program.send_signal(signal.SIGINT)
        assert program.wait(10) != 0
        program.stdout.close()
        began = time.monotonic()
        assert session.execute("").success
        assert time.monotonic() - began < 30


def test_sessions_are_found_and_closed(client):
    with client.create_session() as unnamed, client.create_session("mine") as mine:
        assert unnamed.name
        assert mine.name == "mine"
        assert [one.id for one in client.sessions()] == [unnamed.id, mine.id]
        assert client.get_session(mine.id).name == "mine"
        assert mine.id in repr(mine)
        mine.close()
        mine.close(force=True)
        with pytest.raises(NotFound, match="no such session"):
            mine.execute("")
        with pytest.raises(NotFound, match="no such session"):
            mine["x"]
    assert client.sessions() == []
    with pytest.raises(NotFound, match=r"client\.sessions\(\) lists yours"):
        client.get_session("nosuch")


def test_a_session_whose_code_ended_it_is_gone(client):
    session = client.create_session("ends")
    with pytest.raises(KernelDied):
        session.execute("import os; os._exit(1)")
    with pytest.raises(Gone):
        session.execute("")
    session.close()


def test_what_fails_in_the_session_itself_is_answered(session):
    session.execute("import shutil\nkept, shutil.copyfileobj = shutil.copyfileobj, None\nopen('a', 'w').write('a')")
    with pytest.raises(InternalError, match="the session could not do this"):
        session.snapshot()
    session.execute("shutil.copyfileobj = kept\ndel kept")
    session.snapshot().delete()


def test_snapshots_begin_sessions(client, session, tmp_path):
    session.execute("table = [1, 2, 3]\nopen('notes.txt', 'w').write('kept')")
    snapshot = session.snapshot("the table")
    assert (snapshot.name, snapshot.objects, snapshot.files) == ("the table", ["table"], ["notes.txt"])
    assert snapshot.size > 0
    assert abs(dt.datetime.now(dt.UTC) - snapshot.created) < dt.timedelta(minutes=1)
    assert "the table: table, notes.txt" in repr(snapshot)
    assert [one.id for one in client.snapshots()] == [snapshot.id]
    with client.create_session(snapshot=snapshot) as other:
        code = "text = open('notes.txt').read()"
        assert other.execute(code, outputs=["table", "text"]).outputs == {"table": [1, 2, 3], "text": "kept"}
    with client.create_session() as third:
        third.execute("table = 'over'")
        third.load_snapshot(snapshot.id)
        assert third["table"] == [1, 2, 3]
    with zipfile.ZipFile(snapshot.download(tmp_path)) as archive:
        assert archive.read("files/notes.txt") == b"kept"
    assert client.get_snapshot(snapshot.id).name == "the table"
    snapshot.delete()
    assert client.snapshots() == []
    with pytest.raises(NotFound):
        client.get_snapshot(snapshot.id)


def test_another_user_sees_neither(client, session, server):
    session.execute("x = 1")
    snapshot = session.snapshot()
    with DeployClient(server.url, auth=("admin", PASSWORD)) as other:
        assert other.sessions() == []
        assert other.snapshots() == []
        with pytest.raises(NotFound):
            other.get_session(session.id)
        with pytest.raises(NotFound):
            other.service("theirs").code_str("y = x").outputs(y=int).snapshot(snapshot.id).deploy()
    snapshot.delete()


@pytest.fixture
def trained(client):
    with client.create_session("training") as session:
        session.execute("weights = [2.0, 3.0]\nopen('scale.txt', 'w').write('10')\ncalls = 0")
        snapshot = session.snapshot("trained")
    yield snapshot
    snapshot.delete()


def weigh(a: float, b: float) -> float:
    return a * weights[0] + b * weights[1]  # noqa: F821  # of the snapshot


def both(a: float):
    return {"double": a * weights[0], "scaled": a * float(open("scale.txt").read())}  # noqa: F821


def pair(a):
    return a, str(started)


def begin():
    global started  # noqa: PLW0603
    started = "begun"


def test_a_service_of_a_snapshot(client, trained):
    text = client.service("weigh-text").version("1").code_str("w = a * weights[0]").inputs(a=float).outputs(w=float)
    assert text.snapshot(trained).deploy().consume(4).output("w") == 8.0
    service = client.service("weigh").version("1").code_fn(weigh).snapshot(trained.id).deploy()
    assert service.weigh(1, 1).output("answer") == 5.0
    several = client.deploy_service(
        "both", version="1", code_fn=both, outputs={"double": float, "scaled": float}, snapshot=trained
    )
    assert several.both(2).outputs == {"double": 4.0, "scaled": 20.0}
    started = client.deploy_service(
        "pair", version="1", code_fn=pair, init_fn=begin, inputs={"a": int}, outputs={"b": int, "c": str},
        snapshot=trained,
    )  # fmt: skip
    assert started.pair(3).outputs == {"b": 3, "c": "begun"}


def test_a_service_of_a_snapshot_lives_without_it(client, session):
    session["k"] = 7
    snapshot = session.snapshot()
    service = client.service("lasting").version("1").code_str("y = k").outputs(y=int).snapshot(snapshot).deploy()
    snapshot.delete()
    assert service.consume().output("y") == 7
    service = client.service("lasting").version("1").description("still seven").redeploy()
    assert service.consume().output("y") == 7


def test_a_sample_is_answered_from_a_snapshot(client, trained):
    definition = client.service("sampled-weigh").version("1").code_fn(weigh).snapshot(trained).sample(1, 1)
    assert definition.deploy().view.proof == "answered"
    with pytest.raises(PublishRefused, match="ZeroDivisionError"):
        client.service("no").code_str("y = 1 / x").inputs(x=float).snapshot(trained).sample({"x": 0}).deploy()


def test_what_cannot_run_on_a_snapshot(client, trained):
    rate = 2.0

    def closure(x: float) -> float:
        return x * rate

    async def late(x: float) -> float:
        return x

    for function, message in [
        (closure, "closure uses rate of the function around it"),
        (lambda x: x, "only a function defined by `def`"),
        (late, "only a function defined by `def`"),
    ]:
        with pytest.raises(CaptureError, match=message):
            client.service("no").code_fn(function).inputs(x=float).outputs(y=float).snapshot(trained).deploy()
    with pytest.raises(CaptureError, match=r"'petal\.length' is no variable's name"):
        client.service("no").code_fn(weigh).outputs(**{"petal.length": float}).snapshot(trained).deploy()
    with pytest.raises(InvalidRequest, match="objects or models cannot go with a snapshot"):
        client.service("no").code_fn(weigh).objects(k=1).snapshot(trained).deploy()
    with pytest.raises(NotFound):
        client.service("no").code_fn(weigh).snapshot("nosuch").deploy()
