"""What crosses from Jupyter to the server and back, over real processes."""

from __future__ import annotations

import getpass
import hashlib
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
import urllib3
from jupyter_processes import BASE, TOKEN
from support import PASSWORD

from jupyter_mlops.schema.access import Role
from jupyter_mlops.signing import read_key, verify

pytest_plugins = ["jupyter_fixtures"]
CODE = {
    "code": "answer = 2 * x",
    "inputParameterDefinitions": [{"name": "x", "type": "numeric"}],
    "outputParameterDefinitions": [{"name": "answer", "type": "numeric"}],
}


def test_a_service_lives_and_dies_through_jupyter(jupyter, server):
    assert jupyter.request("POST", "mlops/services/twice/1", CODE).status == 201
    answer = jupyter.request("POST", "mlops/api/twice/1", {"x": 21}, headers={"X-Correlation-Id": "abcdef"})
    assert answer.json()["outputParameters"] == {"answer": 42}
    assert answer.headers["X-Correlation-Id"] == "abcdef"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert jupyter.request("PATCH", "mlops/services/twice/1", {"description": "doubles"}).status == 200
    (shown,) = jupyter.request("GET", "mlops/services/twice/1").json()
    assert shown["description"] == "doubles"
    assert shown["versionPublishedBy"] == getpass.getuser()
    assert jupyter.request("DELETE", "mlops/services/twice/1").status == 200
    assert server.request("GET", "/services/twice").json() == []


def test_a_client_of_the_server_logs_in_through_jupyter_and_needs_no_token_of_jupyters(jupyter):
    wrong = jupyter.request("POST", "mlops/login", {"username": "admin", "password": "no"}, token=None)
    assert (wrong.status, wrong.json()["exceptionType"]) == (401, "NotAuthenticated")
    tokens = jupyter.request("POST", "mlops/login", {"username": "admin", "password": PASSWORD}, token=None).json()
    header = {"Authorization": f"Bearer {tokens['access_token']}"}
    opened = jupyter.request("POST", "mlops/sessions", {"runtimeType": "Python"}, token=None, headers=header)
    path = f"mlops/sessions/{opened.json()['sessionId']}"
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\nhello\r\n--b--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert jupyter.request("POST", f"{path}/files", form, token=None, headers=header | kind).status == 201
    assert jupyter.request("GET", f"{path}/files/f.txt", token=None, headers=header).body == b"hello"
    (listed,) = jupyter.request("GET", "mlops/sessions", token=None, headers=header).json()
    assert listed["owner"] == "admin"
    assert jupyter.request("GET", "mlops/sessions").json() == []  # Jupyter's own user is another
    assert jupyter.request("DELETE", path, token=None, headers=header).status == 200
    renewed = {"refreshToken": tokens["refresh_token"]}
    assert jupyter.request("POST", "mlops/login/refreshToken", renewed, token=None).status == 200


def test_a_refusal_passes_as_it_is(jupyter, server):
    through, direct = jupyter.request("GET", "mlops/services/nosuch/1"), server.request("GET", "/services/nosuch/1")
    assert (through.status, through.json()) == (direct.status, direct.json())
    assert jupyter.request("POST", "mlops/services/a/1", b"{").status == 400


def test_twenty_megabytes_both_ways(jupyter, server):
    echo = {
        "code": "answer = text",
        "inputParameterDefinitions": [{"name": "text", "type": "character"}],
        "outputParameterDefinitions": [{"name": "answer", "type": "character"}],
    }
    assert jupyter.request("POST", "mlops/services/echo/1", echo).status == 201
    text = "0123456789abcdef" * (20 * 2**16)
    answer = jupyter.request("POST", "mlops/api/echo/1", {"text": text}).json()
    assert (
        hashlib.sha256(answer["outputParameters"]["answer"].encode()).digest() == hashlib.sha256(text.encode()).digest()
    )


