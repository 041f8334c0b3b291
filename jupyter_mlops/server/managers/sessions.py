"""Sessions: stateful kernels, each its user's own, that end when they are closed or left idle."""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
import time
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from jupyter_mlops.errors import Conflict, InvalidRequest, NotFound
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.channel import Capture, Execute, Restore
from jupyter_mlops.schema.sessions import CreateSessionRequest, ExecuteRequest, Session
from jupyter_mlops.schema.snapshots import Manifest
from jupyter_mlops.server.kernels.budget import Budget
from jupyter_mlops.server.kernels.session import SessionKernel
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.runtimes import check_runtime
from jupyter_mlops.server.managers.snapshots import SnapshotManager
from jupyter_mlops.server.managers.uploads import UploadManager

LONGEST_NAME = 256
HISTORY_ENTRIES = 1000
HISTORY_CHARACTERS = 16 * 2**20
SWEEP_SECONDS = 5.0


@dataclass
class OpenSession:
    """A session, its kernel, and what was run in it."""

    id: str
    name: str
    owner: str
    created: str
    kernel: SessionKernel
    history: deque[str] = field(default_factory=lambda: deque(maxlen=HISTORY_ENTRIES))

    def remember(self, code: str) -> None:
        """Add to the history, which keeps the newest."""
        self.history.append(code)
        while len(self.history) > 1 and sum(map(len, self.history)) > HISTORY_CHARACTERS:
            self.history.popleft()


