"""Batches: many executions of one service version, in Machine Learning Server's shapes and in ours."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from jupyter_mlops.schema.base import Wire
from jupyter_mlops.schema.executions import WebServiceResult


class BatchState(StrEnum):
    """States as the real server wrote them: capitalised, though its Swagger documents were not."""

    PENDING = "Pending"
    """It was submitted, and its rows are being read and checked."""
    READY = "Ready"
    """It is on disk, and waits for its turn."""
    IN_PROGRESS = "InProgress"
    """Its rows are executing; `reason` says what it waits for, if it waits."""
    COMPLETE = "Complete"
    """Every row has a result; rows that failed are results too."""
    FAILED = "Failed"
    """It cannot go on, and `reason` says why; the results that were recorded are kept."""
    CANCELLED = "Cancelled"
    """Somebody cancelled it; the results that were recorded until then are kept."""


ENDED = frozenset({BatchState.COMPLETE, BatchState.FAILED, BatchState.CANCELLED})
"""States in which nothing more comes, unless somebody has the failed rows tried again."""


class Priority(StrEnum):
    """Which of the batches that wait for the same kernels go first."""

    LOW = "low"
    """Only when no other batch wants the kernel."""
    NORMAL = "normal"
    """In turn with the other batches."""
    HIGH = "high"
    """Before the other batches."""


class Engine(StrEnum):
    """Where the rows of a batch are executed."""

    LOCAL = "local"
    """By the service's own scoring kernels."""
    DASK = "dask"
    """By the workers of a Dask cluster."""


class StartBatchExecutionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The id of a new batch, under both names.

    Machine Learning Server's SDK reads the first, its documents say the second.
    """

    BatchExecutionId: str
    batchExecutionId: str  # noqa: N815


class BatchWebServiceResult(Wire, frozen=True):
    """The state of a batch, and the results there are, each in its place."""

    state: BatchState
    """Pending: submitted, not scheduled; Ready: can be executed; InProgress: executing; then Complete, or Failed."""
    completed_item_count: int
    """Items that are done."""
    total_item_count: int
    """Items of the batch."""
    batch_execution_results: tuple[WebServiceResult, ...] = ()
    """The answers, in the order of the items."""


class BatchError(Wire, frozen=True):
    """One kind of error of a batch's rows."""

    message: str
    """The last line of the traceback, or why there was no answer."""
    count: int
    """Rows that failed with it."""
    first: int
    """The first of these rows."""


class BatchProgress(Wire, frozen=True):
    """How far a batch is, in one small object."""

    id: str
    """What names it."""
    name: str
    """The service."""
    version: str
    """Its version, spelled out even when `latest` was asked for."""
    revision: int
    """Number of the revision that the batch runs on, whatever the version points at by now."""
    owner: str
    """Who submitted it."""
    state: BatchState
    """Pending, Ready, InProgress, Complete, Failed or Cancelled."""
    reason: str = ""
    """Why it waits or failed; empty when all is well."""
    engine: Engine = Engine.LOCAL
    """Where its rows are executed."""
    priority: Priority = Priority.NORMAL
    """Its place among the batches that wait for the same kernels."""
    total: int = 0
    """Its rows."""
    completed: int = 0
    """Rows that have a result on disk, failed ones included."""
    failed: int = 0
    """Rows whose result is an error."""
    running: int = 0
    """Rows that kernels have now."""
    attempts: int = 0
    """Rows that were executed again, because a kernel or the server ended before their result was recorded."""
    created: str = ""
    """When it was submitted (ISO 8601)."""
    started: str = ""
    """When its first rows went to a kernel; empty before."""
    ended: str = ""
    """When it came to its end; empty before."""
    seconds: float = 0.0
    """Seconds that kernels have worked on it."""
    rate: float = 0.0
    """Rows per second of late."""
    seconds_left: float | None = None
    """Seconds until its end at that rate, when that can be told."""
    errors: tuple[BatchError, ...] = ()
    """Kinds of errors, the most frequent first, at most 20."""
    artifacts: int = 0
    """Files that its rows wrote."""
    sequence: int = 0
    """Grows with every change: ask for what comes after it."""


class BatchArtifact(Wire, frozen=True):
    """A file that one row of a batch wrote."""

    index: int
    """The row, from 0."""
    name: str
    """What the file is called."""
    size: int
    """Its bytes."""


class BatchRow(WebServiceResult, frozen=True, kw_only=True):
    """The result of one row of a batch, as a line of JSON."""

    index: int
    """The row, from 0."""
    attempt: int = 1
    """How many times it was executed."""
    seconds: float = 0.0
    """How long its call took; of rows that ran as one, each one's share."""
