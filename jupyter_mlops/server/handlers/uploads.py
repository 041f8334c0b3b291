"""Receiving what a publish will hold."""

from __future__ import annotations

import asyncio

from jupyter_mlops.errors import InvalidRequest, MLOpsError
from jupyter_mlops.schema.snapshots import BeginUpload
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.managers.uploads import SIZE_LIMIT

MANIFEST_LIMIT = 32 * 2**20
CHUNK = 2**20


class Uploads(BaseHandler):
    """`/uploads`."""

    limit = MANIFEST_LIMIT

    async def post(self) -> None:
        """Begin an upload."""
        request = self.decode(BeginUpload)
        self.answer(await self.managers.uploads.begin(self.identity, request.manifest), 201)


class Upload(BaseHandler):
    """`/uploads/{id}`."""

    async def delete(self, upload: str) -> None:
        """Forget an upload."""
        await self.managers.uploads.forget(self.identity, upload)
        self.set_status(204)
        self.finish()


class UploadedBlob(BaseHandler):
    """`/uploads/{id}/{digest}`: the body goes to disk while it arrives."""

    limit = SIZE_LIMIT

    async def prepare(self) -> None:
        """Find the upload before the body is read."""
        super().prepare()
        if self.request.method != "PUT":
            return
        upload, digest = self.path_args
        self._writer, size = self.managers.uploads.receive(self.identity, upload, digest)
        self._fault: MLOpsError | None = None
        self._chunk = bytearray()
        self.request.connection.set_max_body_size(size + CHUNK)  # type: ignore[union-attr]

    async def data_received(self, chunk: bytes) -> None:
        """Write what came, a large piece at a time, beside the event loop."""
        self._chunk += chunk
        if len(self._chunk) >= CHUNK and self._fault is None:
            await self._flush()

    async def put(self, upload: str, digest: str) -> None:  # noqa: ARG002  # prepare has read the path
        """Check that the whole blob came, and make it durable."""
        try:
            await self._flush()
            if self._fault is not None:
                raise self._fault
            await asyncio.to_thread(self._writer.finish)
        finally:
            await asyncio.to_thread(self._writer.abandon)
        self.set_status(204)
        self.finish()

    def on_connection_close(self) -> None:
        """Remove what was written when the client went away in the middle."""
        if hasattr(self, "_writer"):
            self._writer.abandon()

    async def _flush(self) -> None:
        piece, self._chunk = bytes(self._chunk), bytearray()
        try:
            await asyncio.to_thread(self._writer.write, piece)
        except InvalidRequest as error:
            self._fault = error
