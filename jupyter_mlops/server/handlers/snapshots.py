"""Snapshots that users keep."""

from __future__ import annotations

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import SNAPSHOTS, Content
from jupyter_mlops.schema.sessions import CreateSnapshotResponse, SnapshotView
from jupyter_mlops.schema.snapshots import KeepSnapshotRequest, Snapshot
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation


class Snapshots(BaseHandler):
    """`/snapshots`."""

    @operation("ListSnapshots", SNAPSHOTS, Action.RUN_CODE, gives={200: list[SnapshotView]})
    async def get(self) -> None:
        """List the caller's snapshots, oldest first."""
        self.answer(await self.managers.snapshots.list(self.identity))

    @operation(
        "keepSnapshot",
        SNAPSHOTS,
        Action.RUN_CODE,
        takes=KeepSnapshotRequest,
        gives={201: CreateSnapshotResponse},
        refuses=(400, 404, 409),
    )
    async def post(self) -> None:
        """Make a snapshot of a finished upload."""
        request = self.decode(KeepSnapshotRequest)
        snapshot = await self.managers.snapshots.keep(self.identity, request.upload, request.name)
        self.answer(CreateSnapshotResponse(snapshot_id=snapshot), 201)


class OneSnapshot(BaseHandler):
    """`/snapshots/{id}`."""

    @operation(
        "GetSnapshotContent",
        SNAPSHOTS,
        Action.RUN_CODE,
        gives={200: Content("application/zip")},
        refuses=(404,),
        path=("id",),
    )
    async def get(self, snapshot: str) -> None:
        """Download a snapshot as a zip file: its objects, its files, and what it says of itself."""
        path = await self.managers.snapshots.archive(self.identity, snapshot)
        file = path.open("rb", buffering=0)
        path.unlink()
        await self.send_file(file, f"{snapshot}.zip", "application/zip")

    @operation("DeleteSnapshot", SNAPSHOTS, Action.RUN_CODE, refuses=(404,), path=("id",))
    async def delete(self, snapshot: str) -> None:
        """Delete a snapshot; services that were published from it keep what they need."""
        await self.managers.snapshots.delete(self.identity, snapshot)
        self.answer(f"snapshot {snapshot} is deleted")


class SnapshotManifest(BaseHandler):
    """`/snapshots/{id}/manifest`."""

    @operation("getSnapshotManifest", SNAPSHOTS, Action.RUN_CODE, gives={200: Snapshot}, refuses=(404,), path=("id",))
    async def get(self, snapshot: str) -> None:
        """Show what a snapshot holds: its variables and files, where it was captured, and the cells it came from."""
        self.set_header("Content-Disposition", 'attachment; filename="snapshot.json"')
        self.answer(await self.managers.snapshots.find(self.identity, snapshot))
