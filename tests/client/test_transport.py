"""Logins that last, and what a client does when a server is busy, slow or gone."""

from __future__ import annotations

import math
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from support import PASSWORD

from jupyter_mlops import DeployClient
from jupyter_mlops.client.login import Login
from jupyter_mlops.client.patience import Patience
from jupyter_mlops.client.transport import Address, Transport
from jupyter_mlops.errors import (
    DeadlineExceeded,
    KernelDied,
    NotAuthenticated,
    NotFound,
    ServerUnreachable,
    Unavailable,
)
from jupyter_mlops.schema.access import LoginRequest


def ends_soon(transport):
    transport.address = msgspec.structs.replace(transport.address, ends=time.monotonic() + 5)
    return transport.address.token


def forget_password(transport):
    """Only the refresh token can help now."""
    transport._renew._request = LoginRequest(username="admin", password="forgotten")


def test_a_token_is_renewed_before_it_ends(server):
    with DeployClient(server.url, auth=("admin", PASSWORD)) as client:
        assert 3500 < client.transport.address.ends - time.monotonic() <= 3600
        forget_password(client.transport)
        for _ in range(3):
            token = ends_soon(client.transport)
            client.list_services()
            assert client.transport.address.token != token
            assert client.transport.address.ends > time.monotonic() + 3500


def test_a_refused_token_is_renewed_and_the_request_sent_again(server):
    with DeployClient(server.url, auth=("admin", PASSWORD)) as client:
        forget_password(client.transport)
        client.transport.address = msgspec.structs.replace(client.transport.address, token="refused")
        assert isinstance(client.list_services(), list)


def test_a_login_that_was_ended_is_made_anew(server):
    with DeployClient(server.url, auth=("admin", PASSWORD)) as client:
        refresh = client.transport._renew._refresh
        assert server.request("DELETE", f"/login/refreshToken?refreshToken={refresh}").status == 200
        assert isinstance(client.list_services(), list)
        forget_password(client.transport)
        server.request("DELETE", f"/login/refreshToken?refreshToken={client.transport._renew._refresh}")
        with pytest.raises(NotAuthenticated, match="invalid credentials"):
            client.list_services()


def test_many_threads_renew_once(server):
    with DeployClient(server.url, auth=("admin", PASSWORD)) as client:
        renewals, login = [], client.transport._renew

        def renew():
            renewals.append(login())
            return renewals[-1]

        client.transport._renew = renew
        for spoil in (ends_soon, lambda transport: setattr(transport, "address", Address(url=server.url, token="bad"))):
            renewals.clear()
            spoil(client.transport)
            with ThreadPoolExecutor(8) as pool:
                assert all(isinstance(listed, list) for listed in pool.map(lambda _: client.list_services(), range(32)))
            assert len(renewals) == 1


def test_a_token_that_cannot_be_renewed_is_used_to_its_end(server):
    with DeployClient(server.url, auth=("admin", PASSWORD)) as client:
        login = Login(Transport(Address(url="http://127.0.0.1:9")), "admin", PASSWORD)
        client.transport._renew = login
        token = ends_soon(client.transport)
        assert isinstance(client.list_services(), list)
        assert client.transport.address.token == token


def test_a_token_given_as_text_is_not_renewed(server):
    with DeployClient(server.url, auth=server.token) as client:
        assert client.transport.address.ends == math.inf
        assert client.transport._renew is None


@pytest.fixture
def scripted():
    """An HTTP server that answers as it is told, one step a request; what is not scripted is 200 and `[]`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.asked.append((self.command, time.monotonic()))
            step = server.steps.pop(0) if server.steps else (200, {})
            if step == "break":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if step == "sleep":
                server.slept.wait(10)
                step = (200, {})
            status, headers = step
            self.send_response(status)
            for name, value in ({"Content-Length": "2"} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"[]")

        do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.steps, server.slept = [], [], threading.Event()
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    server.transport = Transport(Address(url=f"http://127.0.0.1:{server.server_address[1]}"))
    yield server
    server.slept.set()
    server.transport.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("trouble", ["break", (502, {}), (503, {}), (504, {})])
def test_what_changes_nothing_twice_is_sent_again(method, trouble, scripted):
    scripted.steps = [trouble, trouble]
    assert scripted.transport.json(method, "/x", content=b"body" if method == "PUT" else None) == []
    assert [asked for asked, _ in scripted.asked] == [method] * 3


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    ("trouble", "raised"), [("break", ServerUnreachable), ((502, {}), KernelDied), ((503, {}), Unavailable)]
)
def test_what_runs_code_is_sent_once(method, trouble, raised, scripted):
    scripted.steps = [trouble]
    with pytest.raises(raised):
        scripted.transport.request(method, "/x", {})
    assert len(scripted.asked) == 1


def test_it_gives_up(scripted):
    scripted.steps = [(503, {})] * 9
    with pytest.raises(Unavailable):
        scripted.transport.request("GET", "/x")
    assert len(scripted.asked) == 3


def test_it_waits_as_long_as_it_is_asked_to(scripted):
    scripted.steps = [(503, {"Retry-After": "1"})]
    scripted.transport.request("GET", "/x")
    (_, first), (_, second) = scripted.asked
    assert second - first >= 1


def test_a_long_pause_is_the_callers_to_take(scripted):
    scripted.steps = [(503, {"Retry-After": "3600"})]
    with pytest.raises(Unavailable) as caught:
        scripted.transport.request("GET", "/x")
    assert caught.value.retry_after == 3600
    assert len(scripted.asked) == 1


def test_a_late_answer_is_not_waited_for_again(scripted):
    scripted.steps = ["sleep"]
    with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.2 seconds"):
        scripted.transport.request("GET", "/x", timeout=0.2)
    assert len(scripted.asked) == 1


def test_the_clients_own_time_holds_for_every_request(scripted):
    transport = Transport(scripted.transport.address, patience=Patience(read=0.2))
    scripted.steps = ["sleep"]
    with pytest.raises(DeadlineExceeded):
        transport.request("POST", "/x", {}, usual=100)
    scripted.slept.set()
    assert transport.request("POST", "/x", {}, usual=None) == b"[]"
    transport.close()


def test_what_was_deleted_by_the_lost_try_is_deleted(scripted):
    for lost in ("break", (502, {})):
        scripted.steps = [lost, (404, {})]
        assert scripted.transport.request("DELETE", "/x") == b""
    scripted.steps = [(404, {})]
    with pytest.raises(NotFound):
        scripted.transport.request("DELETE", "/x")


def test_retries_can_be_forbidden(scripted):
    transport = Transport(scripted.transport.address, patience=Patience(retries=0))
    scripted.steps = [(503, {})]
    with pytest.raises(Unavailable):
        transport.request("GET", "/x")
    transport.close()


def test_an_answer_may_go_to_a_file(scripted, tmp_path):
    assert scripted.transport.request("GET", "/x", into=tmp_path / "x") == b""
    assert (tmp_path / "x").read_bytes() == b"[]"
    scripted.steps = [(404, {})]
    with pytest.raises(NotFound):
        scripted.transport.request("GET", "/x", into=tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_the_settings_of_a_client_reach_its_connections(server):
    with DeployClient(server.url, auth=server.token, timeout=7, connect_timeout=2, retries=5) as client:
        assert client.transport.patience == Patience(read=7, connect=2, retries=5)
