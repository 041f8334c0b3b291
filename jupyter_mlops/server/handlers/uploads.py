"""Receiving what a publish will hold."""

from __future__ import annotations

import asyncio

from jupyter_mlops.errors import InvalidRequest, MLOpsError
from jupyter_mlops.schema import snapshots
from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import UPLOADS, Argument, Content
from jupyter_mlops.schema.snapshots import BeginUpload, UploadState
from jupyter_mlops.server.handlers.base import BaseHandler, Managers
from jupyter_mlops.server.handlers.operations import operation
from jupyter_mlops.server.managers.uploads import SIZE_LIMIT
from jupyter_mlops.server.stores.blobs import BlobWriter

MANIFEST_LIMIT = 32 * 2**20
CHUNK = 2**20


class Uploads(BaseHandler):
    """`/uploads`."""

    limit = MANIFEST_LIMIT

    @operation(
        "beginUpload", UPLOADS, Action.PUBLISH, takes=BeginUpload, gives={201: snapshots.Upload}, refuses=(400, 503)
    )
    async def post(self) -> None:
        """Begin an upload."""
        request = self.decode(BeginUpload)
        self.answer(await self.managers.uploads.begin(self.identity, request.manifest), 201)


class Upload(BaseHandler):
    """`/uploads/{id}`."""

    @operation("getUpload", UPLOADS, Action.PUBLISH, gives={200: UploadState}, refuses=(404,), path=("id",))
    def get(self, upload: str) -> None:
        """Say how much of an upload has come."""
        self.answer(self.managers.uploads.state(self.identity, upload))

    @operation("forgetUpload", UPLOADS, Action.PUBLISH, gives={204: None}, refuses=(404,), path=("id",))
    async def delete(self, upload: str) -> None:
        """Forget an upload."""
        await self.managers.uploads.forget(self.identity, upload)
        self.set_status(204)
        self.finish()


class UploadedBlob(BaseHandler):
    """`/uploads/{id}/{digest}`: the body goes to disk while it arrives."""

    limit = SIZE_LIMIT

    _writer: BlobWriter | None = None
    _fault: MLOpsError | None = None

    def initialize(self, managers: Managers) -> None:
        """Take what the application hands to every handler; a body comes even when the request is refused."""
        super().initialize(managers)
        self._chunk = bytearray()

    def admit(self) -> None:
        """Find the upload before the body is read."""
        super().admit()
        if self.request.method in {"PUT", "PATCH"}:
            upload, digest = self.path_args
            offset = self._offset() if self.request.method == "PATCH" else 0
            self._writer, missing = self.managers.uploads.receive(self.identity, upload, digest, offset)
            self.request.connection.set_max_body_size(missing + CHUNK)  # type: ignore[union-attr]

    async def data_received(self, chunk: bytes) -> None:
        """Write what came, a large piece at a time, beside the event loop."""
        self._chunk += chunk
        if len(self._chunk) >= CHUNK:
            await self._flush()

    @operation(
        "uploadBlob",
        UPLOADS,
        Action.PUBLISH,
        takes=Content("application/octet-stream"),
        body="blob",
        gives={204: None},
        refuses=(400, 404),
        path=("id", "digest"),
    )
    async def put(self, upload: str, digest: str) -> None:  # noqa: ARG002  # admit has read the path
        """Check that the whole blob came, and make it durable."""
        if not await self._taken():
            raise InvalidRequest("the blob is not whole: send all of it, or pieces of it with PATCH", fields="$")
        self.set_status(204)
        self.finish()

    @operation(
        "uploadPiece",
        UPLOADS,
        Action.PUBLISH,
        takes=Content("application/octet-stream"),
        body="piece",
        gives={200: UploadState},
        refuses=(400, 404, 409),
        path=("id", "digest"),
        arguments=(Argument("offset", int, "Bytes of the blob that were sent before.", required=True, least=0),),
    )
    async def patch(self, upload: str, digest: str) -> None:  # noqa: ARG002  # admit has read the path
        """Take the next piece of a blob; what came of a piece that broke off stays, and the next goes on from there."""
        await self._taken()
        self.answer(self.managers.uploads.state(self.identity, upload))

    def on_finish(self) -> None:
        """Stop writing."""
        if self._writer is not None:
            self._writer.close()

    on_connection_close = on_finish

    def _offset(self) -> int:
        given = self.get_query_argument("offset", "")
        if not (given.isascii() and given.isdecimal()):
            raise InvalidRequest(f"offset {given[:20]!r} is not a number of bytes", fields="$.offset")
        return int(given)

    async def _taken(self) -> bool:
        assert self._writer is not None
        await self._flush()
        if self._fault is not None:
            raise self._fault
        return await asyncio.to_thread(self._writer.finish)

    async def _flush(self) -> None:
        piece, self._chunk = bytes(self._chunk), bytearray()
        if self._writer is None or self._fault is not None:
            return
        try:
            await asyncio.to_thread(self._writer.write, piece)
        except InvalidRequest as error:
            self._fault = error
