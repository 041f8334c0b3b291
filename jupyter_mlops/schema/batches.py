"""Batches: many executions of one service version, in Machine Learning Server's shapes."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from jupyter_mlops.schema.base import Wire
from jupyter_mlops.schema.executions import WebServiceResult


class BatchState(StrEnum):
    """States as the real server wrote them: capitalised, though its Swagger documents were not."""

    PENDING = "Pending"
    READY = "Ready"
    IN_PROGRESS = "InProgress"
    COMPLETE = "Complete"
    FAILED = "Failed"


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
