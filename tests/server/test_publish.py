"""Publishing is all or nothing, proven before it is visible, and lasts."""

import os
import pickle
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from blake3 import blake3
from support import eventually

from jupyter_mlops import DeployClient

ADD = ("x:numeric", "z:numeric")


def blob(content):
    return {"digest": blake3(content).hexdigest(), "size": len(content)}


def upload(server, objects=None, *, stream=None, send=True, **more):
    stream = pickle.dumps(objects or {}) if stream is None else stream
    names = [
        {"name": name, "kind": "data", "type": "x", "size": 1, "fingerprint": str(value)}
        for name, value in (objects or {}).items()
    ]
    manifest = {"stream": blob(stream), "names": names, **more}
    answer = server.request("POST", "/uploads", {"manifest": manifest})
    if answer.status == 201 and send:
        for digest in answer.json()["missing"]:
            assert server.request("PUT", f"/uploads/{answer.json()['id']}/{digest}", stream).status == 204
    return answer


def scoring(process):
    """The pid of a process that is a kernel, forked or not: it lives in a working directory of its own."""
    try:
        return process.pid if process.cwd().endswith("/work") else None
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return None


def left_over(server):
    blobs = [path for path in (server.data_dir / "blobs").rglob("*") if path.is_file()]
    uploads = list((server.data_dir / "uploads").iterdir())
    with sqlite3.connect(server.data_dir / "mlops.sqlite") as database:
        rows = [
            database.execute(f"SELECT count(*) FROM {t}").fetchone()[0]
            for t in ("revisions", "versions", "blob_references")
        ]
    database.close()
    kernels = [pid for process in server.processes() if (pid := scoring(process))]
    return blobs, uploads, rows, kernels


NOTHING = ([], [], [0, 0, 0], [])


def test_a_failed_publish_leaves_nothing(start_server):
    server = start_server()
    cases = [
        ({"code": "z = x"}, {"stream": b"not a pickle"}, 422, "does not load"),
        ({"code": "z = x"}, {"stream": b"cmlops_no_such_module\nthing\n."}, 422, "'mlops_no_such_module'"),
        ({"code": "z = 1 / x", "sample": {"x": 0}}, {}, 422, "ZeroDivisionError"),
        ({"code": "import os; os._exit(3)", "sample": {"x": 0}}, {}, 422, "kernel ended"),
        ({"code": "z = = x"}, {}, 422, "not Python"),
        ({"code": "z = x", "sample": {"x": "text"}}, {}, 400, "$.x"),
        ({"code": "z = x", "sample": {}}, {}, 400, "$.x"),
        ({"function": "nothing"}, {}, 400, "'nothing'"),
        ({"code": "z = x", "operationId": "no name"}, {}, 400, "alias"),
        ({"code": "z = x", "outputFileNames": ["../x"]}, {}, 400, "plain file name"),
        ({"code": "z = x", "timeout": 0}, {}, 400, "timeout"),
        ({"code": "z = x", "runtimeType": "R"}, {}, 400, "Python"),
        ({}, {}, 400, "code"),
    ]
    for request, sent, status, word in cases:
        identity = upload(server, {"k": 1}, **sent).json()["id"]
        body = {"inputParameterDefinitions": [{"name": "x", "type": "numeric"}], "upload": identity, **request}
        answer = server.request("POST", "/services/bad/1", body)
        assert answer.status == status, (request, answer)
        assert word in answer.json()["message"]
        assert server.request("GET", "/services").json() == []
        assert server.request("POST", "/api/bad/1", {"x": 1}).status == 404
    eventually(lambda: left_over(server) == NOTHING)


def test_a_missing_blob_is_named(server):
    identity = upload(server, {"missing": 1}, send=False).json()["id"]
    answer = server.request("POST", "/services/lacks/1", {"code": "z = 1", "upload": identity})
    assert answer.status == 409
    assert "lacks the blob" in answer.json()["message"]


