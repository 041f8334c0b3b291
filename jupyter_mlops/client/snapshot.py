"""Snapshots: the objects and files of a session, kept."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec

from jupyter_mlops.client.files import download
from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.client.unpacked import Unpacked, unpack
from jupyter_mlops.errors import NotFound
from jupyter_mlops.schema import snapshots as wire
from jupyter_mlops.schema.sessions import SnapshotView


class Snapshot:
    """A snapshot of yours; nobody else sees it, and it never changes.

    Parameters
    ----------
    view:
        What the server says about it.
    transport:
        The way to the server.
    """

    def __init__(self, view: SnapshotView, transport: Transport) -> None:
        self._view = view
        self._transport = transport

    @property
    def id(self) -> str:
        """What names it to the server."""
        return self._view.id

    @property
    def name(self) -> str:
        """What its author called it; its id when that was nothing."""
        return self._view.name

    @property
    def created(self) -> dt.datetime:
        """When it was taken, in UTC."""
        return dt.datetime.fromisoformat(self._view.creation_time).replace(tzinfo=dt.UTC)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._view.content_size

    @property
    def objects(self) -> list[str]:
        """Names of the variables that it holds."""
        return list(self._view.objects)

    @property
    def files(self) -> list[str]:
        """Paths of the files that it holds."""
        return list(self._view.files)

    def facts(self) -> wire.Snapshot:
        """All that it says of itself: each variable's type, shape and size, and where it was captured."""
        answer = self._transport.request("GET", f"{self._path()}/manifest")
        return msgspec.json.decode(answer, type=wire.Snapshot)

    def download(self, destination: str | Path | None = None) -> Path:
        """Get it as a zip file, and return that file's path.

        Parameters
        ----------
        destination:
            The file to write, or the directory to write it into; the working directory when there is none.
        """
        return download(self._transport, self._path(), destination, f"{self.id}.zip")

    def unpack(self, directory: Path) -> Unpacked:
        """Get its content into an empty folder."""
        return unpack(self._transport, self._path(), directory, f"snapshot {self.name}")

    def delete(self) -> None:
        """Delete it; services that were published from it keep what they need."""
        self._transport.request("DELETE", self._path())

    def __repr__(self) -> str:
        held = ", ".join(self.objects + self.files) or "nothing"
        return f"<Snapshot {self.name}: {held}; {self.size} bytes, {self.created:%Y-%m-%d %H:%M} UTC>"

    def _path(self) -> str:
        return f"/snapshots/{segment(self.id)}"


def snapshots(transport: Transport) -> list[Snapshot]:
    """The caller's snapshots, oldest first."""
    views = msgspec.json.decode(transport.request("GET", "/snapshots"), type=list[SnapshotView])
    return [Snapshot(view, transport) for view in views]


def get_snapshot(transport: Transport, identifier: str) -> Snapshot:
    """Find a snapshot.

    Raises
    ------
    NotFound
        When the caller has none of that id.
    """
    for snapshot in snapshots(transport):
        if snapshot.id == identifier:
            return snapshot
    raise NotFound(f"you have no snapshot {identifier!r}; client.snapshots() lists yours")


def snapshot_id(snapshot: Snapshot | str) -> str:
    """The id of a snapshot that is given as itself or as its id."""
    return snapshot.id if isinstance(snapshot, Snapshot) else snapshot
