"""HTTP on the wire: however a request comes, it is answered once, in its turn, or refused; who is silent is closed."""

import asyncio
import contextlib
import itertools
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tornado.web import Application, RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler, websocket_connect

from jupyter_mlops.server.http import connection
from jupyter_mlops.server.http import server as listening


class Slow(RequestHandler):
    async def post(self):
        await asyncio.sleep(1.2)
        self.finish("done")


class Echo(RequestHandler):
    async def post(self):
        await asyncio.sleep(float(self.get_query_argument("wait", "0")))
        self.write(self.request.body)

    def get(self):
        self.write("hello")


@stream_request_body
class Pieces(RequestHandler):
    gone = 0

    def prepare(self):
        self.request.connection.set_max_body_size(100_000)
        self.size = 0
        if self.get_query_argument("refuse", ""):
            self.set_status(403)
            self.finish("no")

    async def data_received(self, chunk):
        await asyncio.sleep(0)
        self.size += len(chunk)

    def post(self):
        self.write(str(self.size))

    def on_connection_close(self):
        Pieces.gone += 1


class Large(RequestHandler):
    written = 0

    async def get(self):
        for _ in range(int(self.get_query_argument("pieces"))):
            self.write(b"x" * 2**18)
            await self.flush()
            Large.written += 1


class Talk(WebSocketHandler):
    async def on_message(self, message):
        await self.write_message(message * 2)


class Defect(RequestHandler):
    def __init__(self, *_):
        raise RuntimeError("a defect")


APPLICATION = Application(
    [("/", Slow), ("/echo", Echo), ("/pieces", Pieces), ("/large", Large), ("/talk", Talk), ("/defect", Defect)],
    websocket_max_message_size=2**24,
)


@contextlib.asynccontextmanager
async def serving():
    server = listening.HttpServer(APPLICATION)
    loop_server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    (bound,) = loop_server.sockets
    await server.listen([bound.dup()])
    try:
        yield bound.getsockname()[1]
    finally:
        server.stop()
        await server.close()
        loop_server.close()


