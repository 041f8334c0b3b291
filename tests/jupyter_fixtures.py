"""A plugin of the tests: Jupyter servers, and a backend that records what reaches it."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import tornado.web
import tornado.websocket
from jupyter_processes import RunningJupyter, stop_server


@pytest.fixture
def start_jupyter(tmp_path):
    """Start Jupyter servers by hand; each is stopped at the end, and so is what they started."""
    started = []

    def start(*arguments: str, data_dir: Path | None = None, program: str = "jupyter_server") -> RunningJupyter:
        home = tmp_path / f"jupyter-{len(started)}"
        home.mkdir()
        running = RunningJupyter(home, data_dir or tmp_path / "data", *arguments, program=program)
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()
    for running in started:
        stop_server(running.data_dir)


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory, server):
    """A Jupyter server in front of the module's own server."""
    running = RunningJupyter(tmp_path_factory.mktemp("jupyter"), server.data_dir)
    yield running
    running.stop()


@dataclass
class Recorder:
    """An HTTP server that says it runs on the data directory, and keeps what it is sent."""

    data_dir: Path
    url: str = ""
    seen: list[Any] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    """While it is clear, `/slow` does not read."""

    def last(self) -> Any:
        return self.seen[-1]

    def requests(self) -> int:
        """How many requests came; a socket of an earlier test may still close."""
        return sum(1 for one in self.seen if not isinstance(one, tuple))


class _Base(tornado.web.RequestHandler):
    def initialize(self, recorder: Recorder) -> None:
        self.recorder = recorder


class _Health(_Base):
    def get(self) -> None:
        self.finish({"instance": "recorder"})


class _Anything(_Base):
    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

    def prepare(self) -> None:
        self.recorder.seen.append(self.request)
        self.set_header("X-Seen", self.request.method)
        self.finish(b"seen " + (self.request.body or b""))


class _Page(_Base):
    def get(self) -> None:
        self.set_header("Set-Cookie", "from=backend")
        self.set_header("Access-Control-Allow-Origin", "*")
        self.finish("<script>alert(1)</script>")


class _Redirect(_Base):
    def get(self) -> None:
        self.redirect("/elsewhere?a=1")


class _BreaksOff(_Base):
    async def get(self) -> None:
        self.set_header("Content-Length", "1000000")
        self.write(b"x" * 1000)
        await self.flush()
        self.request.connection.stream.close()


class _Large(_Base):
    async def get(self, megabytes: str) -> None:
        for _ in range(int(megabytes)):
            self.write(b"x" * 2**20)
            await self.flush()


@tornado.web.stream_request_body
class _Slow(_Base):
    def prepare(self) -> None:
        self.request.connection.set_max_body_size(1 << 40)
        self.size = 0

    async def data_received(self, chunk: bytes) -> None:
        self.size += len(chunk)
        while not self.recorder.hold.is_set():  # noqa: ASYNC110  # another thread sets it
            await asyncio.sleep(0.01)

    def post(self) -> None:
        self.finish(str(self.size))


@tornado.web.stream_request_body
class _TooLarge(_Base):
    def prepare(self) -> None:
        self.set_status(413)
        self.finish({"message": "too large"})

    def data_received(self, chunk: bytes) -> None: ...


class _Socket(tornado.websocket.WebSocketHandler):
    def initialize(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def open(self) -> None:
        self.recorder.seen.append(self.request)
        self.write_message("hello")

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, binary=isinstance(message, bytes))
        if message == "close":
            self.close(4321, "as asked")

    def on_close(self) -> None:
        self.recorder.seen.append(("closed", self.close_code))


@pytest.fixture(scope="module")
def recorder(tmp_path_factory):
    """A recording backend, announced in the `server.json` of a data directory of its own."""
    recorder = Recorder(tmp_path_factory.mktemp("recorder"))
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        given = {"recorder": recorder}
        routes = [
            (r"/health", _Health), (r"/page", _Page), (r"/redirect", _Redirect), (r"/breaks-off", _BreaksOff),
            (r"/large/(\d+)", _Large), (r"/slow", _Slow), (r"/too-large", _TooLarge), (r"/events", _Socket),
            (r"/.*", _Anything),
        ]  # fmt: skip
        application = tornado.web.Application([(path, handler, given) for path, handler in routes])
        http = tornado.httpserver.HTTPServer(application)
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        http.add_sockets(sockets)
        recorder.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        announce(recorder.data_dir, recorder.url)
        ready.set()
        await stop.wait()
        http.stop()
        await http.close_all_connections()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield recorder
    recorder.hold.set()
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def announce(data_dir: Path, url: str) -> None:
    """Write a `server.json` in the name of this process."""
    started = psutil.Process().create_time()
    said = {"url": url, "pid": os.getpid(), "started": started, "instance": "recorder", "api": "1", "token": "",
            "user": "", "version": "", "format": 1}  # fmt: skip
    (data_dir / "server.json").write_text(json.dumps(said))


@pytest.fixture(scope="module")
def before_recorder(tmp_path_factory, recorder):
    """A Jupyter server in front of the recorder."""
    running = RunningJupyter(tmp_path_factory.mktemp("jupyter"), recorder.data_dir)
    yield running
    running.stop()