def test_a_blob_that_is_not_what_its_digest_says_is_refused(server):
    announced = upload(server, {"tampered": 1}, send=False).json()
    (digest,) = announced["missing"]
    path = f"/uploads/{announced['id']}/{digest}"
    size = len(pickle.dumps({"tampered": 1}))
    assert server.request("PUT", path, b"x" * size).status == 400
    assert server.request("PUT", path, b"x").status == 400
    assert server.request("PUT", path, b"x" * (size + 1)).status == 400
    assert server.request("PUT", f"/uploads/{announced['id']}/{'0' * 64}", b"").status == 404
    assert server.request("PUT", path, pickle.dumps({"tampered": 1})).status == 204
    assert server.request("DELETE", f"/uploads/{announced['id']}").status == 204
    assert server.request("DELETE", f"/uploads/{announced['id']}").status == 404


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "", "a//b", "a\\b", ".", "a\nb", "x" * 300])
def test_a_manifest_cannot_choose_paths(server, path):
    answer = upload(server, {}, files=[{"path": path, "blob": blob(b"")}])
    assert answer.status == 400
    assert answer.json()["fields"].startswith("$.manifest")


@pytest.mark.parametrize("name", ["a/b", "..", ".x", "x.", "", "a\nb", "é", "a%2Fb", "x" * 200, "a b ", "-a"])
def test_odd_names_are_refused_with_the_rule(server, name):
    from urllib.parse import quote

    answer = server.request("POST", f"/services/{quote(name, safe='')}/1", {"code": "z = 1"})
    assert answer.status in {400, 404}
    if answer.status == 400:
        assert "letters" in answer.json()["message"]


@pytest.mark.parametrize("version", ["latest", "batch", "swagger.json", "openapi.json", "pool"])
def test_reserved_versions_are_refused(server, version):
    assert server.request("POST", f"/services/reserved/{version}", {"code": "z = 1"}).status == 400


def test_the_same_again_is_the_same_and_a_difference_is_named(server):
    assert server.publish_code("again", "1", "z = x", *ADD).status == 201
    assert server.publish_code("again", "1", "z = x", *ADD, reuse=True).status == 200
    same = server.publish_code("again", "1", "z = x", *ADD)  # Machine Learning Server's clients expect a refusal
    assert same.status == 409
    assert "this very content" in same.json()["message"]
    refused = server.publish_code("again", "1", "z = x + 1", *ADD, description="new")
    assert refused.status == 409
    message = refused.json()["message"]
    assert "code" in message
    assert "description" in message
    assert "--update" in message
    assert "next version, 2" in message
    assert server.call("again", x=1).json()["outputParameters"] == {"z": 1.0}


def test_versions_are_listed_oldest_first_and_latest_is_the_last_published(server):
    for version in ("2.0", "v1.0.0-alpha", "10"):
        server.publish_code("many", version, f"z = {version!r}", "", "z:character")
    assert [s["version"] for s in server.request("GET", "/services/many").json()] == ["2.0", "v1.0.0-alpha", "10"]
    assert server.request("POST", "/api/many", {}).json()["outputParameters"] == {"z": "10"}
    assert server.call("many", "latest").json()["outputParameters"] == {"z": "10"}
    assert server.call("many", "2.0").json()["outputParameters"] == {"z": "2.0"}
    assert server.request("DELETE", "/services/many/10").status == 200
    assert server.call("many").json()["outputParameters"] == {"z": "v1.0.0-alpha"}
    assert server.call("many", "10").status == 404
    assert "v1.0.0-alpha" in server.call("many", "10").json()["message"]


def test_without_a_version_a_guid_or_the_next_number(server):
    import uuid

    answer = server.request("POST", "/services/guid", {"code": "z = 1"})
    assert answer.status == 201
    uuid.UUID(answer.json())
    for code, version in (("z = 1", "1"), ("z = 1", "1"), ("z = 2", "2"), ("z = 3", "3")):
        assert server.request("POST", "/services/number", {"code": code, "numbered": True}).json() == version


