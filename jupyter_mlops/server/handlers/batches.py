"""Batches: many calls of a service at once, whose results are asked for later."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.batches import BatchWebServiceResult, StartBatchExecutionResponse
from jupyter_mlops.schema.operations import CONSUMPTION, Argument, Content
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation

BATCH_LIMIT = 64 * 2**20
_COUNT = (
    "Number of threads used to process entries in the batch. Default value is 10. Please make sure not to use too high "
    "of a number because it might negatively impact performance."
)
_PARTIAL = (
    "Returns the already processed results of the batch execution even if it hasn't been fully completed. Default "
    "value is true; `showPartialResult` means the same."
)


class Batches(BaseHandler):
    """`/api/{name}/{version}/batch`."""

    limit = BATCH_LIMIT

    @operation(
        "StartBatchExecution",
        CONSUMPTION,
        Action.CONSUME,
        takes=list[dict[str, Any]],
        body="BatchWebServiceParameters",
        gives={202: StartBatchExecutionResponse},
        refuses=(400, 404, 409, 503),
        arguments=(Argument("parallelCount", int, _COUNT, least=1),),
    )
    async def post(self, name: str, version: str) -> None:
        """Run many calls.

        All of them run on what the version is now, whatever is published meanwhile.
        """
        body = await asyncio.to_thread(self.body)  # joining the pieces of a large one takes long
        count = self.get_query_argument("parallelCount", None)
        batch = await self.managers.batches.submit(self.identity, name, version, body, count)
        self.answer(StartBatchExecutionResponse(BatchExecutionId=batch, batchExecutionId=batch), 202)

    @operation("GetBatchExecutions", CONSUMPTION, Action.CONSUME, gives={200: list[str]}, refuses=(404,))
    def get(self, name: str, version: str) -> None:
        """List your batches of a version, oldest first.

        An Owner sees everybody's.
        """
        self.answer(self.managers.batches.ids(self.identity, name, version))


class Batch(BaseHandler):
    """`/api/{name}/{version}/batch/{executionId}`."""

    @operation(
        "GetBatchExecutionStatus",
        CONSUMPTION,
        Action.CONSUME,
        gives={200: BatchWebServiceResult},
        refuses=(404,),
        arguments=(Argument("showPartialResults", bool, _PARTIAL),),
    )
    async def get(self, name: str, version: str, execution_id: str) -> None:
        """Say how far a batch is, and give the results there are, each in its place."""
        partial = self._partial()
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Content-Disposition", 'attachment; filename="results.json"')
        answer = self.managers.batches.answer(self.identity, name, version, execution_id, partial=partial)
        async with contextlib.aclosing(answer) as pieces:  # its files are in use until it is closed
            async for piece in pieces:
                self.write(piece)
                await self.flush()
        await self.finish()

    @operation("CancelAndDeleteBatchExecution", CONSUMPTION, Action.CONSUME, gives={200: list[str]}, refuses=(404,))
    async def delete(self, name: str, version: str, execution_id: str) -> None:
        """Cancel a batch, and delete its results.

        Items that run are interrupted.
        """
        await self.managers.batches.delete(self.identity, name, version, execution_id)
        self.answer([])

    def _partial(self) -> bool:
        """What the caller wants, in Machine Learning Server's spelling, its SDK's, or by default."""
        said = self.get_query_argument("showPartialResults", None) or self.get_query_argument("showPartialResult", "")
        known = {"": True, "true": True, "false": False}.get(said.lower())
        if known is None:
            raise InvalidRequest(f"showPartialResults is true or false, not {said[:80]!r}", fields="showPartialResults")
        return known


class BatchFiles(BaseHandler):
    """`/api/{name}/{version}/batch/{executionId}/{index}/files`."""

    @operation("GetBatchExecutionFiles", CONSUMPTION, Action.CONSUME, gives={200: list[str]}, refuses=(404,))
    def get(self, name: str, version: str, execution_id: str, index: str) -> None:
        """List the artifacts that one item of a batch wrote; items count from 0."""
        self.answer(self.managers.batches.files(self.identity, name, version, execution_id, index))


class BatchFile(BaseHandler):
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
        path = self.managers.batches.file(self.identity, name, version, execution_id, index, file_name)
        await self.send_file(await asyncio.to_thread(path.open, "rb", 0), file_name)