def test_static_files_keep_their_tags(jupyter, server):
    first = jupyter.request("GET", "mlops/docs/static/docs.js")
    assert (first.status, first.body) == (200, server.request("GET", "/docs/static/docs.js").body)
    again = jupyter.request("GET", "mlops/docs/static/docs.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    head = jupyter.request("HEAD", "mlops/docs/static/docs.js")
    assert head.headers["Content-Length"] == first.headers["Content-Length"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_verb_with_its_path_query_and_body(method, before_recorder, recorder):
    body = None if method in {"GET", "OPTIONS"} else b"\x00body"
    answer = before_recorder.request(method, "mlops/api/a%2Fb/%C3%A9?x=1&y=%20&_xsrf=no&x=2", body)
    assert (answer.status, answer.body, answer.headers["X-Seen"]) == (200, b"seen " + (body or b""), method)
    assert (recorder.last().method, recorder.last().uri) == (method, "/api/a%2Fb/%C3%A9?x=1&y=%20&x=2")


def test_the_server_gets_the_user_and_nothing_of_jupyter(before_recorder, recorder):
    browser = before_recorder.log_in()
    page = f"{before_recorder.url}lab?token={TOKEN}"
    for headers in (browser, {"Authorization": f"token {TOKEN}"}, {"Authorization": f"Bearer {TOKEN}"}):
        sent = {
            **headers,
            "Origin": before_recorder.root,
            "Referer": page,
            "X-Custom": "kept",
            "X-Forwarded-For": "1.2.3.4",
        }
        assert before_recorder.request("POST", "mlops/anything", b"", token=None, headers=sent).status == 200
        seen = recorder.last().headers
        assert set(seen) - {"Accept-Encoding", "User-Agent", "Connection"} == {
            "Authorization", "Content-Length", "Host", "X-Custom",
        }  # fmt: skip
        assert TOKEN not in str(dict(seen.get_all()))
        identity, expires = verify(read_key(recorder.data_dir), seen["Authorization"].removeprefix("Bearer "))
        assert (identity.name, identity.role, identity.local) == (getpass.getuser(), Role.OWNER, True)
        assert 0 < expires - time.time() <= 60


def test_the_token_in_the_address_stays_in_jupyter(before_recorder, recorder):
    answer = before_recorder.request("GET", f"mlops/anything?token={TOKEN}&a=1", token=None)
    assert (answer.status, recorder.last().uri) == (200, "/anything?a=1")


def test_what_the_server_did_not_lock_is_locked(before_recorder):
    answer = before_recorder.request("GET", "mlops/page")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "from=backend" not in str(answer.headers.getlist("Set-Cookie"))
    assert answer.headers.get("Access-Control-Allow-Origin", "") != "*"


def test_redirects_are_passed_on_not_followed(before_recorder):
    answer = before_recorder.request("GET", "mlops/redirect")
    assert (answer.status, answer.headers["Location"]) == (302, f"{BASE}mlops/elsewhere?a=1")


def test_an_answer_that_breaks_off_is_not_taken_for_whole(before_recorder):
    with pytest.raises(urllib3.exceptions.ProtocolError):
        before_recorder.request("GET", "mlops/breaks-off")


def test_a_refused_body_is_answered(before_recorder):
    answer = before_recorder.request("POST", "mlops/too-large", b"x" * 30_000_000)
    assert (answer.status, answer.json()) == (413, {"message": "too large"})


def test_a_slow_reader_does_not_fill_jupyters_memory(before_recorder):
    before = before_recorder.memory()
    answer = before_recorder.http.request(
        "GET",
        f"{before_recorder.url}mlops/large/300",
        headers={"Authorization": f"token {TOKEN}"},
        preload_content=False,
    )
    chunks = answer.stream(2**20)
    read = len(next(chunks))
    time.sleep(1)
    assert before_recorder.memory() - before < 64 * 2**20
    assert read + sum(len(chunk) for chunk in chunks) == 300 * 2**20
    answer.release_conn()


def test_a_slow_server_does_not_fill_jupyters_memory(before_recorder, recorder):
    recorder.hold.clear()
    before = before_recorder.memory()
    sent, seen = [0], []

    def body():
        for sent[0] in range(1, 301):
            yield b"x" * 2**20

    def look():
        seen.extend([sent[0], before_recorder.memory() - before])
        recorder.hold.set()

    timer = threading.Timer(1.0, look)
    timer.start()
    answer = before_recorder.http.request(
        "POST", f"{before_recorder.url}mlops/slow", body=body(), headers={"Authorization": f"token {TOKEN}"}
    )
    timer.join()
    assert int(answer.data) == 300 * 2**20
    assert seen[0] < 64
    assert seen[1] < 64 * 2**20


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", 411),
        ("POST {path} HTTP/1.1\r\nContent-Length: 5, 5\r\n", 400),
        ("POST {path} HTTP/1.1\r\nContent-Length: +5\r\n", 400),
    ],
)
def test_odd_framing_is_refused(head, status, before_recorder, recorder):
    reached = len(recorder.seen)
    address = urlsplit(before_recorder.root)
    with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
        request = head.format(path=f"{BASE}mlops/anything")
        raw.sendall(f"{request}Host: 127.0.0.1\r\nAuthorization: token {TOKEN}\r\n\r\n".encode())
        assert raw.recv(4096).decode().startswith(f"HTTP/1.1 {status}")
    assert len(recorder.seen) == reached


def test_nobody_at_home(start_jupyter, tmp_path):
    jupyter = start_jupyter("--MLOpsExtension.server_url=http://127.0.0.1:9")
    answer = jupyter.request("POST", "mlops/api/a/1", b"x" * 1000)
    assert (answer.status, answer.json()["exceptionType"]) == (503, "ServerUnreachable")
    assert "http://127.0.0.1:9" in answer.json()["message"]
    assert set(answer.json()) == {"message", "code", "exceptionType", "fields", "link"}


def test_a_shared_server_gets_the_callers_own_token(start_jupyter, recorder, tmp_path):
    jupyter = start_jupyter(f"--MLOpsExtension.server_url={recorder.url}")
    browser = jupyter.log_in()
    jupyter.request("GET", "mlops/anything", token=None, headers=browser | {"Authorization": "Bearer aaa.bbb.ccc"})
    assert recorder.last().headers["Authorization"] == "Bearer aaa.bbb.ccc"
    jupyter.request("GET", "mlops/anything")
    assert "Authorization" not in recorder.last().headers
    assert not (tmp_path / "data").exists()


def test_errors_have_one_shape(jupyter):
    for answer in (
        jupyter.request("GET", "mlops/services", token=None),
        jupyter.request("GET", "mlops/services/nosuch/1"),
        jupyter.request("POST", "mlops/services/a/1", b"["),
    ):
        assert set(json.loads(answer.body)) == {"message", "code", "exceptionType", "fields", "link"}
