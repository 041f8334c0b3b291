"""The kernel's end of the scoring channel: an asyncio protocol on ipykernel's own loop.

Calls run one after another, in the order in which they came. A synchronous function runs right where its
message is parsed; an asynchronous one runs as a task, and the calls behind it wait.
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sys
from collections import deque
from types import FrameType
from typing import cast

import msgspec

from jupyter_mlops.framing import Frames, frame
from jupyter_mlops.runtime.console import Console
from jupyter_mlops.runtime.invoke import Invoker
from jupyter_mlops.runtime.load import differing, load
from jupyter_mlops.runtime.mark import Mark
from jupyter_mlops.runtime.slices import Slices
from jupyter_mlops.runtime.workspace import Workspace, open_workspace
from jupyter_mlops.schema.channel import (
    MAX_FRAME,
    Call,
    Cancel,
    Done,
    Greeting,
    Group,
    GroupReply,
    Load,
    Loaded,
    Open,
    Reply,
    SessionRequest,
    Slice,
    SliceReply,
    ToKernel,
    Withdrawn,
)


class Channel(asyncio.Protocol):
    """Serves one server until it goes away; then this process has no more purpose and ends.

    Parameters
    ----------
    key:
        What tells the server which kernel this is.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._frames = Frames(MAX_FRAME)
        self._decoder = msgspec.msgpack.Decoder(ToKernel)
        self._encoder = msgspec.msgpack.Encoder()
        self._waiting: deque[Call | Group | Slice | SessionRequest] = deque()
        self._task: asyncio.Task[Reply] | asyncio.Task[SliceReply] | asyncio.Task[Done] | None = None
        self._workspace: Workspace | None = None
        self._invoker: Invoker | None = None
        self._slices: Slices | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        self._transport = cast("asyncio.Transport", transport)
        signal.signal(signal.SIGINT, self._on_interrupt)
        self._send(Greeting(self._key, os.getpid(), platform.python_version()))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End with the server, without running anything of the user's on the way out."""
        os._exit(0)

    def data_received(self, data: bytes) -> None:
        """Read everything that arrived, so that a cancellation overtakes its call, then run the calls."""
        for message in self._frames.feed(data):
            match self._decoder.decode(message):
                case Cancel(id=cancelled):
                    self._waiting = deque(call for call in self._waiting if call.id != cancelled)
                case Load() as request:
                    self._load(request)
                case Open() as request:
                    self._workspace = open_workspace(request)
                    self._send(Loaded(""))
                case call:
                    self._waiting.append(call)
        self._run_waiting()

    def _load(self, request: Load) -> None:
        console = Console(request.console_limit)
        sys.stdout = sys.stderr = console
        error, service = load(request, console)
        if service is not None:
            self._invoker = Invoker(service, console, Mark(request.mark), request.artifact_limit)
            self._slices = Slices(self._invoker)
        differences = differing(request.environment)
        if error and differences:
            error = "\n".join([error, "Where the snapshot was captured it was otherwise:", *differences])
        self._send(Loaded(error, differences))

    def _run_waiting(self) -> None:
        while self._waiting and self._task is None:
            call = self._waiting.popleft()
            if isinstance(call, Slice):
                self._run_slice(call)
                continue
            if not isinstance(call, Call | Group):
                assert self._workspace is not None, "the server sends requests only after Loaded"
                self._follow(asyncio.ensure_future(self._workspace.serve(call)))
                continue
            assert self._invoker is not None, "the server sends calls only after Loaded"
            if not self._invoker.begin(call):
                self._send(Withdrawn(call.id))
            elif isinstance(call, Group):
                self._send(self._invoker.run_group(call))
            elif self._invoker.asynchronous:
                self._follow(asyncio.ensure_future(self._invoker.run_async(call)))
            else:
                self._send(self._invoker.run(call))

    def _run_slice(self, request: Slice) -> None:
        assert self._slices is not None, "the server sends slices only after Loaded"
        assert self._invoker is not None, "what runs slices runs on it"
        if self._invoker.asynchronous:
            self._follow(asyncio.ensure_future(self._slices.run_async(request)))
        else:
            self._send(self._slices.run(request))

    def _follow(self, task: asyncio.Task[Reply] | asyncio.Task[SliceReply] | asyncio.Task[Done]) -> None:
        self._task = task
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[Reply] | asyncio.Task[SliceReply] | asyncio.Task[Done]) -> None:
        self._task = None
        self._send(task.result())
        self._run_waiting()

    def _on_interrupt(self, number: int, where: FrameType | None) -> None:  # noqa: ARG002
        """Stop the running call; an interrupt that comes between two calls hits nothing."""
        for runner in (self._invoker, self._workspace):
            if runner is not None:
                runner.interrupt()

    def _send(self, message: Greeting | Loaded | Reply | GroupReply | SliceReply | Withdrawn | Done) -> None:
        self._transport.write(frame(self._encoder.encode(message)))
