"""A batch: many calls of a service, begun at once, whose results are asked for later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator
from typing import Any, Self

import msgspec

from jupyter_mlops.client.batch_files import BatchFiles
from jupyter_mlops.client.batch_frames import SUCCESS, with_inputs
from jupyter_mlops.client.batch_results import BatchResponse, Load, RowResult
from jupyter_mlops.client.batch_rows import POLL_SECONDS, BatchRows
from jupyter_mlops.client.batch_shown import BatchShown
from jupyter_mlops.client.batch_upload import Submission
from jupyter_mlops.client.files import FILE_SECONDS
from jupyter_mlops.client.response import ServiceResponse
from jupyter_mlops.client.sources import Source
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.errors import DeadlineExceeded, NotFound
from jupyter_mlops.schema.batches import ENDED, BatchProgress, BatchState, BatchWebServiceResult
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.types import Parameter

FEW = 50
"""Rows whose inputs are asked for one by one, rather than all of them."""
ASYNC_SECONDS = 5.0


class Batch(BatchFiles, BatchShown):
    """A batch of a service; made by `Service.batch`, or for one that exists by `Service.get_batch`.

    Iterating over it gives each result as soon as it is there; `await` waits for its end.

    Parameters
    ----------
    transport:
        The way to the server.
    api:
        The service's path.
    outputs:
        The service's declared outputs.
    source:
        The records; None for a batch that exists.
    parallel_count:
        How many of them may run at a time.
    execution_id:
        The batch, when it exists.
    options:
        `priority`, `engine` and `webhook`, as they are sent.
    key:
        What the server knows its start by, so that starting it twice starts it once; one is made up without.

    Examples
    --------
    >>> job = service.batch([{"hp": 120, "wt": 2}, {"hp": 90, "wt": 3}]).start()
    >>> job.wait(progress=False).state
    'Complete'
    >>> job.execution(0).output("answer")
    60.0
    >>> [result.output("answer") for result in job.in_order()]
    [60.0, 30.0]
    >>> job.to_frame()[["hp", "answer", "_success"]].values.tolist()
    [[120, 60.0, True], [90, 30.0, True]]
    >>> job.progress().failed
    0
    """

    def __init__(
        self,
        transport: Transport,
        api: str,
        outputs: tuple[Parameter, ...],
        source: Source | None = None,
        parallel_count: int = 10,
        execution_id: str | None = None,
        options: dict[str, str | None] | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(transport, api, outputs, execution_id)
        self._source = source
        self._parallel_count = parallel_count
        self._submission: Submission | None = None
        if source is not None:
            query = {"parallelCount": parallel_count, **(options or {})}
            self._submission = Submission(transport, self.api, source, query, key)
        self._last: BatchResponse | None = None

    @property
    def records(self) -> list[dict[str, Any]]:
        """The inputs of each call, as they are sent.

        Empty for records that come from a file or an iterator, and for a batch that was found by its id.
        """
        return [] if self._source is None else self._source.records

    @property
    def parallel_count(self) -> int:
        """How many records may be processed at a time."""
        return self._parallel_count

    def start(self) -> Self:
        """Send the records and let the server begin; a batch that was started is left as it is.

        All records are processed by the revision that the version has now. When the connection breaks, this is sent
        again; whatever arrives, the server starts one batch only. It may be called again after an error, too.

        Raises
        ------
        InvalidInput
            With the place of the first value that does not fit, such as `$[3].hp`.
        ServerUnreachable
            When the connection broke several times.
        """
        if self._execution_id is None:
            assert self._submission is not None
            self._execution_id = self._submission.send()
        return self

    def cancel(self) -> Self:
        """Stop it; results that were recorded are kept, and `retry_failed` or `delete` may follow.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        self._transport.request("POST", self._path("/cancel"))
        self._last = None
        return self

    def delete(self) -> Self:
        """Stop it if it runs, and delete it with its results and files.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        self._transport.request("DELETE", self._path())
        self._last = None
        return self

    def retry_failed(self) -> Self:
        """Let the records that failed be processed again; their results are replaced.

        Raises
        ------
        Conflict
            While it runs.
        InvalidRequest
            When it was not started.
        """
        self._transport.request("POST", self._path("/retry"))
        self._last = None
        self._went_on()
        return self

    def state(self) -> str:
        """How it is now: `Pending`, `Ready`, `InProgress`, `Complete`, `Failed` or `Cancelled`.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        return self.progress().state.value

    def progress(self) -> BatchProgress:
        """How far it is now: counts, rate, time left, and kinds of errors.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        return self._rows().progress()

    def results(self, show_partial_results: bool = True) -> BatchResponse | None:  # noqa: FBT001, FBT002  # as it was
        """How far it is, and the results there are; None when it was not started.

        Parameters
        ----------
        show_partial_results:
            False to have results only when all are there.
        """
        return None if self._execution_id is None else self._look(partial=show_partial_results)

    def execution(self, index: int) -> ServiceResponse:
        """The result of one record.

        Parameters
        ----------
        index:
            Which record, from 0.

        Raises
        ------
        NotFound
            When there is none, or none yet.
        InvalidRequest
            When it was not started.
        """
        found = next(self._rows().lines(offset=max(index, 0), limit=1), None)
        if found is None or found.index != index:
            seen = self.progress()
            if not 0 <= index < seen.total:
                raise NotFound(f"there is no record {index}; the batch has {seen.total}")
            raise NotFound(f"record {index} has not been processed yet; the batch is {seen.state}")
        return found

    def results_frame(self) -> Any:
        """The outputs there are as a DataFrame, a row for each record; `to_frame` tells more.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        return self._look(partial=True).to_frame()

    def to_frame(self) -> Any:
        """What has been recorded as a DataFrame: inputs, outputs, and what became of each row.

        Returns
        -------
        pandas.DataFrame
            A column for each input and each output, and `_success`, `_error`, `_attempt` and `_seconds`. Its index is
            that of the DataFrame that the records came from, else the place of the record.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        return self._with_inputs(self._rows().frame())

    def failed(self) -> Any:
        """The rows that failed, as `to_frame` gives them.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        frame = self._rows().frame()
        return self._with_inputs(frame[~frame[SUCCESS]])

    def __iter__(self) -> Iterator[RowResult]:
        """Each result as soon as it is there, until the batch has ended."""
        return self._rows().as_they_come()

    def in_order(self) -> Iterator[RowResult]:
        """Each result in the order of the records, as soon as those before it are there.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        return self._rows().in_order()

    def wait(self, timeout: float | None = None, progress: bool = True) -> BatchResponse:  # noqa: FBT001, FBT002
        """Wait until it has ended, with a progress bar; an interrupt ends the waiting, and not the batch.

        A server that is started again meanwhile is waited for.

        Parameters
        ----------
        timeout:
            Seconds to wait; without it as long as it takes.
        progress:
            Whether to show the bar.

        Returns
        -------
        BatchResponse
            All results. Records that failed do not raise: see `BatchResponse.errors`.

        Raises
        ------
        DeadlineExceeded
            When it has not ended by then. It goes on: wait again.
        InvalidRequest
            When it was not started.
        """
        from tqdm.auto import tqdm

        until = None if timeout is None else time.monotonic() + timeout
        rows = self._rows()
        seen = rows.progress()
        with tqdm(total=seen.total, desc=self._service, unit="rows", disable=not progress) as bar:
            while True:
                bar.total = seen.total
                bar.update(seen.completed - bar.n)
                if seen.failed or seen.reason:
                    bar.set_postfix_str(seen.reason or f"{seen.failed} failed")
                if seen.state in ENDED:
                    return self._response(seen)
                left = POLL_SECONDS if until is None else until - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded(
                        f"the batch {self._execution_id} has processed {seen.completed} of {seen.total} records in "
                        f"{timeout} seconds; it goes on: wait() again, or cancel()"
                    )
                seen = rows.next_progress(seen, min(left, POLL_SECONDS))

    def __await__(self) -> Generator[Any, None, BatchResponse]:
        """Wait until it has ended, and let other tasks run meanwhile; gives what `wait` returns."""
        return self._ended().__await__()

    def __repr__(self) -> str:
        if self._execution_id:
            return f"<Batch of {self._service}: batch {self._execution_id}>"
        count = None if self._source is None else self._source.count
        return f"<Batch of {self._service}: {'' if count is None else f'{count} '}records, not started>"

    async def _ended(self) -> BatchResponse:
        rows = self._rows()
        seen = await asyncio.to_thread(rows.progress)
        while seen.state not in ENDED:
            seen = await asyncio.to_thread(rows.next_progress, seen, ASYNC_SECONDS)
        return self._response(seen)

    def _look(self, *, partial: bool) -> BatchResponse:
        if self._last is None:
            found = self._results(f"?showPartialResults={str(partial).lower()}")
            results = found.batch_execution_results
            seen = self._answer(found.state, found.completed_item_count, found.total_item_count, lambda _, __: results)
            if not seen.ended:
                return seen
            self._last = seen  # it cannot change any more, but by retry_failed
        return self._last

    def _response(self, seen: BatchProgress) -> BatchResponse:
        """The results of a batch that has ended, which are only got when they are wanted."""

        def load(offset: int, limit: int | None) -> tuple[WebServiceResult, ...]:
            return self._results(f"?offset={offset}&limit={limit}" if limit else "").batch_execution_results

        return self._answer(seen.state, seen.completed, seen.total, load)

    def _answer(self, state: BatchState, completed: int, total: int, load: Load) -> BatchResponse:
        assert self._execution_id is not None
        rows = None if self._source is None else self._source.rows
        return BatchResponse(self._service, self._execution_id, state, completed, total, self._outputs, load, rows)

    def _results(self, query: str) -> BatchWebServiceResult:
        answer = self._transport.request("GET", self._path(query), usual=FILE_SECONDS)
        return msgspec.json.decode(answer, type=BatchWebServiceResult)

    def _with_inputs(self, frame: Any) -> Any:
        return with_inputs(frame, self._inputs(frame.index), None if self._source is None else self._source.rows)

    def _inputs(self, index: Any) -> Any:
        """A DataFrame of the inputs of some rows: from here, when they are here, else from the server."""
        import pandas as pd

        here = None if self._source is None else self._source.frame()
        if here is None and len(index) <= FEW:
            found = [self._rows().inputs(offset=row, limit=1) for row in index]
            return pd.DataFrame([row for rows in found for row in rows])
        return (pd.DataFrame(self._rows().inputs()) if here is None else here).iloc[index]

    def _rows(self) -> BatchRows:
        return BatchRows(self._transport, self._path(), self._service, self._outputs)


def executions(transport: Transport, api: str) -> list[str]:
    """Ids of the caller's batches of a service, oldest first."""
    return msgspec.json.decode(transport.request("GET", f"{api}/batch"), type=list[str])
