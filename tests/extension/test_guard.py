"""Nobody passes whom Jupyter does not know, whatever the verb, the page or the setting."""

from __future__ import annotations

import pytest
from joserfc.jwk import OctKey
from jupyter_processes import RunningJupyter

from jupyter_mlops.schema.access import Identity, Role
from jupyter_mlops.signing import read_key, sign

pytest_plugins = ["jupyter_fixtures"]
PATHS = ["mlops/services", "mlops/api/a/1", "mlops/docs/static/docs.js", "mlops/", "mlops/health", "mlops/loginx"]
VERBS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
WRONG = [
    {},
    {"Authorization": "token wrong"},
    {"Authorization": "Bearer aaaa.bbbb.cccc"},
    {"Cookie": "username-127-0-0-1=forged; _xsrf=1", "X-XSRFToken": "1"},
]


@pytest.fixture(scope="module", params=[True, False], ids=["open by default", "closed by default"])
def guarded(request, tmp_path_factory, recorder):
    running = RunningJupyter(
        tmp_path_factory.mktemp("jupyter"),
        recorder.data_dir,
        f"--ServerApp.allow_unauthenticated_access={request.param}",
    )
    yield running
    running.stop()


@pytest.mark.parametrize("headers", WRONG, ids=["nothing", "token", "jwt", "cookie"])
@pytest.mark.parametrize("path", PATHS)
def test_strangers_are_refused_and_nothing_is_forwarded(path, headers, guarded, recorder):
    reached = len(recorder.seen)
    for verb in VERBS:
        assert guarded.request(verb, path, token=None, headers=headers).status == 403, verb
    assert len(recorder.seen) == reached


def test_a_stranger_who_opens_the_page_is_asked_to_log_in(guarded, recorder):
    answer = guarded.request("GET", "mlops/docs?service=a", token=None)
    assert answer.status == 302
    assert "/login?next=" in answer.headers["Location"]
    assert guarded.request("POST", "mlops/docs", token=None).status == 403


@pytest.mark.parametrize("headers", WRONG, ids=["nothing", "token", "jwt", "cookie"])
def test_of_the_login_only_what_is_open_on_the_server_is_open(headers, guarded, recorder):
    for path in ("mlops/login", "mlops/login/refreshToken"):
        for verb in ("GET", "HEAD", "PUT", "PATCH", "OPTIONS"):
            assert guarded.request(verb, path, token=None, headers=headers).status == 403, verb
        for verb in ("POST", "DELETE"):
            assert guarded.request(verb, path, token=None, headers=headers).status == 200
            assert (recorder.last().uri, recorder.last().headers.get("Authorization")) == (path[5:], None)


def test_a_token_of_the_server_itself_passes_as_it_is(guarded, recorder):
    key = read_key(recorder.data_dir)
    token = sign(key, Identity(name="ann", role=Role.READER), 60)
    assert (
        guarded.request("POST", "mlops/api/a/1", token=None, headers={"Authorization": f"Bearer {token}"}).status == 200
    )
    assert recorder.last().headers["Authorization"] == f"Bearer {token}"
    expired = sign(key, Identity(name="ann", role=Role.READER), -3600)
    elsewhere = sign(OctKey.generate_key(256), Identity(name="ann", role=Role.OWNER), 60)
    reached = len(recorder.seen)
    for wrong in (expired, elsewhere, token[:-2]):
        for verb in VERBS:
            headers = {"Authorization": f"Bearer {wrong}"}
            assert guarded.request(verb, "mlops/services", token=None, headers=headers).status == 403
    assert len(recorder.seen) == reached


def test_unknown_verbs_are_refused(guarded):
    assert guarded.request("TRACE", "mlops/services").status == 405


def test_a_cookie_alone_changes_nothing(guarded, recorder):
    browser = guarded.log_in()
    cookie = {"Cookie": browser["Cookie"]}
    reached = len(recorder.seen)
    for verb in ("POST", "PUT", "PATCH", "DELETE"):
        for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json"):
            sent = {**cookie, "Content-Type": kind, "Sec-Fetch-Mode": "no-cors"}
            assert guarded.request(verb, "mlops/anything", token=None, headers=sent).status == 403
    assert len(recorder.seen) == reached
    assert guarded.request("POST", "mlops/anything", token=None, headers=browser).status == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:1"]
)
def test_a_foreign_page_reads_and_changes_nothing(origin, guarded, recorder):
    browser = guarded.log_in() | {"Origin": origin}
    reached = len(recorder.seen)
    for verb in ("GET", "POST", "DELETE"):
        answer = guarded.request(verb, "mlops/anything", token=None, headers=browser)
        assert answer.status in {403, 404}
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert len(recorder.seen) == reached


def test_the_page_gives_the_cookie_that_its_calls_send_back(guarded):
    assert any("_xsrf=" in line for line in guarded.request("GET", "mlops/docs").headers.getlist("Set-Cookie"))
