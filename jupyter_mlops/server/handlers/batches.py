"""Batches: many calls of a service at once, whose results are asked for later."""

from __future__ import annotations

import contextlib
from typing import Any

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.records.formats import MEDIA_TYPES, Format, of_content_type
from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.batches import BatchProgress, BatchWebServiceResult, StartBatchExecutionResponse
from jupyter_mlops.schema.operations import CONSUMPTION, Argument
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation
from jupyter_mlops.server.handlers.spool import Spool
from jupyter_mlops.server.managers.batch import Batch as FoundBatch
from jupyter_mlops.server.managers.batch_submission import Asked

BATCH_LIMIT = 16 * 2**30
LONGEST_WAIT = 30
MOST = 2**53
ARROW = MEDIA_TYPES[Format.ARROW_STREAM]
_KEY = "Idempotency-Key"
_COUNT = (
    "Number of threads used to process entries in the batch. Default value is 10. Please make sure not to use too high "
    "of a number because it might negatively impact performance."
)
_PARTIAL = (
    "Returns the already processed results of the batch execution even if it hasn't been fully completed. Default "
    "value is true; `showPartialResult` means the same."
)
_SUBMISSION = (
    Argument("parallelCount", int, _COUNT, least=1),
    Argument(
        "priority", str, "`low`, `normal` or `high`: which of the batches that wait for the same kernels go first."
    ),
    Argument("engine", str, "`local`, or `dask` where the server has a Dask scheduler."),
    Argument("webhook", str, "URL that is told of the end; its host must be one that the server's setting allows."),
    Argument(_KEY, str, "Repeating a request with its key gives the same batch, not another one.", place="header"),
)
FIRST = Argument("offset", int, "The first row, from 0.", least=0)
LIMIT = Argument("limit", int, "How many rows at most.", least=0)


class BatchHandler(BaseHandler):
    """What the addresses of one batch share."""

    def found(self, execution_id: str, name: str = "", version: str = "") -> FoundBatch:
        """The batch that the address names."""
        return self.managers.batches.find(self.identity, execution_id, name, version)

    def number(self, name: str, default: int | None = None, most: int = MOST) -> int | None:
        """A whole number of the query, not negative.

        Parameters
        ----------
        name:
            The parameter.
        default:
            What it is when it is not there.
        most:
            The greatest that is taken.

        Raises
        ------
        InvalidRequest
            When it is something else.
        """
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal()) or len(text) > 16 or int(text) > most:  # noqa: PLR2004
            raise InvalidRequest(f"{name} is a whole number from 0 to {most}, not {text[:80]!r}", fields=name)
        return int(text)

    async def send(self, pieces: contextlib.AbstractAsyncContextManager[Any], kind: str, name: str) -> None:
        """Finish with what is read piece by piece, as an attachment.

        Parameters
        ----------
        pieces:
            An open generator of bytes, whose files are in use until it is closed.
        kind, name:
            Its media type, and what a browser is to call it.
        """
        self.set_header("Content-Type", kind)
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        async with pieces as found:
            async for piece in found:
                self.write(piece)
                await self.flush()
        await self.finish()


class Batches(BatchHandler):
    """`/api/{name}/{version}/batch`."""

    limit = BATCH_LIMIT
    _spool: Spool | None = None
    _received_until: contextlib.ExitStack | None = None

    def admit(self) -> None:
        """Refuse what is known to be wrong before the body is read, and make a file for it."""
        super().admit()
        if self.request.method != "POST":
            return
        headers = self.request.headers
        of_content_type(headers.get("Content-Type", ""))
        announced = headers.get("Content-Length", "")
        size = int(announced) if announced.isdecimal() else 0
        if size > self.limit:
            raise self._too_large()
        with contextlib.ExitStack() as stack:
            path = stack.enter_context(self.managers.batches.receive(self.identity, headers.get(_KEY), size))
            self._spool = Spool(path)
            stack.callback(self._spool.remove)
            self._received_until = stack.pop_all()

    async def data_received(self, chunk: bytes) -> None:
        """Write what came to the file, a piece at a time."""
        self._size += len(chunk)
        if self._size > self.limit:
            self._refuse_later(self._too_large())
        elif self._spool is not None:
            await self._spool.write(chunk)

    @operation(
        "StartBatchExecution",
        CONSUMPTION,
        Action.CONSUME,
        takes=list[dict[str, Any]],
        body="BatchWebServiceParameters",
        gives={202: StartBatchExecutionResponse},
        refuses=(400, 404, 409, 415, 422, 503, 507),
        arguments=_SUBMISSION,
    )
    async def post(self, name: str, version: str) -> None:
        """Run many calls.

        All of them run on what the version is now, whatever is published meanwhile. The body is JSON (an array of
        objects, or an object of arrays), or by its Content-Type NDJSON, CSV, TSV, Arrow or Parquet. The answer comes
        when the inputs are on disk: from then on the batch comes to its end even when the server is killed.
        """
        assert self._spool is not None, "who was admitted has a file"
        await self._spool.finish()
        asked = Asked(
            name=name,
            version=version,
            content_type=self.request.headers.get("Content-Type", ""),
            parallel=self.get_query_argument("parallelCount", None),
            priority=self.get_query_argument("priority", None),
            engine=self.get_query_argument("engine", None),
            webhook=self.get_query_argument("webhook", None),
            key=self.request.headers.get(_KEY),
        )
        batch = await self.managers.batches.submit(self.identity, asked, self._spool.path)
        self.answer(StartBatchExecutionResponse(BatchExecutionId=batch, batchExecutionId=batch), 202)

    @operation("GetBatchExecutions", CONSUMPTION, Action.CONSUME, gives={200: list[str]}, refuses=(404,))
    def get(self, name: str, version: str) -> None:
        """List your batches of a version, oldest first.

        An Owner sees everybody's.
        """
        self.answer(self.managers.batches.ids(self.identity, name, version))

    def on_finish(self) -> None:
        """Remove the body's file."""
        if self._received_until is not None:
            self._received_until.close()

    def on_connection_close(self) -> None:
        """Remove what will never be whole; while the verb runs, its end does."""
        super().on_connection_close()
        self.on_finish()


