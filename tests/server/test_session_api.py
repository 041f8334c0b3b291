"""Sessions, their workspaces and files, and the snapshots they leave."""

import io
import json
import os
import threading
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

import dill
import psutil
import pytest
from support import eventually, parameters

from jupyter_mlops.schema.access import Identity, Role
from jupyter_mlops.signing import read_key, sign

CUT_OFF = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncut'


class Session:
    """A session, driven by plain requests."""

    def __init__(self, server, token="", **body):
        self.server = server
        self.token = token
        answer = server.request("POST", "/sessions", body, token=token)
        assert answer.status == 201, answer
        self.id = answer.json()["sessionId"]
        self.path = f"/sessions/{self.id}"

    def ask(self, method, path="", body=None, **more):
        return self.server.request(method, self.path + path, body, token=self.token, **more)

    def execute(self, code, *outputs, **inputs):
        given = [{"name": name, "value": value} for name, value in inputs.items()]
        answer = self.ask(
            "POST", "/execute", {"code": code, "inputParameters": given, "outputParameters": list(outputs)}
        )
        assert answer.status == 200, answer
        return answer.json()

    def values(self, code, *outputs, **inputs):
        answer = self.execute(code, *outputs, **inputs)
        assert answer["success"], answer
        return {output["name"]: output["value"] for output in answer["outputParameters"]}

    def upload(self, name, content):
        body = (
            f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
            + content
            + b"\r\n--b--\r\n"
        )
        return self.ask("POST", "/files", body, headers={"Content-Type": "multipart/form-data; boundary=b"})

    def set(self, name, value):
        return self.ask("POST", f"/workspace/{name}", value if isinstance(value, bytes) else dill.dumps(value))

    def snapshot(self, name=None):
        answer = self.ask("POST", "/snapshot", {"name": name})
        assert answer.status == 201, answer
        return answer.json()["snapshotId"]


@pytest.fixture
def session(server):
    opened = Session(server, runtimeType="Python")
    yield opened
    opened.ask("DELETE")


@pytest.fixture
def other(server):
    """A token of somebody else, a Contributor."""
    return token_of(server, "somebody", Role.CONTRIBUTOR)


def token_of(server, name, role):
    return sign(read_key(server.data_dir), Identity(name=name, role=role), 3600)


def from_a_notebook(code, name):
    """A function as a notebook or script defines it, in `__main__`."""
    namespace = {"__name__": "__main__"}
    exec(code, namespace)
    return namespace[name]


def refused(answer, status, *words):
    assert answer.status == status, answer
    message = answer.json()["message"]
    assert all(word in message for word in words), message
    assert answer.json()["code"] == status