class SessionManager:
    """Opens sessions, runs code in them, and closes them.

    Parameters
    ----------
    start:
        Starts a session's kernel.
    snapshots, uploads:
        What sessions begin with and leave, and where its blobs lie.
    budget:
        Sessions count as kernels in it.
    per_user:
        Most sessions that one user may have at a time.
    idle_seconds:
        A session that nobody has used for so long is closed.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[SessionKernel]],
        snapshots: SnapshotManager,
        uploads: UploadManager,
        budget: Budget,
        *,
        per_user: int,
        idle_seconds: float,
    ) -> None:
        self._start = start
        self._snapshots = snapshots
        self._uploads = uploads
        self._budget = budget
        self._per_user = per_user
        self._idle_seconds = idle_seconds
        self._sessions: dict[str, OpenSession] = {}
        self._starting: Counter[str] = Counter()
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Close idle sessions from now on."""
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """End every session."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.gather(
            *(self._end(session, "the server is stopping") for session in list(self._sessions.values()))
        )

    async def create(self, identity: Identity, request: CreateSessionRequest) -> str:
        """Open a session; its id.

        Raises
        ------
        Conflict
            When the user has as many as one may have.
        NotFound
            When the snapshot to begin with is not the user's.
        Unavailable
            When the server has no room for another kernel.
        """
        require(identity, Action.RUN_CODE)
        check_runtime(request.runtime_type)
        name = request.name or f"session-{secrets.token_hex(4)}"
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise InvalidRequest(f"a name has at most {LONGEST_NAME} printable characters", fields="$.name")
        count = self._starting[identity.name] + sum(s.owner == identity.name for s in self._sessions.values())
        if count >= self._per_user:
            raise Conflict(
                f"you have {count} sessions, as many as one user may have; close one (DELETE /sessions/ID; "
                "GET /sessions lists them)"
            )
        self._budget.make_room(None, coming=1 + self._starting.total())
        self._starting[identity.name] += 1
        try:
            kernel = await self._start()
        finally:
            self._starting[identity.name] -= 1
        self._budget.join(kernel)
        session = OpenSession(str(uuid.uuid4()), name, identity.name, _now(), kernel)
        try:
            if request.snapshot_id:
                await self._load(identity, session, request.snapshot_id)
        except BaseException:
            await self._end(session, "its snapshot did not load")
            raise
        self._sessions[session.id] = session
        return session.id

    def list(self, identity: Identity) -> list[Session]:
        """The caller's sessions, oldest first."""
        require(identity, Action.RUN_CODE)
        return [_view(session) for session in self._sessions.values() if session.owner == identity.name]

    def find(self, identity: Identity, identifier: str) -> OpenSession:
        """A session of the caller's.

        Raises
        ------
        NotFound
            When the caller has no such session.
        """
        require(identity, Action.RUN_CODE)
        session = self._sessions.get(identifier)
        if session is None or session.owner != identity.name:
            raise NotFound("you have no such session; GET /sessions lists yours", fields="$.id")
        return session

    async def execute(self, identity: Identity, identifier: str, request: ExecuteRequest) -> bytes:
        """Run code, behind what runs already; the finished JSON of an `ExecuteResponse`.

        Raises
        ------
        KernelDied
            When the code ended its kernel.
        """
        session = self.find(identity, identifier)
        inputs = {given.name: given.value for given in request.input_parameters or ()}
        for index, name in enumerate(inputs):
            if not name.isidentifier() or name.startswith("__"):
                raise InvalidRequest(
                    f"{name[:200]!r} is not a variable's name", fields=f"$.inputParameters[{index}].name"
                )
        session.remember(request.code)
        try:
            packed = msgspec.msgpack.encode(inputs)
        except OverflowError:
            raise InvalidRequest(
                "a value holds a whole number of more than 64 bits; send it as a string", fields="$.inputParameters"
            ) from None
        outputs = tuple(request.output_parameters or ())
        return await session.kernel.ask(lambda number: Execute(number, request.code, packed, outputs))

    def console(self, identity: Identity, identifier: str) -> Path:
        """The file that holds what the running execution has printed so far, or the last one printed."""
        return self.find(identity, identifier).kernel.beside() / "console"

    def history(self, identity: Identity, identifier: str) -> tuple[str, ...]:
        """The code that was run, oldest first; the newest thousand entries."""
        return tuple(self.find(identity, identifier).history)

    def cancel(self, identity: Identity, identifier: str) -> bool:
        """Interrupt what runs, if anything does; say whether it did. The session stays."""
        return self.find(identity, identifier).kernel.interrupt()

    async def end(self, identity: Identity, identifier: str) -> None:
        """Close a session: its kernel, its variables and its files go."""
        await self._end(self.find(identity, identifier), "the session was closed")

    async def snapshot(self, identity: Identity, identifier: str, name: str | None) -> str:
        """Keep the variables and files of a session; the new snapshot's id.

        Raises
        ------
        Conflict
            Naming the variable that cannot go along.
        """
        session = self.find(identity, identifier)

        async def capture(folder: Path) -> Manifest:
            packed = await session.kernel.ask(lambda number: Capture(number, str(folder)))
            return msgspec.msgpack.decode(packed, type=Manifest)

        return await self._snapshots.create(identity, name, capture)

    async def load(self, identity: Identity, identifier: str, snapshot: str) -> None:
        """Add a snapshot's objects to the variables and its files to the directory, over those of the same name."""
        await self._load(identity, self.find(identity, identifier), snapshot)

    async def _load(self, identity: Identity, session: OpenSession, snapshot: str) -> None:
        async with self._snapshots.held(identity, snapshot) as found:
            manifest = found.manifest
            await self._uploads.verify(manifest)
            stream = self._uploads.path(manifest.stream)
            buffers = tuple(self._uploads.path(blob) for blob in manifest.buffers)
            files = tuple((file.path, self._uploads.path(file.blob)) for file in manifest.files)
            await session.kernel.ask(lambda number: Restore(number, stream, buffers, files))

    async def _end(self, session: OpenSession, reason: str) -> None:
        self._sessions.pop(session.id, None)
        self._budget.leave(session.kernel)
        await session.kernel.end(reason)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, self._idle_seconds / 2))
            limit = time.monotonic() - self._idle_seconds
            for session in tuple(self._sessions.values()):
                if session.kernel.state() != "busy" and session.kernel.last_used < limit:
                    await self._end(session, f"nobody used the session for {self._idle_seconds:g} s, and it was closed")


def _view(session: OpenSession) -> Session:
    unused = time.monotonic() - session.kernel.last_used
    return Session(
        id=session.id,
        name=session.name,
        owner=session.owner,
        runtime_type="Python",
        state=session.kernel.state(),
        created=session.created,
        last_used=_now(unused),
        memory=session.kernel.memory(),
    )


def _now(before: float = 0.0) -> str:
    moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=before)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
