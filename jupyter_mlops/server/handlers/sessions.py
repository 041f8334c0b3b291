"""Sessions: their life, and the code that runs in them."""

from __future__ import annotations

import asyncio

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import SESSIONS, SNAPSHOTS
from jupyter_mlops.schema.sessions import (
    ConsoleOutputResponse,
    CreateSessionRequest,
    CreateSessionResponse,
    CreateSnapshotRequest,
    CreateSnapshotResponse,
    ExecuteRequest,
    ExecuteResponse,
    Session,
)
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation

CODE_LIMIT = 64 * 2**20
_ONE = ("id", "snapshotId")


class Sessions(BaseHandler):
    """`/sessions`."""

    @operation("listSessions", SESSIONS, Action.RUN_CODE, gives={200: list[Session]})
    def get(self) -> None:
        """List the caller's sessions."""
        self.answer(self.managers.sessions.list(self.identity))

    @operation(
        "createSession",
        SESSIONS,
        Action.RUN_CODE,
        takes=CreateSessionRequest,
        gives={201: CreateSessionResponse},
        refuses=(400, 404, 409, 503),
    )
    async def post(self) -> None:
        """Open a session."""
        request = self.decode(CreateSessionRequest, or_empty=True)
        self.answer(CreateSessionResponse(session_id=await self.managers.sessions.create(self.identity, request)), 201)


class OneSession(BaseHandler):
    """`/sessions/{id}` and `/sessions/{id}/force`."""

    @operation(
        "closeSession", SESSIONS, Action.RUN_CODE, refuses=(404,), path=_ONE, also={"/force": "closeSessionByForce"}
    )
    async def delete(self, session: str) -> None:
        """Close a session; what runs in it is stopped."""
        await self.managers.sessions.end(self.identity, session)
        self.answer(f"session {session} is closed")


class Execute(BaseHandler):
    """`/sessions/{id}/execute`."""

    limit = CODE_LIMIT

    @operation(
        "executeCode",
        SESSIONS,
        Action.RUN_CODE,
        takes=ExecuteRequest,
        gives={200: ExecuteResponse},
        refuses=(400, 404, 410, 502),
        path=_ONE,
    )
    async def post(self, session: str) -> None:
        """Run code in a session; code that raised is a 200 with `success: false`."""
        request = self.decode(ExecuteRequest)
        body = await self.managers.sessions.execute(self.identity, session, request)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Content-Disposition", 'attachment; filename="result.json"')
        self.finish(body)


class ConsoleOutput(BaseHandler):
    """`/sessions/{id}/console-output`."""

    @operation(
        "getSessionConsoleOutput",
        SESSIONS,
        Action.RUN_CODE,
        gives={200: ConsoleOutputResponse},
        refuses=(404, 410),
        path=_ONE,
    )
    async def get(self, session: str) -> None:
        """Say what the running execution has printed so far, or the last one printed."""
        path = self.managers.sessions.console(self.identity, session)
        text = await asyncio.to_thread(path.read_text, "utf-8", "replace")
        self.answer(ConsoleOutputResponse(console_output=text))


class History(BaseHandler):
    """`/sessions/{id}/history`."""

    @operation("listSessionHistory", SESSIONS, Action.RUN_CODE, gives={200: list[str]}, refuses=(404,), path=_ONE)
    def get(self, session: str) -> None:
        """List the code that was run, oldest first."""
        self.answer(self.managers.sessions.history(self.identity, session))


class CancelSession(BaseHandler):
    """`/sessions/{id}/cancel`."""

    @operation("cancelSession", SESSIONS, Action.RUN_CODE, refuses=(404,), path=_ONE)
    def post(self, session: str) -> None:
        """Interrupt what runs; the session stays."""
        ran = self.managers.sessions.cancel(self.identity, session)
        self.answer("the execution was told to stop" if ran else "nothing was running")


class SessionSnapshot(BaseHandler):
    """`/sessions/{id}/snapshot`."""

    @operation(
        "CreateSnapshot",
        SNAPSHOTS,
        Action.RUN_CODE,
        takes=CreateSnapshotRequest,
        gives={201: CreateSnapshotResponse},
        refuses=(400, 404, 409, 410, 502),
        path=_ONE,
    )
    async def post(self, session: str) -> None:
        """Keep a session's objects and files as a snapshot."""
        request = self.decode(CreateSnapshotRequest, or_empty=True)
        snapshot = await self.managers.sessions.snapshot(self.identity, session, request.name)
        self.answer(CreateSnapshotResponse(snapshot_id=snapshot), 201)


class LoadSnapshot(BaseHandler):
    """`/sessions/{id}/loadsnapshot/{snapshotId}`."""

    @operation("LoadSnapshot", SNAPSHOTS, Action.RUN_CODE, refuses=(404, 410, 502), path=_ONE)
    async def post(self, session: str, snapshot: str) -> None:
        """Add a snapshot's objects and files to a session, over those of the same name."""
        await self.managers.sessions.load(self.identity, session, snapshot)
        self.answer(f"snapshot {snapshot} is loaded")