def test_patch_changes_what_it_names_and_keeps_the_rest(server):
    server.publish_code("patch", "1", "print('hi'); z = x", *ADD, description="old", initCode="y = 1")
    assert server.request("PATCH", "/services/patch/1", {"description": "new"}).json() == "1"
    (service,) = server.request("GET", "/services/patch/1").json()
    assert (service["description"], service["code"], service["initCode"]) == ("new", "print('hi'); z = x", "y = 1")
    assert service["revision"] == 2
    assert server.request("PATCH", "/services/patch/1", {"code": "z = = 1"}).status == 422
    assert server.call("patch", x=5).json()["outputParameters"] == {"z": 5.0}
    assert server.request("PATCH", "/services/patch/2", {"code": "z = 1"}).status == 404


def test_an_update_swaps_without_a_failed_call(server):
    server.publish_code("swap", "1", "import time; time.sleep(0.01); z = 0", "", "z:integer")
    done = []

    def call_on():
        answers = []
        while not done:
            answers.append(server.call("swap"))
        return answers

    with ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(call_on) for _ in range(3)]
        for number in range(1, 4):
            body = {"code": f"import time; time.sleep(0.01); z = {number}"}
            assert server.request("PATCH", "/services/swap/1", body).status == 200
        done.append(True)
        answers = [caller.result() for caller in callers]
    for mine in answers:
        assert {answer.status for answer in mine} == {200}
        values = [answer.json()["outputParameters"]["z"] for answer in mine]
        assert values == sorted(values)


def test_services_survive_kill_9_and_answer_again(start_server):
    server = start_server()

    def scale(x: float) -> float:
        return float((weights * x).sum())

    client = DeployClient(server.url, auth=server.token)
    import numpy as np

    weights = np.arange(20_000.0)
    scale.__globals__["weights"] = weights
    definition = client.service("scale").version("1").code_fn(scale).inputs(x=float).outputs(answer=float)
    definition.models(weights=weights).deploy()
    expected = server.call("scale", x=2).json()["outputParameters"]
    for _ in range(2):
        server.stop(kill=True)
        server.start()
        assert server.call("scale", x=2).json()["outputParameters"] == expected
    assert expected == {"answer": float(weights.sum() * 2)}
    assert server.request("DELETE", "/services/scale/1").status == 200
    eventually(lambda: left_over(server) == NOTHING)


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.15, 0.3, 0.5])
def test_kill_9_during_a_publish_leaves_all_or_nothing(start_server, moment):
    server = start_server()
    identity = upload(server, {"k": 1}).json()["id"]
    with ThreadPoolExecutor() as threads:
        publishing = threads.submit(server.publish_code, "half", "1", "z = k", "", "z:integer", upload=identity)
        time.sleep(moment)
        server.stop(kill=True)
        promised = not publishing.exception() and publishing.result().status == 201
    server.start()
    if server.request("GET", "/services").json():
        assert server.call("half").json()["outputParameters"] == {"z": 1}
    else:
        assert not promised
        assert left_over(server) == NOTHING


def test_a_tampered_blob_is_not_hidden(start_server):
    server = start_server()
    identity = upload(server, {"k": 1}).json()["id"]
    assert server.publish_code("flip", "1", "z = k", "", "z:integer", upload=identity).status == 201
    server.stop()
    (path,) = [p for p in (server.data_dir / "blobs").rglob("*") if p.is_file()]
    content = bytearray(path.read_bytes())
    content[-3] ^= 0xFF
    path.write_bytes(content)
    server.start()
    for _ in range(2):
        refused = server.call("flip")
        assert refused.status == 409
        assert path.name in refused.json()["message"]
    assert server.request("GET", "/status").json()["statusCode"] == "warn"


