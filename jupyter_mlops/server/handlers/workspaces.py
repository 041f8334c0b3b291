"""What lies in a session: objects as bytes, files by name."""

from __future__ import annotations

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema import operations as schema
from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import SESSIONS, Content
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.multipart import FormHandler, Part
from jupyter_mlops.server.handlers.operations import operation
from jupyter_mlops.server.handlers.spool import Spool
from jupyter_mlops.server.managers.uploads import SIZE_LIMIT

FILE_PART = "file"
_BYTES = Content("application/octet-stream")
_FORM = schema.Form((schema.Part(FILE_PART, "The file, with its name.", file=True, required=True),))
_OBJECT = ("id", "objectName")
_FILE = ("id", "fileName")


class Objects(BaseHandler):
    """`/sessions/{id}/workspace`."""

    @operation(
        "listWorkspaceObjects", SESSIONS, Action.RUN_CODE, gives={200: list[str]}, refuses=(404, 410, 502), path=_OBJECT
    )
    async def get(self, session: str) -> None:
        """List the names of a session's objects."""
        self.answer(await self.managers.workspaces.names(self.identity, session))


class OneObject(BaseHandler):
    """`/sessions/{id}/workspace/{objectName}`: the bytes go through files, and only the session looks into them."""

    limit = SIZE_LIMIT
    _spool: Spool | None = None

    def admit(self) -> None:
        """Find the session before the body is read."""
        super().admit()
        if self.request.method == "POST":
            session, _ = self.path_args
            self._spool = Spool(self.managers.workspaces.draft(self.identity, session))

    async def data_received(self, chunk: bytes) -> None:
        """Write what came to the file."""
        self._size += len(chunk)
        if self._size > self.limit:
            self._refuse_later(self._too_large())
        elif self._spool is not None:
            await self._spool.write(chunk)

    @operation(
        "setWorkspaceObject",
        SESSIONS,
        Action.RUN_CODE,
        takes=_BYTES,
        body="serializedObject",
        refuses=(400, 404, 410, 502),
        path=_OBJECT,
    )
    async def post(self, session: str, name: str) -> None:
        """Set an object of a session to what dill made of it."""
        assert self._spool is not None
        await self._spool.finish()
        await self.managers.workspaces.set(self.identity, session, name, self._spool.path)
        self.answer(f"object {name} is set")

    @operation(
        "getWorkspaceObject", SESSIONS, Action.RUN_CODE, gives={200: _BYTES}, refuses=(404, 409, 410, 502), path=_OBJECT
    )
    async def get(self, session: str, name: str) -> None:
        """Get an object of a session as dill makes it."""
        path = await self.managers.workspaces.get(self.identity, session, name)
        file = path.open("rb", buffering=0)
        path.unlink()
        await self.send_file(file, f"{name}.dill")

    @operation("deleteWorkspaceObject", SESSIONS, Action.RUN_CODE, refuses=(404, 410, 502), path=_OBJECT)
    async def delete(self, session: str, name: str) -> None:
        """Delete an object of a session."""
        await self.managers.workspaces.delete(self.identity, session, name)
        self.answer(f"object {name} is deleted")

    def on_finish(self) -> None:
        """Remove the file that arrived."""
        if self._spool is not None:
            self._spool.remove()

    def on_connection_close(self) -> None:
        """Remove what will never be whole."""
        super().on_connection_close()
        self.on_finish()


class Files(FormHandler):
    """`/sessions/{id}/files`."""

    limit = SIZE_LIMIT
    files = frozenset({FILE_PART})

    @operation("listSessionFiles", SESSIONS, Action.RUN_CODE, gives={200: list[str]}, refuses=(404, 410), path=_FILE)
    async def get(self, session: str) -> None:
        """List the names of a session's files."""
        self.answer(await self.managers.workspaces.files(self.identity, session))

    @operation(
        "uploadSessionFile",
        SESSIONS,
        Action.RUN_CODE,
        takes=_FORM,
        gives={201: str},
        refuses=(400, 404, 410, 415),
        path=_FILE,
    )
    async def post(self, session: str) -> None:
        """Store the part `file` under the name that it says, over a file that is there."""
        form = self.received()
        if FILE_PART not in form.parts:
            raise InvalidRequest(f"the form has no part {FILE_PART!r}", fields=f"$.{FILE_PART}")
        name = form.parts[FILE_PART].filename or ""
        await self._spool.finish()
        await self.managers.workspaces.put_file(self.identity, session, name, self._spool.path)
        self.answer(f"file {name} is stored", 201)

    def open_file(self, part: Part) -> Spool:
        """Check the name, and let the bytes go beside the session's directory."""
        session = self.path_args[0]
        self.managers.workspaces.check_file(self.identity, session, part.filename or "")
        self._spool = Spool(self.managers.workspaces.draft(self.identity, session))
        return self._spool


class OneFile(BaseHandler):
    """`/sessions/{id}/files/{fileName}`."""

    @operation("getSessionFile", SESSIONS, Action.RUN_CODE, gives={200: _BYTES}, refuses=(404, 410), path=_FILE)
    async def get(self, session: str, name: str) -> None:
        """Get a file of a session."""
        await self.send_file(self.managers.workspaces.open_file(self.identity, session, name), name.rpartition("/")[2])

    @operation("deleteSessionFile", SESSIONS, Action.RUN_CODE, refuses=(404, 410), path=_FILE)
    def delete(self, session: str, name: str) -> None:
        """Delete a file of a session."""
        self.managers.workspaces.delete_file(self.identity, session, name)
        self.answer(f"file {name} is deleted")
