"""The kernel's end of the scoring channel: an asyncio protocol on ipykernel's own loop.

Calls run one after another, in the order in which they came. A synchronous function runs right where its
message is parsed; an asynchronous one runs as a task, and the calls behind it wait.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import deque
from types import FrameType

from jupyter_mlops.inner_end import InnerEnd, keep_what_is_loaded
from jupyter_mlops.runtime.console import Console
from jupyter_mlops.runtime.invoke import Invoker
from jupyter_mlops.runtime.load import differing, load
from jupyter_mlops.runtime.mark import Mark
from jupyter_mlops.runtime.slices import Slices
from jupyter_mlops.runtime.workspace import Workspace, open_workspace
from jupyter_mlops.schema.channel import (
    Call,
    Cancel,
    Done,
    Group,
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


class Channel(InnerEnd):
    """Serves calls, slices and sessions.

    Parameters
    ----------
    key:
        What tells the server which kernel this is.
    """

    def __init__(self, key: str) -> None:
        super().__init__(key, ToKernel)
        self._waiting: deque[Call | Group | Slice | SessionRequest] = deque()
        self._task: asyncio.Task[Reply] | asyncio.Task[SliceReply] | asyncio.Task[Done] | None = None
        self._workspace: Workspace | None = None
        self._invoker: Invoker | None = None
        self._slices: Slices | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready for interrupts, and greet the server."""
        signal.signal(signal.SIGINT, self._on_interrupt)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Read everything that arrived, so that a cancellation overtakes its call, then run the calls."""
        for message in self._messages(data):
            match message:
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
            keep_what_is_loaded()
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
