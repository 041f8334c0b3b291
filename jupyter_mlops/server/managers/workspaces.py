"""What lies in a session: its objects, as dill's bytes, and its files."""

from __future__ import annotations

import asyncio
import re
import secrets
from pathlib import Path
from typing import BinaryIO

import msgspec

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.access import Identity
from jupyter_mlops.schema.channel import DeleteObject, GetObject, ListObjects, SetObject
from jupyter_mlops.server.kernels import folder
from jupyter_mlops.server.managers.sessions import SessionManager

_OBJECT = re.compile(r"[^\W\d]\w{0,255}")


class WorkspaceManager:
    """Moves objects and files into sessions and out of them; the objects' bytes are never looked into here.

    Parameters
    ----------
    sessions:
        Knows whose session is whose.
    """

    def __init__(self, sessions: SessionManager) -> None:
        self._sessions = sessions

    async def names(self, identity: Identity, session: str) -> list[str]:
        """Names of a session's objects."""
        packed = await self._sessions.find(identity, session).kernel.ask(ListObjects)
        return msgspec.msgpack.decode(packed, type=list[str])

    async def set(self, identity: Identity, session: str, name: str, draft: Path) -> None:
        """Make an object of a file that has arrived.

        Raises
        ------
        InvalidRequest
            When it is no pickle, or does not load in the session.
        """
        kernel = self._sessions.find(identity, session).kernel
        await kernel.ask(lambda number: SetObject(number, check_object(name), str(draft)))

    async def get(self, identity: Identity, session: str, name: str) -> Path:
        """Pickle an object by dill into a file, which is the caller's to remove: its path.

        Raises
        ------
        NotFound
            When the session has no such object.
        Conflict
            When it cannot be pickled.
        """
        kernel = self._sessions.find(identity, session).kernel
        path = kernel.beside() / f"object-{secrets.token_hex(8)}"
        try:
            await kernel.ask(lambda number: GetObject(number, check_object(name), str(path)))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    async def delete(self, identity: Identity, session: str, name: str) -> None:
        """Forget an object.

        Raises
        ------
        NotFound
            When the session has no such object.
        """
        kernel = self._sessions.find(identity, session).kernel
        await kernel.ask(lambda number: DeleteObject(number, check_object(name)))

    def draft(self, identity: Identity, session: str) -> Path:
        """A new path beside the session's directory, for an object or file that is about to arrive."""
        return self._sessions.find(identity, session).kernel.beside() / f"draft-{secrets.token_hex(8)}"

    async def files(self, identity: Identity, session: str) -> list[str]:
        """Names of a session's files."""
        return await asyncio.to_thread(folder.listed, self._work(identity, session))

    async def put_file(self, identity: Identity, session: str, name: str, draft: Path) -> None:
        """Give a file that has arrived its name, over one that is there."""
        await asyncio.to_thread(folder.take, draft, self._work(identity, session), name)

    def check_file(self, identity: Identity, session: str, name: str) -> None:
        """Refuse a name that is none, before anything is stored under it."""
        folder.place(self._work(identity, session), name)

    def open_file(self, identity: Identity, session: str, name: str) -> BinaryIO:
        """Open a file for reading.

        Raises
        ------
        NotFound
            When there is none.
        """
        return folder.opened(self._work(identity, session), name)

    def delete_file(self, identity: Identity, session: str, name: str) -> None:
        """Delete a file.

        Raises
        ------
        NotFound
            When there is none.
        """
        folder.remove(self._work(identity, session), name)

    def _work(self, identity: Identity, session: str) -> Path:
        return self._sessions.find(identity, session).kernel.work()


def check_object(name: str) -> str:
    """Return an object's name unchanged, or say which rule it breaks.

    Raises
    ------
    InvalidRequest
        When it could not be a variable, or is Python's own.
    """
    if not _OBJECT.fullmatch(name) or name.startswith("__"):
        raise InvalidRequest(
            f"object {name[:200]!r} is not allowed: use the name of a variable, of 1 to 256 letters, digits and '_', "
            "that begins with a letter or one '_'",
            fields="$.objectName",
        )
    return name
