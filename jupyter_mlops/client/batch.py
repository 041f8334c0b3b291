"""A batch: many calls of a service, begun at once, whose results are asked for later."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self

import msgspec

from jupyter_mlops.client.files import FILE_SECONDS, download
from jupyter_mlops.client.response import ServiceResponse
from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.errors import DeadlineExceeded, InvalidRequest, NotFound
from jupyter_mlops.schema.batches import BatchState, BatchWebServiceResult, StartBatchExecutionResponse
from jupyter_mlops.schema.types import Parameter, ValueType

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
ENDED = frozenset({BatchState.COMPLETE, BatchState.FAILED})


class BatchResponse:
    """How far a batch was when it was asked, and the results there were, each at the index of its record.

    Parameters
    ----------
    api:
        The service's path.
    execution_id:
        The batch.
    result:
        The server's answer.
    outputs:
        The service's declared outputs.
    rows:
        What names the rows of `to_frame`: the index of the DataFrame that the records came from.
    """

    def __init__(
        self,
        api: str,
        execution_id: str,
        result: BatchWebServiceResult,
        outputs: tuple[Parameter, ...],
        rows: Any = None,
    ) -> None:
        self._api = api
        self._execution_id = execution_id
        self._result = result
        self._declared = outputs
        self._rows = rows

    @property
    def api(self) -> str:
        """The service's path."""
        return self._api

    @property
    def execution_id(self) -> str:
        """The batch."""
        return self._execution_id

    @property
    def state(self) -> str:
        """`Pending`, `Ready`, `InProgress`, `Complete` or `Failed`."""
        return self._result.state.value

    @property
    def completed_item_count(self) -> int:
        """How many records have been processed."""
        return self._result.completed_item_count

    @property
    def total_item_count(self) -> int:
        """How many records there are."""
        return self._result.total_item_count

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._result.state in ENDED

    @property
    def errors(self) -> dict[int, str]:
        """The error of each record that failed, or has not been processed, by its index."""
        results = self._result.batch_execution_results
        return {index: result.error_message for index, result in enumerate(results) if not result.success}

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
        """
        if not 0 <= index < self.total_item_count:
            raise NotFound(f"there is no record {index}; the batch has {self.total_item_count}")
        results = self._result.batch_execution_results
        if index >= len(results):
            raise NotFound(f"record {index} has not been processed yet; the batch is {self.state}")
        return ServiceResponse(self._api, results[index], self._declared)

    def to_frame(self) -> Any:
        """The outputs as a DataFrame: a row for each record and a column for each output.

        What is missing is missing there too. When records failed, a last column `error` says why.

        Returns
        -------
        pandas.DataFrame
            Its index is that of the DataFrame that the records came from, else it counts from 0.
        """
        import pandas as pd

        count = len(self._result.batch_execution_results)
        executions = [self.execution(index) for index in range(count)]
        columns = {
            one.name: _cells([execution.outputs[one.name] for execution in executions], one) for one in self._declared
        }
        if self.errors:
            columns["error" if "error" not in columns else "error_"] = [execution.error for execution in executions]
        return pd.DataFrame(columns, index=pd.RangeIndex(count) if self._rows is None else self._rows[:count])

    def __repr__(self) -> str:
        failed = f", {len(self.errors)} without an answer" if self.errors else ""
        done = f"{self.completed_item_count} of {self.total_item_count}{failed}"
        return f"<BatchResponse of {self._api}: {self.state}, {done}>"


class Batch:
    """A batch of a service; made by `Service.batch`, or for one that exists by `Service.get_batch`.

    Parameters
    ----------
    transport:
        The way to the server.
    api:
        The service's path.
    outputs:
        The service's declared outputs.
    records:
        One dict of inputs for each call, as they are sent.
    parallel_count:
        How many of them may run at a time.
    execution_id:
        The batch, when it exists.
    rows:
        What names the rows of the results.
    """

    def __init__(
        self,
        transport: Transport,
        api: str,
        outputs: tuple[Parameter, ...],
        records: list[dict[str, Any]] | None = None,
        parallel_count: int = 10,
        execution_id: str | None = None,
        rows: Any = None,
    ) -> None:
        self._transport = transport
        self._service = api
        self._outputs = outputs
        self._records = records or []
        self._parallel_count = parallel_count
        self._execution_id = execution_id
        self._rows = rows
        self._last: BatchResponse | None = None

    @property
    def api(self) -> str:
        """The path of the service's batches."""
        return f"{self._service}/batch"

    @property
    def records(self) -> list[dict[str, Any]]:
        """The inputs of each call, as they are sent; empty for a batch that was found by its id."""
        return self._records

    @property
    def parallel_count(self) -> int:
        """How many records may be processed at a time."""
        return self._parallel_count

    @property
    def execution_id(self) -> str | None:
        """What names it to the server; None while it has not been started."""
        return self._execution_id

    def start(self) -> Self:
        """Send the records and let the server begin; a batch that was started is left as it is.

        All records are processed by the revision that the version has now. This is never sent twice: when the
        connection breaks, `Service.list_batch_executions` tells whether it arrived.
        """
        if self._execution_id is None:
            path = f"{self.api}?parallelCount={self._parallel_count}"
            answer = self._transport.request("POST", path, self._records, usual=FILE_SECONDS)
            self._execution_id = msgspec.json.decode(answer, type=StartBatchExecutionResponse).BatchExecutionId
        return self

    def cancel(self) -> Self:
        """Stop it, and delete it with its results and files, in whichever state it is.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        self._transport.request("DELETE", self._path())
        self._last = None
        return self

    def state(self) -> str:
        """How it is now: `Pending`, `Ready`, `InProgress`, `Complete` or `Failed`.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        return self._look(partial=False).state

    def results(self, show_partial_results: bool = True) -> BatchResponse | None:  # noqa: FBT001, FBT002  # as it was
        """How far it is, and the results there are; None when it was not started.

        Parameters
        ----------
        show_partial_results:
            False to have results only when all are there.
        """
        return None if self._execution_id is None else self._look(partial=show_partial_results)

    def results_frame(self) -> Any:
        """The outputs there are as a DataFrame, a row for each record; `BatchResponse.to_frame` tells more.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        return self._look(partial=True).to_frame()

    to_frame = results_frame

    def wait(self, timeout: float | None = None, progress: bool = True) -> BatchResponse:  # noqa: FBT001, FBT002
        """Wait until it has ended, with a progress bar; an interrupt ends the waiting, and not the batch.

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
        pause = FIRST_PAUSE
        seen = self._look(partial=False)
        with tqdm(total=seen.total_item_count, desc=self._service, unit="rows", disable=not progress) as bar:
            while True:
                bar.total = seen.total_item_count
                bar.update(seen.completed_item_count - bar.n)
                if seen.ended:
                    return seen
                left = LONGEST_PAUSE if until is None else until - time.monotonic()
                if left <= 0:
                    done = f"{seen.completed_item_count} of {seen.total_item_count} records"
                    raise DeadlineExceeded(
                        f"the batch {self._execution_id} has processed {done} in {timeout} seconds; it goes on: "
                        "wait() again, or cancel()"
                    )
                time.sleep(min(pause, left))
                pause = min(pause * 1.5, LONGEST_PAUSE)
                seen = self._look(partial=False)

    def list_artifacts(self, index: int) -> list[str]:
        """Names of the files that one record's call wrote.

        Parameters
        ----------
        index:
            Which record, from 0.
        """
        return msgspec.json.decode(self._transport.request("GET", self._path(f"/{index}/files")), type=list[str])

    def artifact(self, index: int, file_name: str) -> bytes:
        """A file that one record's call wrote.

        Parameters
        ----------
        index:
            Which record, from 0.
        file_name:
            One of `list_artifacts`.
        """
        path = self._path(f"/{index}/files/{segment(file_name)}")
        return self._transport.request("GET", path, usual=FILE_SECONDS)

    def download(self, index: int, file_name: str | None = None, destination: str | Path | None = None) -> list[str]:
        """Copy files that one record's call wrote here, and return their paths.

        Parameters
        ----------
        index:
            Which record, from 0.
        file_name:
            One of `list_artifacts`; all of them when there is none.
        destination:
            The directory to write them into, the working directory when there is none.

        Raises
        ------
        InvalidRequest
            When the directory does not exist, or the batch was not started.
        """
        folder = Path.cwd() if destination is None else Path(destination)
        path = self._path(f"/{index}/files")
        if not folder.is_dir():
            raise InvalidRequest(f"there is no directory {str(folder)!r}; make it first", fields="destination")
        names = self.list_artifacts(index) if file_name is None else [file_name]
        return [str(download(self._transport, f"{path}/{segment(name)}", folder, name)) for name in names]

    def __repr__(self) -> str:
        what = f"batch {self._execution_id}" if self._execution_id else f"{len(self._records)} records, not started"
        return f"<Batch of {self._service}: {what}>"

    def _look(self, *, partial: bool) -> BatchResponse:
        path = self._path(f"?showPartialResults={str(partial).lower()}")
        if self._last is None:
            answer = self._transport.request("GET", path, usual=FILE_SECONDS)
            result = msgspec.json.decode(answer, type=BatchWebServiceResult)
            assert self._execution_id is not None
            seen = BatchResponse(self._service, self._execution_id, result, self._outputs, self._rows)
            if not seen.ended:
                return seen
            self._last = seen  # it cannot change any more
        return self._last

    def _path(self, rest: str = "") -> str:
        if self._execution_id is None:
            raise InvalidRequest("Batch not started, call start() first")
        return f"{self.api}/{segment(self._execution_id)}{rest}"


def executions(transport: Transport, api: str) -> list[str]:
    """Ids of the caller's batches of a service, oldest first."""
    return msgspec.json.decode(transport.request("GET", f"{api}/batch"), type=list[str])


def _cells(values: list[Any], declared: Parameter) -> Any:
    """A column, whose cells may be arrays and frames themselves."""
    if declared.type not in {ValueType.VECTOR, ValueType.MATRIX, ValueType.DATA_FRAME}:
        return values
    import numpy as np

    cells = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        cells[index] = value
    return cells
