"""Realtime publishes are checked like any other, then refused with the way on, and leave nothing behind."""

import os
from pathlib import Path

import pytest
from support import eventually
from urllib3.filepost import encode_multipart_formdata

MODEL = ("model", b"blob\x00\x01", "application/octet-stream")


def send(server, path="LinMod/1.0", method="POST", token="", **fields):
    body, kind = encode_multipart_formdata(fields)
    return server.request(method, f"/realtime-services/{path}", body, token=token, headers={"Content-Type": kind})


def on_disk(server):
    roots = [server.data_dir, *Path("/tmp").glob("jupyter-mlops*")]
    return sum(path.stat().st_size for root in roots for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", ["LinMod", "LinMod/1.0"])
def test_a_publish_is_refused_with_the_way_on(server, path):
    answer = send(server, path, description="linear", operationId="predict", model=MODEL)
    assert answer.status == 400
    assert "not served by this version" in answer.json()["message"]
    assert "publish a function" in answer.json()["message"]
    assert server.request("GET", "/services").json() == []


def test_a_change_needs_no_model_but_something_to_change(server):
    server.publish_code("there", "1", "y = 1", "", "y:numeric")
    answer = send(server, "there/1", "PATCH", description="linear")
    assert answer.status == 400
    assert "not served by this version" in answer.json()["message"]
    assert send(server, "nothere/1", "PATCH", description="linear").status == 404
    assert send(server, "there/1", model=MODEL).status == 409
    server.request("DELETE", "/services/there/1")


def test_what_is_wrong_is_told_first(server):
    missing = send(server, description="linear")
    assert (missing.status, missing.json()["fields"]) == (400, "$.model")
    assert "needs the file `model`" in missing.json()["message"]
    alias = send(server, operationId="not a name", model=MODEL)
    assert (alias.status, alias.json()["fields"]) == (400, "$.operationId")
    version = send(server, "LinMod/latest", model=MODEL)
    assert (version.status, version.json()["fields"]) == (400, "$.version")
    name = send(server, "-a/1", model=MODEL)
    assert (name.status, name.json()["fields"]) == (400, "$.name")
    other = send(server, model=MODEL, other=MODEL)
    assert (other.status, other.json()["fields"]) == (400, "$.other")


def test_another_kind_of_body_is_415(server):
    answer = server.request("POST", "/realtime-services/LinMod/1.0", {"model": "x"})
    assert answer.status == 415
    assert "multipart/form-data" in answer.json()["message"]
    headers = {"Content-Type": "multipart/form-data"}
    assert server.request("POST", "/realtime-services/LinMod/1.0", b"", headers=headers).status == 415


def test_a_form_that_is_cut_off_is_400(server):
    body, kind = encode_multipart_formdata({"model": MODEL})
    answer = server.request("POST", "/realtime-services/LinMod/1.0", body[:-10], headers={"Content-Type": kind})
    assert answer.status == 400
    assert "ends before its last boundary" in answer.json()["message"]


def test_readers_are_refused_before_their_model_is_read(server):
    server.request("POST", "/users", {"name": "rita", "password": "x" * 12, "role": "Reader"})
    login = server.request("POST", "/login", {"username": "rita", "password": "x" * 12}, token=None).json()
    assert send(server, model=MODEL, token=login["access_token"]).status == 403
    announced = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(2**32)}
    path = "/realtime-services/LinMod/1.0"
    answer = server.request("POST", path, b"", token=login["access_token"], headers=announced, timeout=5)
    assert answer.status == 403


def test_a_large_model_leaves_nothing_on_disk_and_little_in_memory(server):
    import psutil

    process = psutil.Process(server.process.pid)
    disk, memory = on_disk(server), process.memory_info().rss
    answer = send(server, model=("model", os.urandom(2**20) * 200, "application/octet-stream"))
    assert answer.status == 400
    assert "not served by this version" in answer.json()["message"]
    assert process.memory_info().rss - memory < 64 * 2**20
    eventually(lambda: on_disk(server) <= disk + 2**20)  # the log and the database may grow


def test_other_verbs_are_405(server):
    for method, path in (("GET", "a"), ("PATCH", "a"), ("DELETE", "a/1"), ("PUT", "a/1")):
        assert server.request(method, f"/realtime-services/{path}").status == 405