async def exchange(port, *pieces, pause=0.0, least=1):
    """Send the pieces; what came back until the server hung up, or until so many answers were there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
    with contextlib.suppress(ConnectionError):
        while len(statuses(answer)) < least or not complete(answer):
            piece = await asyncio.wait_for(reader.read(2**16), 5)
            if not piece:
                break
            answer += piece
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


def statuses(answer):
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+) ", answer) if found != b"100"]


def complete(answer):
    head, _, body = answer.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


def ask(*pieces, **more):
    async def run():
        async with serving() as port:
            return await exchange(port, *pieces, **more)

    return asyncio.run(run())


def post(body, path="/echo", *headers, version="1.1"):
    lines = [f"POST {path} HTTP/{version}", "Host: localhost", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*chunks, path="/echo"):
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


class TestSilence:
    HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(listening, "SWEEP_SECONDS", 0.1)
        monkeypatch.setattr(connection, "STALLED_SECONDS", 0.4)
        monkeypatch.setattr(connection, "IDLE_SECONDS", 1.5)

    @pytest.mark.parametrize(
        ("pieces", "pause", "answered"),
        [
            ([HEAD + b"ab"], 0, False),  # the body stalls
            ([b"POST / HT"], 0, False),  # the head stalls
            ([], 0, False),  # nothing at all
            ([HEAD, b"a", b"b", b"c", b"d"], 0.25, True),  # slow, but it comes
            ([HEAD + b"abcd"], 0, True),  # it is we who are slow
        ],
    )
    def test_who_is_closed(self, pieces, pause, answered):
        assert (statuses(ask(*pieces, pause=pause)) == [200]) is answered


class TestRequests:
    def test_one_after_another_on_one_connection(self):
        answer = ask(post(b"first"), post(b"second"), pause=0.05, least=2)
        assert statuses(answer) == [200, 200]
        assert answer.index(b"first") < answer.index(b"second")

    def test_many_at_once_are_answered_in_turn(self):
        bodies = [f"number {number}".encode() for number in range(50)]
        answer = ask(b"".join(post(body, f"/echo?wait={0.01 * (n % 3)}") for n, body in enumerate(bodies)), least=50)
        assert statuses(answer) == [200] * 50
        places = [answer.index(body) for body in bodies]
        assert places == sorted(places)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cuts=st.lists(st.integers(1, 600), max_size=12), pause=st.sampled_from([0, 0.001]))
    def test_wherever_the_bytes_are_cut_the_answers_are_the_same(self, cuts, pause):
        stream = (
            post(b"a" * 100)
            + chunked(b"b" * 30, b"c" * 40)
            + b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n"
            + chunked(b"d" * 50, b"e" * 100, path="/pieces")
            + post(b"f" * 70, "/pieces")
        )
        borders = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
        answer = ask(*(stream[a:b] for a, b in itertools.pairwise(borders)), pause=pause, least=5)
        bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
        assert bodies == [b"a" * 100, b"b" * 30 + b"c" * 40, b"hello", b"150", b"70"]

    def test_a_large_body_in_pieces(self):
        assert ask(post(b"x" * 90_000, "/pieces")).endswith(b"90000")

    def test_continue_is_said_to_who_waits_for_it(self):
        answer = ask(post(b"", "/echo", "Expect: 100-continue").replace(b"th: 0", b"th: 4"), b"body", pause=0.1)
        assert answer.startswith(b"HTTP/1.1 100 ")
        assert answer.endswith(b"body")

    def test_http_10_is_closed_unless_it_asks(self):
        answer = ask(post(b"old", version="1.0"))
        assert b"Connection: close" in answer
        answer = ask(post(b"old", "/echo", "Connection: keep-alive", version="1.0"))
        assert b"Connection: Keep-Alive" in answer

    def test_close_is_kept(self):
        answer = ask(post(b"last", "/echo", "Connection: close"), post(b"never"), least=2)
        assert statuses(answer) == [200]
        assert b"Connection: close" in answer

    def test_head_has_no_body(self):
        answer = ask(b"HEAD /echo HTTP/1.1\r\nHost: localhost\r\n\r\n" + post(b"next"), least=2)
        assert statuses(answer) == [405, 200]

    def test_a_defect_ends_its_connection_and_is_logged(self, caplog):
        assert ask(b"GET /defect HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        assert "a defect" in caplog.text


class TestRefusals:
    @pytest.mark.parametrize(
        "request_",
        [
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",  # no host
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nName : x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\nabcd",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nabcd",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nab",
            b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
            b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    )
    def test_what_is_ambiguous_or_no_http_is_400_and_closed(self, request_):
        answer = ask(request_ + b"GET /echo HTTP/1.1\r\nHost: smuggled\r\n\r\n", least=2)
        assert statuses(answer) == [400]
        assert b"hello" not in answer

    @pytest.mark.parametrize("pieces", [1, 50])
    def test_a_long_head_is_431(self, pieces):
        head = b"GET /echo HTTP/1.1\r\nHost: localhost\r\n" + b"".join(
            b"X%d: %b\r\n" % (n, b"v" * 90) for n in range(1000)
        )
        size = len(head) // pieces
        answer = ask(*(head[n * size : (n + 1) * size] for n in range(pieces)), b"\r\n", pause=0.002)
        assert statuses(answer) == [431]

    def test_a_head_without_end_is_431(self):
        assert statuses(ask(b"GET /echo HTTP/1.1\r\nHost: a\r\nX: ", *[b"v" * 10_000] * 20, pause=0.002)) == [431]

    def test_too_large_bodies(self):
        assert statuses(ask(post(b"x" * 200_000, "/pieces"))) == [400]
        assert statuses(ask(chunked(*[b"x" * 50_000] * 4, path="/pieces"))) == [400]

    def test_who_announces_much_can_be_refused_by_the_handler(self):
        head = post(b"", "/pieces?refuse=1").replace(b"Content-Length: 0", b"Content-Length: 35184372088832")
        assert statuses(ask(head)) == [403]

    def test_handlers_without_a_limit_have_one(self):
        assert statuses(ask(post(b"x" * (2**20 + 1)))) == [400]

    def test_who_still_sends_can_read_the_refusal(self):
        answer = ask(*[post(b"x" * 90_000, "/pieces?refuse=1")[:1000], *[b"x" * 1000] * 50], pause=0.005)
        assert statuses(answer) == [403]
        assert answer.endswith(b"no")


class TestClients:
    def test_who_goes_is_noticed_while_sending_and_while_waiting(self):
        async def run():
            async with serving() as port:
                before = Pieces.gone
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(post(b"x" * 5000, "/pieces")[:3000])
                await writer.drain()
                await asyncio.sleep(0.1)
                writer.close()
                await writer.wait_closed()
                for _ in range(100):
                    await asyncio.sleep(0.02)
                    if Pieces.gone > before:
                        return
                raise AssertionError("the handler was not told")

        asyncio.run(run())

    def test_a_slow_reader_holds_up_the_writer(self):
        async def run():
            async with serving() as port:
                Large.written = 0
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
                writer.write(b"GET /large?pieces=200 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await asyncio.sleep(0.5)
                early = Large.written
                assert early < 100
                size = 0
                while Large.written < 200 or size < 200 * 2**18:
                    size += len(await asyncio.wait_for(reader.read(2**20), 5))
                assert early < Large.written
                writer.close()

        asyncio.run(run())


class TestTunnels:
    def test_messages_of_all_sizes_pass(self):
        async def run():
            async with serving() as port:
                socket = await websocket_connect(f"ws://127.0.0.1:{port}/talk", max_message_size=2**24)
                for size in (1, 1000, 2**22):
                    await socket.write_message("m" * size)
                    assert await asyncio.wait_for(socket.read_message(), 10) == "m" * size * 2
                socket.close()

        asyncio.run(run())

    def test_what_is_sent_before_the_answer_is_not_lost(self):
        upgrade = (
            b"GET /talk HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        frame = bytes([0x81, 0x82, 0, 0, 0, 0]) + b"ab"

        async def run(*pieces):
            async with serving() as port:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0.01)
                answer = await asyncio.wait_for(reader.readuntil(b"\x81\x04abab"), 5)
                writer.close()
                return answer

        assert asyncio.run(run(upgrade + frame)).startswith(b"HTTP/1.1 101 ")
        assert asyncio.run(run(upgrade, frame[:3], frame[3:])).startswith(b"HTTP/1.1 101 ")

    def test_a_protocol_that_nobody_speaks_is_not_changed_to(self):
        answer = ask(post(b"body", "/echo", "Connection: Upgrade", "Upgrade: h2c") + post(b"next"), least=2)
        assert statuses(answer) == [200, 200]
        assert answer.index(b"body") < answer.index(b"next")

    def test_a_websocket_where_there_is_none_is_answered_and_closed(self):
        upgrade = b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        answer = ask(upgrade + post(b"never"), least=2)
        assert statuses(answer) == [200]
        assert b"Connection: close" in answer


def test_a_refused_path_does_not_reset_the_next_request(server):
    for _ in range(20):
        refused = server.request("DELETE", "/services/%FF/1")
        assert (refused.status, refused.headers["Connection"]) == (400, "close")
        assert server.request("GET", "/services").status == 200


def test_a_refused_blob_is_answered(server):
    assert server.request("PUT", "/uploads/none/none", b"abc", token=None).status == 401
    assert server.request("PUT", "/uploads/none/none", b"abc").status == 404