class Batch(BatchHandler):
    """`/api/{name}/{version}/batch/{executionId}`."""

    @operation(
        "GetBatchExecutionStatus",
        CONSUMPTION,
        Action.CONSUME,
        gives={200: BatchWebServiceResult},
        refuses=(404,),
        arguments=(
            Argument("showPartialResults", bool, _PARTIAL),
            FIRST,
            LIMIT,
            Argument("order", str, "Of NDJSON: `completion` for the order of recording instead of the rows'."),
            Argument("after", int, "In that order, how many rows to leave out.", least=0),
        ),
    )
    async def get(self, name: str, version: str, execution_id: str) -> None:
        """Say how far a batch is, and give the results there are, each in its place.

        With `Accept: application/x-ndjson` the results come one on each line, with `index`, `attempt` and `seconds`;
        with `Accept: application/vnd.apache.arrow.stream` as columns.
        """
        batch = self.found(execution_id, name, version)
        partial, offset, limit = self._partial(), self.number("offset", 0) or 0, self.number("limit")
        answers, accept = self.managers.batches.answers, self.request.headers.get("Accept", "")
        if ARROW in accept:
            columns = answers.arrow(batch, offset=offset, limit=limit)
            await self.send(contextlib.aclosing(columns), ARROW, "results.arrows")
        elif "application/x-ndjson" in accept:
            after = self.number("after", 0) if self.get_query_argument("order", "row") == "completion" else None
            lines = answers.lines(batch, offset=offset, limit=limit, after=after)
            await self.send(contextlib.aclosing(lines), "application/x-ndjson", "results.ndjson")
        else:
            results = answers.results(batch, partial=partial, offset=offset, limit=limit)
            await self.send(contextlib.aclosing(results), "application/json; charset=UTF-8", "results.json")

    @operation("CancelAndDeleteBatchExecution", CONSUMPTION, Action.CONSUME, gives={200: list[str]}, refuses=(404,))
    async def delete(self, name: str, version: str, execution_id: str) -> None:
        """Cancel a batch, and delete its results.

        Items that run are interrupted.
        """
        await self.managers.batches.delete(self.found(execution_id, name, version))
        self.answer([])

    def _partial(self) -> bool:
        """What the caller wants, in Machine Learning Server's spelling, its SDK's, or by default."""
        said = self.get_query_argument("showPartialResults", None) or self.get_query_argument("showPartialResult", "")
        known = {"": True, "true": True, "false": False}.get(said.lower())
        if known is None:
            raise InvalidRequest(f"showPartialResults is true or false, not {said[:80]!r}", fields="showPartialResults")
        return known


class Progress(BatchHandler):
    """`/api/{name}/{version}/batch/{executionId}/progress`."""

    @operation(
        "getBatchProgress",
        CONSUMPTION,
        Action.CONSUME,
        gives={200: BatchProgress},
        refuses=(404,),
        arguments=(
            Argument("after", int, "A `sequence` that you have seen: the answer waits for a later one.", least=0),
            Argument("wait", int, "Seconds to wait for it, at most 30.", least=0),
        ),
    )
    async def get(self, name: str, version: str, execution_id: str) -> None:
        """Say how far a batch is, in one small object, at once or when there is news."""
        batch = self.found(execution_id, name, version)
        wait = self.number("wait", 0, LONGEST_WAIT) or 0
        self.answer(await batch.after(self.number("after", 0) or 0, wait))


class Cancel(BatchHandler):
    """`/api/{name}/{version}/batch/{executionId}/cancel`."""

    @operation("cancelBatch", CONSUMPTION, Action.CONSUME, gives={200: BatchProgress}, refuses=(404,))
    async def post(self, name: str, version: str, execution_id: str) -> None:
        """Cancel a batch, and keep the results that are recorded.

        Rows that run are stopped within a second.
        """
        batch = self.found(execution_id, name, version)
        self.answer(await self.managers.batches.cancel(batch))


class Retry(BatchHandler):
    """`/api/{name}/{version}/batch/{executionId}/retry`."""

    @operation("retryBatch", CONSUMPTION, Action.CONSUME, gives={200: BatchProgress}, refuses=(404, 409, 503, 507))
    async def post(self, name: str, version: str, execution_id: str) -> None:
        """Run the rows of a batch that failed, or have no result, again.

        What succeeded stays as it is.
        """
        batch = self.found(execution_id, name, version)
        self.answer(await self.managers.batches.retry(batch))


class AllBatches(BatchHandler):
    """`/batches`."""

    @operation("listBatches", CONSUMPTION, Action.CONSUME, gives={200: list[BatchProgress]})
    def get(self) -> None:
        """List your batches of every service, newest first.

        An Owner sees everybody's.
        """
        self.answer(self.managers.batches.all(self.identity))


class OneBatch(BatchHandler):
    """`/batches/{executionId}`."""

    @operation("getBatch", CONSUMPTION, Action.CONSUME, gives={200: BatchProgress}, refuses=(404,))
    def get(self, execution_id: str) -> None:
        """Say how far a batch is, and of which service it is."""
        self.answer(self.found(execution_id).progress())
