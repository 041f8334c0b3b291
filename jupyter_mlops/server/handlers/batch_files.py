"""What a batch holds besides its results: inputs as they were stored, and the files that its rows wrote."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.batches import BatchArtifact
from jupyter_mlops.schema.operations import CONSUMPTION, Content
from jupyter_mlops.server.handlers.batches import FIRST, LIMIT, BatchHandler
from jupyter_mlops.server.handlers.operations import operation
from jupyter_mlops.server.handlers.spool import PIECE, part

MOST_ARTIFACTS = 1000


class BatchFiles(BatchHandler):
    """`/api/{name}/{version}/batch/{executionId}/{index}/files`."""

    @operation("GetBatchExecutionFiles", CONSUMPTION, Action.CONSUME, gives={200: list[str]}, refuses=(404,))
    async def get(self, name: str, version: str, execution_id: str, index: str) -> None:
        """List the artifacts that one item of a batch wrote; items count from 0."""
        batch = self.found(execution_id, name, version)
        self.answer(await self.managers.batches.answers.names(batch, index))


class BatchFile(BatchHandler):
    """`/api/{name}/{version}/batch/{executionId}/{index}/files/{fileName}`."""

    @operation(
        "GetBatchExecutionFile",
        CONSUMPTION,
        Action.CONSUME,
        gives={200: Content("application/octet-stream", "The file")},
        refuses=(404,),
    )
    async def get(self, name: str, version: str, execution_id: str, index: str, file_name: str) -> None:
        """Get an artifact that one item of a batch wrote."""
        batch = self.found(execution_id, name, version)
        file, size = await self.managers.batches.answers.artifact(batch, index, file_name)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(file_name, safe='')}")
        self.set_header("Content-Length", str(size))
        async for piece in part(file, size, PIECE):
            self.write(piece)
            await self.flush()
        await self.finish()


class Inputs(BatchHandler):
    """`/api/{name}/{version}/batch/{executionId}/inputs`."""

    @operation(
        "getBatchInputs",
        CONSUMPTION,
        Action.CONSUME,
        gives={200: Content("application/x-ndjson", "The inputs, a row on each line")},
        refuses=(404,),
        arguments=(FIRST, LIMIT),
    )
    async def get(self, name: str, version: str, execution_id: str) -> None:
        """Get the inputs of a batch as they were stored."""
        batch = self.found(execution_id, name, version)
        found = self.managers.batches.answers.inputs(batch, self.number("offset", 0) or 0, self.number("limit"))
        await self.send(contextlib.aclosing(found), "application/x-ndjson", "inputs.ndjson")


class Artifacts(BatchHandler):
    """`/api/{name}/{version}/batch/{executionId}/artifacts`."""

    @operation(
        "listBatchArtifacts",
        CONSUMPTION,
        Action.CONSUME,
        gives={200: list[BatchArtifact]},
        refuses=(404,),
        arguments=(FIRST, LIMIT),
    )
    async def get(self, name: str, version: str, execution_id: str) -> None:
        """List the artifacts of a batch, by row and name, at most 1,000 at a time; `offset` counts files."""
        batch = self.found(execution_id, name, version)
        limit = min(self.number("limit", MOST_ARTIFACTS) or 0, MOST_ARTIFACTS)
        self.answer(await self.managers.batches.answers.artifacts(batch, self.number("offset", 0) or 0, limit))


class Archive(BatchHandler):
    """`/api/{name}/{version}/batch/{executionId}/archive`."""

    @operation(
        "getBatchArchive",
        CONSUMPTION,
        Action.CONSUME,
        gives={200: Content("application/zip", "All artifacts, each as `{index}/{name}`")},
        refuses=(404,),
    )
    async def get(self, name: str, version: str, execution_id: str) -> None:
        """Get all artifacts of a batch in one zip archive."""
        batch = self.found(execution_id, name, version)
        found = self.managers.batches.answers.archive(batch)
        await self.send(contextlib.aclosing(found), "application/zip", "artifacts.zip")
