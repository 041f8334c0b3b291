"""Connections that bring nothing are closed, and those that wait for an answer are not."""

import asyncio

import pytest
from tornado.web import Application, RequestHandler

from jupyter_mlops.server.handlers import connections


class Slow(RequestHandler):
    async def post(self):
        await asyncio.sleep(1.2)
        self.finish("done")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(connections, "STALLED_SECONDS", 0.4)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 1.5)


async def talk(server, port, *pieces, pause=0.0):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(pause)
    started = asyncio.get_running_loop().time()
    answer = await reader.read(100)
    writer.close()
    await writer.wait_closed()
    return answer, asyncio.get_running_loop().time() - started


HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "pause", "answered", "least", "most"),
    [
        ([HEAD + b"ab"], 0, False, 0.3, 1.2),  # the body stalls
        ([b"POST / HT"], 0, False, 0.3, 1.2),  # the head stalls
        ([], 0, False, 1.3, 2.6),  # nothing at all
        ([HEAD, b"a", b"b", b"c", b"d"], 0.25, True, 0.5, 1.6),  # slow, but it comes
        ([HEAD + b"abcd"], 0, True, 1.0, 2.0),  # it is we who are slow
    ],
)
def test_who_is_closed_and_when(quick, pieces, pause, answered, least, most):
    async def run():
        server = connections.ScoringServer(Application([("/", Slow)]))
        server.listen(0, "127.0.0.1")
        (socket,) = server._sockets.values()
        try:
            answer, seconds = await talk(server, socket.getsockname()[1], *pieces, pause=pause)
        finally:
            server.stop()
            await server.close_all_connections()
        assert answer.startswith(b"HTTP/1.1 200") is answered, answer
        assert least <= seconds <= most

    asyncio.run(run())


def test_a_refused_path_does_not_reset_the_next_request(server):
    for _ in range(20):
        refused = server.request("DELETE", "/services/%FF/1")
        assert (refused.status, refused.headers["Connection"]) == (400, "close")
        assert server.request("GET", "/services").status == 200


def test_a_refused_blob_is_answered(server):
    assert server.request("PUT", "/uploads/none/none", b"abc", token=None).status == 401
    assert server.request("PUT", "/uploads/none/none", b"abc").status == 404
