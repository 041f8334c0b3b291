"""Bare Tornado with the functions in its own process: the least that any server on Tornado can cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from work import add, cars


class Call(RequestHandler):
    """JSON in, JSON out, and nothing else: no token, no check, no log."""

    def initialize(self, function: Callable[..., float]) -> None:
        """Take the function that this address calls."""
        self.function = function

    def post(self) -> None:
        """Run one call."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"answer": self.function(**json.loads(self.request.body))}))


class Echo(RequestHandler):
    """JSON in, the same JSON out."""

    def post(self) -> None:
        """Answer what came."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(json.loads(self.request.body)))


class Frames(RequestHandler):
    """Arrow in, Arrow out: the graph runs right here."""

    def post(self, name: str) -> None:
        """Score rows."""
        from models import ARROW, scorer

        self.set_header("Content-Type", ARROW)
        self.finish(scorer(name, alone=True).arrow(self.request.body))


async def serve() -> None:
    """Serve on a free port and say where."""
    sockets = bind_sockets(0, "127.0.0.1")
    functions = {"/add": add, "/cars": cars}
    rules: list[Any] = [(path, Call, {"function": function}) for path, function in functions.items()]
    rules += [("/echo", Echo), ("/frames/(linear|tree)", Frames)]
    HTTPServer(Application(rules, log_function=lambda _: None)).add_sockets(sockets)
    print(f"ready at http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
