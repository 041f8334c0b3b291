"""Blobs that come in pieces, and over connections that break."""

import contextlib
import os
import socket
import threading
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
from blake3 import blake3
from support import eventually

from jupyter_mlops import DeployClient
from jupyter_mlops.client import sending
from jupyter_mlops.schema.snapshots import BeginUpload, Blob, Manifest

CONTENT = os.urandom(3 * 2**20)
DIGEST = blake3(CONTENT).hexdigest()


@pytest.fixture
def upload(server):
    manifest = Manifest(stream=Blob(digest=DIGEST, size=len(CONTENT)))
    body = msgspec.json.encode(BeginUpload(manifest=manifest))
    identifier = server.request("POST", "/uploads", body).json()["id"]
    yield identifier
    server.request("DELETE", f"/uploads/{identifier}")


def piece(server, upload, offset, content):
    return server.request("PATCH", f"/uploads/{upload}/{DIGEST}?offset={offset}", content)


def received(server, upload):
    return server.request("GET", f"/uploads/{upload}").json()["received"].get(DIGEST, 0)


def test_a_blob_may_come_in_pieces(server, upload):
    assert received(server, upload) == 0
    for start in range(0, len(CONTENT), 700_000):
        answer = piece(server, upload, start, CONTENT[start : start + 700_000])
        assert answer.status == 200, answer
        assert answer.json()["received"] == {DIGEST: min(start + 700_000, len(CONTENT))}
    kept = server.request("POST", "/snapshots", {"upload": upload})
    assert kept.status == 201
    assert server.request("DELETE", f"/snapshots/{kept.json()['snapshotId']}").status == 200


def test_a_piece_that_does_not_go_on_says_where_to(server, upload):
    piece(server, upload, 0, CONTENT[:1000])
    answer = piece(server, upload, 5000, CONTENT[5000:])
    assert answer.status == 409
    assert "1000 bytes" in answer.json()["message"]
    for offset in ("", "-1", "x", "1.5"):
        assert piece(server, upload, offset, b"x").status == 400
    assert piece(server, upload, 1000, CONTENT).status == 400  # more than there is
    assert piece(server, upload, 0, CONTENT).status == 200  # from the beginning is always right


def test_a_whole_blob_that_is_cut_short_is_not_taken(server, upload):
    answer = server.request("PUT", f"/uploads/{upload}/{DIGEST}", CONTENT[:-1])
    assert answer.status == 400
    assert server.request("POST", "/snapshots", {"upload": upload}).status == 409


def test_wrong_bytes_are_forgotten(server, upload):
    wrong = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    piece(server, upload, 0, wrong[:1000])
    assert piece(server, upload, 1000, wrong[1000:]).status == 400
    assert received(server, upload) == 0
    assert piece(server, upload, 0, CONTENT).status == 200


def test_what_came_before_a_connection_broke_stays(server, upload):
    address = urlsplit(server.url)
    head = (
        f"PATCH /uploads/{upload}/{DIGEST}?offset=0 HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + CONTENT[: 2 * 2**20 + 500_000])
        eventually(lambda: received(server, upload) >= 2**20)
    there = eventually(lambda: received(server, upload))
    assert 2**20 <= there <= 2 * 2**20 + 500_000
    assert eventually(lambda: piece(server, upload, (n := received(server, upload)), CONTENT[n:]).status == 200)


class Cutting(threading.Thread):
    """A way to the server that breaks every connection after so many bytes, so many times."""

    def __init__(self, url, after, times):
        super().__init__(daemon=True)
        self.target = urlsplit(url)
        self.after, self.left = after, times
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection((self.target.hostname, self.target.port))
            threading.Thread(target=self.pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, False), daemon=True).start()

    def pump(self, source, sink, counted):
        passed = 0
        try:
            while data := source.recv(65536):
                passed += len(data)
                if counted and passed > self.after and self.left > 0:
                    self.left -= 1
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with_shutdown(end)

    def stop(self):
        self.listener.close()


def with_shutdown(end):
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def test_a_publish_goes_on_where_the_connection_broke(server, monkeypatch):
    monkeypatch.setattr(sending, "PIECE", 2**20)
    cutting = Cutting(server.url, after=5 * 2**20, times=3)
    cutting.start()
    namespace = {"__name__": "__main__", "weights": np.arange(2_000_000.0)}
    exec("def total(x: float) -> float:\n    return x + weights.sum()", namespace)
    try:
        with DeployClient(cutting.url, auth=server.token) as client:
            service = client.service("broken").version("1").code_fn(namespace["total"]).deploy()
            assert service.total(1.0).output("answer") == 1.0 + namespace["weights"].sum()
    finally:
        cutting.stop()
    assert cutting.left == 0
    assert list((server.data_dir / "uploads").iterdir()) == []