def test_the_server_never_unpickles(start_server):
    hook = (
        "import sys, os\n"
        "def forbid(event, _):\n"
        "    if event == 'pickle.find_class': os.write(2, b'UNPICKLED'); os._exit(99)\n"
        "sys.addaudithook(forbid)\n"
        "from jupyter_mlops.cli import main\n"
        "sys.exit(main())"
    )
    server = start_server(launch=("-c", hook))
    client = DeployClient(server.url, auth=server.token)

    def grow(x: float) -> float:
        return x + len(os.sep)

    service = client.service("grow").version("1").code_fn(grow).inputs(x=float).outputs(answer=float).deploy()
    assert service.grow(1).output("answer") == 2
    assert server.process.poll() is None


def test_a_login_users_publish_does_not_choose_the_interpreter(server):
    tokens = server.request(
        "POST", "/login", {"username": "admin", "password": "correct horse battery staple"}, token=None
    )
    marker = server.data_dir / "ran"
    script = server.data_dir / "python"
    script.write_text(f"#!/bin/sh\ntouch {marker}\n")
    script.chmod(0o755)
    stream = pickle.dumps({})
    manifest = {"stream": blob(stream), "environment": {"executable": str(script)}}
    token = tokens.json()["access_token"]
    announced = server.request("POST", "/uploads", {"manifest": manifest}, token=token).json()
    for digest in announced["missing"]:
        server.request("PUT", f"/uploads/{announced['id']}/{digest}", stream, token=token)
    body = {"code": "z = 1", "upload": announced["id"]}
    assert server.request("POST", "/services/chosen/1", body, token=token).status == 201
    assert not marker.exists()


def test_uploads_are_their_owners_only(server):
    tokens = server.request(
        "POST", "/login", {"username": "admin", "password": "correct horse battery staple"}, token=None
    )
    announced = upload(server, {"mine": 1}, send=False).json()
    path = f"/uploads/{announced['id']}"
    token = tokens.json()["access_token"]
    assert server.request("PUT", f"{path}/{announced['missing'][0]}", b"x", token=token).status == 404
    assert server.request("DELETE", path, token=token).status == 404
    body = {"code": "z = 1", "upload": announced["id"]}
    assert server.request("POST", "/services/theirs/1", body, token=token).status == 404


def test_knowing_a_digest_is_not_having_the_bytes(server):
    identity = upload(server, {"secret": 1}).json()["id"]
    assert server.publish_code("secret", "1", "z = 1", upload=identity).status == 201
    tokens = server.request(
        "POST", "/login", {"username": "admin", "password": "correct horse battery staple"}, token=None
    )
    manifest = {"stream": blob(pickle.dumps({"secret": 1}))}
    token = tokens.json()["access_token"]
    assert server.request("POST", "/uploads", {"manifest": manifest}, token=token).json()["missing"]
    assert not server.request("POST", "/uploads", {"manifest": manifest}).json()["missing"]


def test_a_kernel_is_the_leader_of_its_own_group_in_a_private_directory(server):
    server.publish_code("where", "1", "import os; z = os.getcwd()", "", "z:character")
    (kernel,) = server.kernels("where", "1")
    where = server.call("where").json()["outputParameters"]["z"]
    assert os.getpgid(kernel) == kernel
    assert os.stat(os.path.dirname(os.path.dirname(where))).st_mode & 0o077 == 0
    assert server.process.pid in {parent.pid for parent in psutil.Process(kernel).parents()}


@pytest.mark.parametrize(
    ("version", "following"), [("1.0", "1.1"), ("v3", "v4"), ("beta", "beta-2"), ("1.9-rc", "1.10-rc")]
)
def test_the_next_free_version_is_spelled_out(server, version, following):
    assert server.publish_code("next", version, "z = 1").status == 201
    assert f"next version, {following}" in server.publish_code("next", version, "z = 2").json()["message"]
