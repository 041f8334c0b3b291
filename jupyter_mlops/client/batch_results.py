"""The results of a batch, as Python values: of all records at a time, or of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_mlops.client.response import ServiceResponse
from jupyter_mlops.errors import NotFound
from jupyter_mlops.schema.batches import ENDED, BatchRow, BatchState
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.types import Parameter, ValueType

PAGE = 1000
"""Results that are asked for together when one of them is wanted."""

_COLLECTIONS = frozenset({ValueType.VECTOR, ValueType.MATRIX, ValueType.DATA_FRAME})

Load = Callable[[int, int | None], tuple[WebServiceResult, ...]]
"""Gets the results from an index on, at most so many; all of them without a number."""


class RowResult(ServiceResponse):
    """The answer of one record of a batch.

    A record that failed does not raise: `error` says why, and `outputs` are None.

    Parameters
    ----------
    api:
        The service's path.
    row:
        The server's line about it.
    outputs:
        The service's declared outputs.
    """

    def __init__(self, api: str, row: BatchRow, outputs: tuple[Parameter, ...]) -> None:
        super().__init__(api, row, outputs)
        self._row = row

    @property
    def index(self) -> int:
        """Which record it is the answer of, from 0."""
        return self._row.index

    @property
    def attempt(self) -> int:
        """How many times the record was executed: more than once when a kernel or the server ended meanwhile."""
        return self._row.attempt

    @property
    def seconds(self) -> float:
        """How long its call took."""
        return self._row.seconds

    def __repr__(self) -> str:
        return super().__repr__().replace("<ServiceResponse of", f"<RowResult {self.index} of", 1)


class BatchResponse:
    """How far a batch was when it was asked, and the results there are, each at the index of its record.

    Parameters
    ----------
    api:
        The service's path.
    execution_id:
        The batch.
    state:
        How it was.
    completed, total:
        How many records had been processed, and how many there are.
    outputs:
        The service's declared outputs.
    load:
        Gets results when they are wanted.
    rows:
        What names the rows of `to_frame`: the index of the DataFrame that the records came from.
    """

    def __init__(
        self,
        api: str,
        execution_id: str,
        state: BatchState,
        completed: int,
        total: int,
        outputs: tuple[Parameter, ...],
        load: Load,
        rows: Any = None,
    ) -> None:
        self._api = api
        self._execution_id = execution_id
        self._state = state
        self._completed = completed
        self._total = total
        self._declared = outputs
        self._load = load
        self._rows = rows
        self._all: tuple[WebServiceResult, ...] | None = None
        self._page: tuple[int, tuple[WebServiceResult, ...]] = (0, ())

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
        """`Pending`, `Ready`, `InProgress`, `Complete`, `Failed` or `Cancelled`."""
        return self._state.value

    @property
    def completed_item_count(self) -> int:
        """How many records have been processed."""
        return self._completed

    @property
    def total_item_count(self) -> int:
        """How many records there are."""
        return self._total

    @property
    def ended(self) -> bool:
        """Whether nothing more will come, unless failed records are tried again."""
        return self._state in ENDED

    @property
    def errors(self) -> dict[int, str]:
        """The error of each record that failed, or has not been processed, by its index."""
        return {index: one.error_message for index, one in enumerate(self._results()) if not one.success}

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
        result = self._result(index)
        if result is None:
            raise NotFound(f"record {index} has not been processed yet; the batch is {self.state}")
        return ServiceResponse(self._api, result, self._declared)

    def to_frame(self) -> Any:
        """The outputs as a DataFrame: a row for each record and a column for each output.

        What is missing is missing there too. When records failed, a last column `error` says why.

        Returns
        -------
        pandas.DataFrame
            Its index is that of the DataFrame that the records came from, else it counts from 0.
        """
        import pandas as pd

        executions = [ServiceResponse(self._api, one, self._declared) for one in self._results()]
        columns = {
            one.name: cells([execution.outputs[one.name] for execution in executions], one) for one in self._declared
        }
        if self.errors:
            columns["error" if "error" not in columns else "error_"] = [execution.error for execution in executions]
        count = len(executions)
        return pd.DataFrame(columns, index=pd.RangeIndex(count) if self._rows is None else self._rows[:count])

    def __repr__(self) -> str:
        failed = f", {len(self.errors)} without an answer" if self._all is not None and self.errors else ""
        done = f"{self.completed_item_count} of {self.total_item_count}{failed}"
        return f"<BatchResponse of {self._api}: {self.state}, {done}>"

    def _results(self) -> tuple[WebServiceResult, ...]:
        if self._all is None:
            self._all = self._load(0, None)
        return self._all

    def _result(self, index: int) -> WebServiceResult | None:
        if self._all is not None:
            return self._all[index] if index < len(self._all) else None
        first, page = self._page
        if not first <= index < first + len(page):
            first = index - index % PAGE
            page = self._load(first, PAGE)
            self._page = first, page
        return page[index - first] if index - first < len(page) else None


def cells(values: list[Any], declared: Parameter) -> Any:
    """A column of a DataFrame, whose cells may be arrays and frames themselves.

    Parameters
    ----------
    values:
        The values of an output.
    declared:
        The output.
    """
    if declared.type not in _COLLECTIONS:
        return values
    import numpy as np

    column = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        column[index] = value
    return column
