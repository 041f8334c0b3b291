"""Which models stay in memory: those used last, within a budget."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from jupyter_mlops.server.realtime.worker import Held, Specification, Worker

log = logging.getLogger(__name__)


def used(workers: Sequence[Worker]) -> int:
    """Bytes that all models together use, a model in two workers counted twice."""
    return sum(held.memory for worker in workers for held in worker.models.values())


def make_room(
    workers: Sequence[Worker], budget: int, coming: Specification | None, *, keep: Held | None = None
) -> None:
    """Let workers forget models, least recently used first, until a model fits; it comes back at its next call.

    Parameters
    ----------
    workers:
        All of them.
    budget:
        Bytes.
    coming:
        The model that is about to be loaded, if one is.
    keep:
        One that is not to go.
    """
    wanted = coming.size if coming is not None else 0
    over = used(workers) + wanted - budget
    if over <= 0:
        return
    idle = [
        (held.used, worker, held)
        for worker in workers
        for held in worker.models.values()
        if held is not keep and held.number not in worker.sent
    ]
    for _, worker, held in sorted(idle, key=lambda one: one[0]):
        if over <= 0:
            break
        log.info("the model of %s %s gives its memory to others", *held.model.name)
        worker.unload(held.model.id)
        over -= held.memory
