"""Every route is authenticated, and every refusal has one shape."""

import re

import pytest
from tornado.web import RequestHandler

from jupyter_mlops.server.handlers.routes import PUBLIC, ROUTES

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ERROR_KEYS = {"message", "code", "exceptionType", "fields", "link"}


def address(pattern: str) -> str:
    return re.sub(r"\(.*?\)", "thing", pattern).replace("\\", "")


def public(method: str, pattern: str) -> bool:
    return ("GET" if method == "HEAD" else method, pattern) in PUBLIC


CASES = [(method, pattern) for pattern, _ in ROUTES for method in METHODS if not public(method, pattern)]


@pytest.mark.parametrize("token", [None, "garbage", "eyJhbGciOiJub25lIn0.e30."])
def test_every_route_needs_a_credential(server, token):
    for method, pattern in CASES:
        answer = server.request(method, address(pattern), token=token)
        assert answer.status in {401, 403, 405}, (method, pattern, answer)
        if answer.status == 403:
            assert pattern == "/events"
        if answer.status == 405:
            assert any(pattern == public for _, public in PUBLIC)


def test_the_public_list_is_the_designs(server):
    assert {
        ("GET", "/health"),
        ("POST", "/login"),
        ("POST", "/login/refreshToken"),
        ("DELETE", "/login/refreshToken"),
        ("GET", "/docs"),
        ("GET", "/docs/static/(.*)"),
    } == PUBLIC


def test_public_routes_need_none(server):
    assert server.request("GET", "/health", token=None).status == 200
    assert server.request("POST", "/login", {"username": "a", "password": "b"}, token=None).status == 401
    assert server.request("POST", "/login/refreshToken", {"refreshToken": "a"}, token=None).status == 401
    assert server.request("DELETE", "/login/refreshToken?refreshToken=a", token=None).status == 401


def test_every_refusal_has_the_one_shape(server):
    plain = RequestHandler._unimplemented_method
    for pattern, handler in ROUTES:
        if pattern in {"/events", "/docs", "/docs/static/(.*)", "/health"}:
            continue
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            answer = server.request(method, address(pattern), b"{" if method != "GET" else None)
            if answer.status < 400:
                continue
            body = answer.json()
            if pattern.startswith("/v2"):  # whose clients look for `error`
                assert body.pop("error") == body["message"]
            assert set(body) == ERROR_KEYS, (method, pattern)
            assert body["code"] == answer.status
            assert body["message"]
            if getattr(handler, method.lower()) is plain:
                assert answer.status == 405
                assert method not in answer.headers["Allow"]


def test_unknown_addresses_are_401_to_strangers_and_404_to_users(server):
    assert server.request("GET", "/nothing", token=None).status == 401
    assert server.request("GET", "/nothing").status == 404


def test_a_foreign_host_name_is_refused(server):
    answer = server.request("GET", "/health", headers={"Host": "evil.example"}, token=None)
    assert answer.status == 403
    assert "allow_hosts" in answer.json()["message"]


def test_answers_are_not_to_be_sniffed_framed_run_or_kept(server):
    headers = server.request("GET", "/services").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "Server" not in headers


def test_the_correlation_id_comes_back(server):
    assert (
        server.request("GET", "/health", headers={"X-Correlation-Id": "abc-1"}).headers["X-Correlation-Id"] == "abc-1"
    )
    odd = server.request("GET", "/health", headers={"X-Correlation-Id": "a b"}).headers["X-Correlation-Id"]
    assert re.fullmatch(r"[0-9a-f]{10}-[0-9a-f]+", odd)


def test_a_body_past_the_routes_limit_is_413_before_it_is_read(server):
    answer = server.request("POST", "/login", b"x", token=None, headers={"Content-Length": str(2**30)}, timeout=5)
    assert answer.status == 413
    assert answer.json()["exceptionType"] == "TooLarge"


def test_a_chunked_body_past_the_limit_is_413(server):
    pieces = (b"x" * 8192 for _ in range(8))
    answer = server.http.request("POST", server.url + "/login", body=pieces, headers={}, timeout=5, chunked=True)
    assert answer.status == 413


def test_an_empty_json_body_on_get_and_delete_is_fine(server):
    headers = {"Content-Type": "application/json"}
    assert server.request("GET", "/services", headers=headers).status == 200
    assert server.request("DELETE", "/services/none/1", headers=headers).status == 404