class TestExecute:
    def test_inputs_are_variables_and_outputs_are_read_by_name(self, session):
        answer = session.execute("y = x + 1\nprint('said', y)", "y", "x", x=3)
        assert answer == {
            "success": True,
            "errorMessage": "",
            "outputParameters": [{"name": "y", "value": 4}, {"name": "x", "value": 3}],
            "consoleOutput": "said 4\n",
            "changedFiles": [],
        }

    def test_variables_stay(self, session):
        session.execute("import numpy as np\ntotal = np.arange(3)")
        assert session.values("total = total + n", "total", n=1) == {"total": [1, 2, 3]}

    def test_arrays_frames_and_missing_values_have_a_json_form(self, session):
        code = (
            "import numpy as np, pandas as pd, datetime\n"
            "frame = pd.DataFrame({'a': [1, None], 'b': ['x', 'y']})\n"
            "matrix = np.eye(2); scalar = np.float64('nan'); nested = {'k': (1, {2.5})}\n"
            "day = datetime.date(2020, 1, 2)"
        )
        assert session.values(code, "frame", "matrix", "scalar", "nested", "day") == {
            "frame": {"a": [1.0, None], "b": ["x", "y"]},
            "matrix": [[1.0, 0.0], [0.0, 1.0]],
            "scalar": None,
            "nested": {"k": [1, [2.5]]},
            "day": "2020-01-02",
        }

    def test_a_last_expression_is_displayed_and_ipython_syntax_works(self, session):
        assert session.execute("6 * 7")["consoleOutput"] == "42\n"
        assert session.execute("display('shown')")["consoleOutput"] == "'shown'\n"
        assert "echoed" in session.execute("!echo echoed")["consoleOutput"]
        assert session.execute("import asyncio\nawait asyncio.sleep(0.01)\n5")["consoleOutput"] == "5\n"

    def test_code_that_raises_answers_its_own_traceback_and_what_it_printed(self, session):
        answer = session.execute("print('before')\ndef broken():\n    return 1 / 0\nbroken()")
        assert not answer["success"]
        assert answer["consoleOutput"] == "before\n"
        assert answer["errorMessage"].startswith("Traceback")
        assert "return 1 / 0" in answer["errorMessage"]
        assert "jupyter_mlops" not in answer["errorMessage"]

    @pytest.mark.parametrize("code", ["x = (", "import sys; sys.exit(3)", "raise KeyboardInterrupt"])
    def test_whatever_code_raises_the_session_stays(self, session, code):
        assert not session.execute(code)["success"]
        assert session.values("a = 1", "a") == {"a": 1}

    def test_an_output_that_is_not_there_or_has_no_json_form_says_so(self, session):
        assert "left no variable 'z'" in session.execute("1", "z")["errorMessage"]
        assert "has no JSON form" in session.execute("z = open", "z")["errorMessage"]

    def test_files_that_an_execution_changed_are_listed(self, session):
        session.upload("given.txt", b"1")
        code = "import os\nos.mkdir('d')\nopen('d/new.txt', 'w').write('n')\nopen('given.txt', 'w').write('22')"
        assert session.execute(code)["changedFiles"] == ["d/new.txt", "given.txt"]
        assert session.execute("1")["changedFiles"] == []

    def test_the_console_can_be_read_while_code_runs_and_cancel_stops_it(self, session):
        answers = []
        code = "import time\nprint('begun')\nwhile True: time.sleep(0.05)"
        running = threading.Thread(target=lambda: answers.append(session.execute(code)))
        running.start()
        console = lambda: session.ask("GET", "/console-output").json()["consoleOutput"]  # noqa: E731
        eventually(lambda: console() == "begun\n")
        assert session.server.request("GET", "/sessions").json()[-1]["state"] == "busy"
        assert session.ask("POST", "/cancel").json() == "the execution was told to stop"
        running.join(20)
        assert not answers[0]["success"]
        assert answers[0]["errorMessage"] == "the execution was cancelled"
        assert session.values("a = 1", "a") == {"a": 1}
        assert session.ask("POST", "/cancel").json() == "nothing was running"

    def test_awaiting_code_can_be_cancelled_too(self, session):
        answers = []
        code = "import asyncio\nprint('begun')\nawait asyncio.sleep(60)"
        running = threading.Thread(target=lambda: answers.append(session.execute(code)))
        running.start()
        eventually(lambda: session.ask("GET", "/console-output").json()["consoleOutput"])
        session.ask("POST", "/cancel")
        running.join(20)
        assert answers[0]["errorMessage"] == "the execution was cancelled"

    def test_executions_of_one_session_run_in_turn(self, session):
        session.execute("seen = []")
        codes = [f"import time\ntime.sleep(0.05)\nseen.append({n})" for n in range(4)]
        threads = [threading.Thread(target=session.execute, args=(code,)) for code in codes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(session.values("s = seen", "s")["s"]) == [0, 1, 2, 3]

    def test_the_history_holds_the_code(self, session):
        session.execute("a = 1")
        session.execute("b = (")
        assert session.ask("GET", "/history").json() == ["a = 1", "b = ("]

    def test_a_caller_who_goes_away_does_not_stop_the_code(self, session):
        with pytest.raises(Exception, match="timed out"):
            session.ask("POST", "/execute", {"code": "import time; time.sleep(1); done = 'yes'"}, timeout=0.3)
        assert session.values("d = done", "d") == {"d": "yes"}

    def test_code_that_ends_its_kernel_is_a_502_and_the_session_is_gone(self, server):
        session = Session(server)
        answer = session.ask("POST", "/execute", {"code": "import os; os._exit(1)"})
        refused(answer, 502, "kernel ended")
        refused(session.ask("POST", "/execute", {"code": "1"}), 410, "create another")
        for path in ("/workspace", "/files", "/console-output"):
            refused(session.ask("GET", path), 410, "create another")
        listed = {one["id"]: one["state"] for one in server.request("GET", "/sessions").json()}
        assert listed[session.id] == "gone"
        assert session.ask("DELETE").status == 200
        refused(session.ask("GET", "/files"), 404, "no such session")

    @pytest.mark.parametrize(
        ("body", "where"),
        [
            (b"", "$"),
            (b"[]", "$"),
            ({"inputParameters": []}, "$"),
            ({"code": 5}, "$.code"),
            ({"code": "1", "inputParameters": [{"name": "no name", "value": 1}]}, "$.inputParameters[0].name"),
            ({"code": "1", "inputParameters": [{"value": 1}]}, "$.inputParameters[0]"),
            ({"code": "1", "outputParameters": "y"}, "$.outputParameters"),
        ],
    )
    def test_malformed_requests_say_where(self, session, body, where):
        answer = session.ask("POST", "/execute", body)
        refused(answer, 400)
        assert answer.json()["fields"] == where


class TestLife:
    def test_sessions_are_listed_for_their_own_user_only(self, server, session, other):
        listed = server.request("GET", "/sessions").json()
        mine = next(one for one in listed if one["id"] == session.id)
        assert mine["runtimeType"] == "Python"
        assert mine["state"] == "idle"
        assert mine["memory"] > 2**20
        assert server.request("GET", "/sessions", token=other).json() == []

    def test_somebody_elses_session_is_as_unknown_as_none(self, server, session, other):
        session.execute("secret = 1")
        session.upload("f.txt", b"1")
        for method, path, body in [
            ("POST", "/execute", {"code": "1"}), ("DELETE", "", None), ("DELETE", "/force", None),
            ("GET", "/console-output", None), ("GET", "/history", None), ("GET", "/files", None),
            ("GET", "/files/f.txt", None), ("DELETE", "/files/f.txt", None), ("GET", "/workspace", None),
            ("GET", "/workspace/secret", None), ("POST", "/workspace/secret", b"x"),
            ("DELETE", "/workspace/secret", None), ("POST", "/snapshot", {}), ("POST", "/cancel", None),
            ("POST", "/loadsnapshot/none", None),
        ]:  # fmt: skip
            theirs = server.request(method, session.path + path, body, token=other)
            unknown = server.request(method, "/sessions/none" + path, body, token=other)
            assert theirs.status == unknown.status == 404, (method, path, theirs)
            assert theirs.body == unknown.body

    def test_a_reader_runs_no_code(self, server):
        token = token_of(server, "reader", Role.READER)
        refused(server.request("POST", "/sessions", {}, token=token), 403, "Reader", "run-code")
        refused(server.request("GET", "/snapshots", token=token), 403, "Reader")

    def test_the_kernel_ends_with_the_session(self, server):
        session = Session(server, name="mine")
        pid = session.values("import os; p = os.getpid()", "p")["p"]
        assert psutil.pid_exists(pid)
        assert session.ask("DELETE", "/force").status == 200
        assert not psutil.pid_exists(pid)

    def test_closing_stops_what_runs(self, server):
        session = Session(server)
        answers = []
        code = {"code": "print('begun')\nwhile True: pass"}
        running = threading.Thread(target=lambda: answers.append(session.ask("POST", "/execute", code)))
        running.start()
        eventually(lambda: session.ask("GET", "/console-output").json()["consoleOutput"])
        assert session.ask("DELETE").status == 200
        running.join(20)
        refused(answers[0], 410, "closed")

    @pytest.mark.parametrize("body", [b"", {}, {"runtimeType": None}, {"runtimeType": "python"}, {"name": "n"}])
    def test_every_key_may_be_left_out(self, server, body):
        answer = server.request("POST", "/sessions", body)
        assert answer.status == 201
        assert server.request("DELETE", f"/sessions/{answer.json()['sessionId']}").status == 200

    def test_other_runtimes_are_refused(self, server):
        refused(server.request("POST", "/sessions", {"runtimeType": "R"}), 400, "IRkernel", "Python")
        refused(server.request("POST", "/sessions", {"runtimeType": "Julia"}), 400, "Julia")

    def test_a_user_may_have_so_many_and_idle_ones_end(self, start_server):
        server = start_server("--ServeApp.sessions_per_user=2", "--ServeApp.session_idle_timeout=2")
        first, second = Session(server), Session(server)
        refused(server.request("POST", "/sessions", {}), 409, "2 sessions", "close one")
        Session(server, token=token_of(server, "somebody", Role.CONTRIBUTOR))
        pids = [one.values("import os; p = os.getpid()", "p")["p"] for one in (first, second)]
        eventually(lambda: not any(map(psutil.pid_exists, pids)), 20)
        refused(first.ask("GET", "/files"), 404)

    def test_sessions_end_with_the_server(self, start_server):
        server = start_server()
        pid = Session(server).values("import os; p = os.getpid()", "p")["p"]
        assert server.stop() == 0
        eventually(lambda: not psutil.pid_exists(pid))


class TestObjects:
    def test_objects_go_in_and_out_as_dills_bytes(self, session):
        code = "def make(factor):\n    def scale(x): return x * factor\n    return scale\nscale = make(3)"
        assert session.set("scale", from_a_notebook(code, "scale")).status == 200
        assert session.values("y = scale(14)", "y") == {"y": 42}
        session.execute("def triple(x): return 3 * x\nframe = [1, 2]\nimport json")
        assert session.ask("GET", "/workspace").json() == ["scale", "y", "triple", "frame"]
        answer = session.ask("GET", "/workspace/frame")
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''frame.dill"
        assert dill.loads(answer.body) == [1, 2]
        assert session.ask("DELETE", "/workspace/frame").status == 200
        refused(session.ask("GET", "/workspace/frame"), 404, "frame")
        refused(session.ask("DELETE", "/workspace/frame"), 404, "frame")

    def test_a_large_object_passes(self, session):
        content = os.urandom(40 * 2**20)
        assert session.set("large", dill.dumps(content)).status == 200
        assert session.values("n = len(large)", "n") == {"n": len(content)}
        assert dill.loads(session.ask("GET", "/workspace/large").body) == content

    def test_only_the_session_looks_into_the_bytes(self, session, tmp_path):
        class Planted:
            def __reduce__(self):
                return os.system, (f"echo $PPID > {tmp_path / 'loaded'}",)

        assert session.set("planted", Planted()).status == 200
        loader = int((tmp_path / "loaded").read_text())
        assert loader == session.values("import os; p = os.getpid()", "p")["p"]
        assert loader != session.server.process.pid

    @pytest.mark.parametrize("content", [b"", b"junk", dill.dumps(1)[:-1]])
    def test_bytes_that_are_no_pickle_are_refused(self, session, content):
        refused(session.set("x", content), 400, "does not load")
        assert session.ask("GET", "/workspace").json() == []

    def test_a_missing_module_is_named_with_its_remedy(self, session):
        refused(session.set("x", b"cnowhere_at_all\nthing\n."), 400, "nowhere_at_all", "pip install")

    @pytest.mark.parametrize("name", ["1x", "a-b", "a.b", "__builtins__", "%20", "x%20y", "x" * 300])
    def test_names_that_no_variable_has_are_refused(self, session, name):
        refused(session.set(name, 1), 400, "variable")

    def test_what_cannot_be_pickled_says_so(self, session):
        session.execute("gen = (i for i in 'ab')")
        refused(session.ask("GET", "/workspace/gen"), 409, "gen", "generator", "cannot be pickled")
        assert list(Path(session.server.data_dir).glob("**/object-*")) == []


class TestFiles:
    def test_files_go_in_and_out(self, session):
        assert session.upload("data.csv", b"a,b\n1,2\n").status == 201
        assert session.values("text = open('data.csv').read()", "text") == {"text": "a,b\n1,2\n"}
        session.execute("import os; os.makedirs('sub/deep'); open('sub/deep/é.txt', 'w').write('x')")
        assert session.ask("GET", "/files").json() == ["data.csv", "sub/deep/é.txt"]
        answer = session.ask("GET", "/files/sub%2Fdeep%2F%C3%A9.txt")
        assert answer.body == b"x"
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A9.txt"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert session.upload("data.csv", b"new").status == 201
        assert session.ask("GET", "/files/data.csv").body == b"new"
        assert session.ask("DELETE", "/files/data.csv").status == 200
        refused(session.ask("GET", "/files/data.csv"), 404, "data.csv")
        refused(session.ask("DELETE", "/files/data.csv"), 404, "data.csv")

    @pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/passwd", "a/..", "a//b", "a\\b", "x" * 300])
    def test_names_that_lead_out_are_refused(self, session, name):
        refused(session.upload(name.replace("\\", "\\\\"), b"1"), 400)
        refused(session.ask("GET", "/files/" + name.replace("/", "%2F").replace("\\", "%5C")), 400)

    def test_links_that_code_plants_lead_nowhere(self, session, tmp_path):
        (tmp_path / "secret").write_text("secret")
        session.execute(
            f"import os\nos.symlink({str(tmp_path)!r}, 'way')\nos.symlink({str(tmp_path / 'secret')!r}, 'file')"
        )
        assert session.ask("GET", "/files").json() == []
        refused(session.ask("GET", "/files/file"), 404)
        refused(session.ask("GET", "/files/way%2Fsecret"), 400, "leads out")
        refused(session.upload("way/new", b"1"), 400, "leads out")
        assert session.upload("file", b"mine").status == 201
        assert (tmp_path / "secret").read_text() == "secret"
        assert session.ask("GET", "/files/file").body == b"mine"

    def test_a_pipe_does_not_hold_the_server(self, session):
        session.execute("import os; os.mkfifo('pipe')")
        refused(session.ask("GET", "/files/pipe"), 404)

    def test_an_empty_and_a_large_file_pass(self, session):
        assert session.upload("empty", b"").status == 201
        assert session.ask("GET", "/files/empty").body == b""
        content = os.urandom(30 * 2**20)
        assert session.upload("large", content).status == 201
        assert session.ask("GET", "/files/large").body == content

    @pytest.mark.parametrize(
        ("body", "kind", "status"),
        [
            (b"x", "application/json", 415),
            (b"junk", "multipart/form-data; boundary=b", 400),
            (b"--b--\r\n", "multipart/form-data; boundary=b", 400),
            (CUT_OFF, "multipart/form-data; boundary=b", 400),
        ],
    )  # fmt: skip
    def test_other_bodies_are_refused(self, session, body, kind, status):
        refused(session.ask("POST", "/files", body, headers={"Content-Type": kind}), status)
        assert session.ask("GET", "/files").json() == []


class TestSnapshots:
    def test_a_snapshot_holds_objects_and_files_and_opens_another_session(self, server, session):
        session.upload("data.txt", b"content")
        session.upload("empty.txt", b"")
        session.execute(
            "import numpy as np\nbig = np.arange(100_000.0)\nalias = big\ndef f(): return big.sum() + k\nk = 1"
        )
        snapshot = session.snapshot("mine")
        (listed,) = [one for one in server.request("GET", "/snapshots").json() if one["id"] == snapshot]
        assert listed["name"] == "mine"
        assert listed["contentSize"] > 800_000
        assert set(listed["objects"]) == {"np", "big", "alias", "f", "k"}
        assert listed["files"] == ["data.txt", "empty.txt"]
        restored = Session(server, snapshotId=snapshot)
        code = "s = f(); same = alias is big; t = open('data.txt').read(); k = 2; after = f()"
        values = restored.values(code, "s", "same", "t", "after")
        assert values == {"s": 4999950001.0, "same": True, "t": "content", "after": 4999950002.0}
        assert session.values("j = k", "j") == {"j": 1}
        restored.ask("DELETE")

    def test_loading_merges_and_overwrites(self, session):
        session.execute("a = 1; b = [1]")
        session.upload("f", b"old")
        snapshot = session.snapshot()
        session.execute("a = 2; c = 3; b.append(2)")
        session.upload("f", b"new")
        session.upload("g", b"g")
        assert session.ask("POST", f"/loadsnapshot/{snapshot}").status == 200
        assert session.values("f = open('f').read()", "a", "b", "c", "f") == {"a": 1, "b": [1], "c": 3, "f": "old"}
        session.execute("b.append(9)")
        assert session.ask("POST", f"/loadsnapshot/{snapshot}").status == 200
        assert session.values("1", "b") == {"b": [1]}
        refused(session.ask("POST", "/loadsnapshot/none"), 404, "no such snapshot")

    def test_a_snapshot_is_its_makers_alone(self, server, session, other):
        snapshot = session.snapshot()
        assert server.request("GET", "/snapshots", token=other).json() == []
        theirs = Session(server, token=other)
        publish = {"code": "1", "snapshotId": snapshot}
        for answer in (
            server.request("GET", f"/snapshots/{snapshot}", token=other),
            server.request("GET", f"/snapshots/{snapshot}/manifest", token=other),
            server.request("DELETE", f"/snapshots/{snapshot}", token=other),
            server.request("POST", "/sessions", {"snapshotId": snapshot}, token=other),
            server.request("POST", "/services/stolen", publish, token=other),
            theirs.ask("POST", f"/loadsnapshot/{snapshot}"),
        ):
            refused(answer, 404, "no such snapshot")
        theirs.ask("DELETE")
        assert server.request("GET", f"/snapshots/{snapshot}").status == 200

    def test_it_downloads_as_a_zip(self, server, session):
        session.upload("d/data.txt", b"content")
        session.execute("import numpy as np\nbig = np.ones(100_000)\nx = 5")
        snapshot = session.snapshot("zipped")
        answer = server.request("GET", f"/snapshots/{snapshot}")
        assert answer.headers["Content-Type"] == "application/zip"
        archive = zipfile.ZipFile(io.BytesIO(answer.body))
        assert archive.testzip() is None
        assert archive.namelist() == ["snapshot.json", "objects.pickle", "buffers/0", "files/d/data.txt"]
        assert archive.read("files/d/data.txt") == b"content"
        assert archive.getinfo("buffers/0").file_size == 800_000
        assert json.loads(archive.read("snapshot.json"))["name"] == "zipped"
        assert list((server.data_dir / "uploads").iterdir()) == []

    def test_it_tells_what_it_holds(self, server, session):
        session.upload("d/data.txt", b"content")
        session.execute("import numpy as np\nbig = np.ones((100, 200))\nx = 5")
        snapshot = session.snapshot("told")
        found = server.request("GET", f"/snapshots/{snapshot}/manifest").json()
        assert (found["id"], found["name"]) == (snapshot, "told")
        names = {one["name"]: (one["type"], one["shape"]) for one in found["manifest"]["names"]}
        assert names == {"np": ("numpy", ""), "big": ("ndarray", "100 x 200"), "x": ("int", "")}
        assert [file["path"] for file in found["manifest"]["files"]] == ["d/data.txt"]
        assert found["manifest"]["environment"]["packages"]["numpy"] == version("numpy")
        refused(server.request("GET", "/snapshots/none/manifest"), 404, "no such snapshot")

    def test_what_cannot_go_along_is_named(self, server, session):
        before = server.request("GET", "/snapshots").json()
        session.execute("fine = 1\nlock = {'inside': __import__('threading').Lock()}")
        refused(session.ask("POST", "/snapshot"), 409, "lock['inside']", "Delete it from the session")
        assert server.request("GET", "/snapshots").json() == before
        assert list((server.data_dir / "uploads").iterdir()) == []

    def test_a_service_owns_what_it_was_published_from(self, server, session):
        session.set("model", from_a_notebook("def model(x): return x * 2", "model"))
        snapshot = session.snapshot()
        answer = server.request(
            "POST",
            "/services/owned/1.0",
            {
                "snapshotId": snapshot,
                "code": "y = model(x)",
                "inputParameterDefinitions": parameters("x:numeric"),
                "outputParameterDefinitions": parameters("y:numeric"),
                "runtimeType": "Python",
            },
        )
        assert (answer.status, answer.json()) == (201, "1.0")
        session.ask("DELETE")
        assert server.request("DELETE", f"/snapshots/{snapshot}").status == 200
        refused(server.request("DELETE", f"/snapshots/{snapshot}"), 404)
        assert server.call("owned", x=4).json()["outputParameters"] == {"y": 8.0}
        for pid in server.kernels("owned", "1.0"):
            psutil.Process(pid).kill()
        eventually(lambda: server.call("owned", x=5).json().get("outputParameters") == {"y": 10.0})

    def test_an_empty_snapshot_in_a_patch_keeps_the_objects(self, server, session):
        session.set("model", from_a_notebook("def model(x): return x * 2", "model"))
        publish = {
            "snapshotId": session.snapshot(),
            "code": "y = model(x)",
            "inputParameterDefinitions": parameters("x:numeric"),
            "outputParameterDefinitions": parameters("y:numeric"),
        }
        assert server.request("POST", "/services/kept/1.0", publish).status == 201
        empty = Session(server)
        patch = {"snapshotId": empty.snapshot(), "description": "new", "runtimeType": "Python"}
        assert server.request("PATCH", "/services/kept/1.0", patch).json() == "1.0"
        empty.ask("DELETE")
        assert server.call("kept", x=4).json()["outputParameters"] == {"y": 8.0}
        assert server.request("GET", "/services/kept/1.0").json()[0]["description"] == "new"

    def test_snapshots_outlive_the_server_and_their_blobs_go_with_the_last_holder(self, start_server):
        server = start_server()
        session = Session(server)
        session.execute("import numpy as np\nbig = np.ones(100_000)")
        first, second = session.snapshot(), session.snapshot()
        blobs = lambda: [path for path in (server.data_dir / "blobs").rglob("*") if path.is_file()]  # noqa: E731
        assert server.stop() == 0
        again = start_server(data_dir=server.data_dir)
        assert [one["id"] for one in again.request("GET", "/snapshots").json()] == [first, second]
        restored = Session(again, snapshotId=first)
        assert restored.values("s = big.sum()", "s") == {"s": 100_000.0}
        assert again.request("DELETE", f"/snapshots/{first}").status == 200
        assert any(path.stat().st_size == 800_000 for path in blobs())
        assert again.request("DELETE", f"/snapshots/{second}").status == 200
        assert blobs() == []

    def test_a_damaged_snapshot_is_never_loaded(self, server, session):
        session.execute("import numpy as np\nbig = np.full(100_000, 7.5)")
        snapshot = session.snapshot()
        (blob,) = [
            path
            for path in (server.data_dir / "blobs").rglob("*")
            if path.is_file() and path.stat().st_size == 800_000 and path.stat().st_mtime > time.time() - 60
            and path.read_bytes()[:8] == b"\0\0\0\0\0\0\x1e@"
        ]  # fmt: skip
        content = bytearray(blob.read_bytes())
        content[1000] ^= 1
        blob.write_bytes(content)
        refused(session.ask("POST", f"/loadsnapshot/{snapshot}"), 409, "damaged")
        refused(server.request("POST", "/sessions", {"snapshotId": snapshot}), 409, "damaged")
