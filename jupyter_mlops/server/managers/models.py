"""Calls of realtime services: from a body to a worker that holds the model, and back."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from jupyter_mlops.errors import DeadlineExceeded, KernelDied, MLOpsError, NotFound, PublishRefused
from jupyter_mlops.schema.access import Identity
from jupyter_mlops.schema.channel import Outcome
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.realtime import INFERENCE, JSON, Scored
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.kernels.waiting import Caller
from jupyter_mlops.server.managers.catalog import Catalog
from jupyter_mlops.server.managers.failures import FailureManager
from jupyter_mlops.server.managers.metrics import CallMetrics, Metrics
from jupyter_mlops.server.managers.uploads import UploadManager
from jupyter_mlops.server.realtime.pool import ModelPool
from jupyter_mlops.server.realtime.worker import Specification
from jupyter_mlops.server.realtime.workers import Workers

GROUP_SIZE = 256
"""Most calls of one model that run together."""
DRAIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Form:
    """How a body is written, and how its answer is to be."""

    media: str = JSON
    accept: str = JSON
    head: int = 0
    """Of Open Inference Protocol V2: bytes of JSON before binary tensors."""


_PLAIN = Form()


@dataclass(eq=False, slots=True)
class _Scored:
    pool: ModelPool
    metrics: CallMetrics


class ModelScoring:
    """Scores realtime services, and owns what each of them has in the workers.

    Parameters
    ----------
    catalog:
        The settings of versions.
    uploads:
        Where models lie.
    workers:
        The processes that score.
    metrics, failures:
        Where calls are counted, and those that fail are kept.
    """

    def __init__(
        self, catalog: Catalog, uploads: UploadManager, workers: Workers, metrics: Metrics, failures: FailureManager
    ) -> None:
        self._catalog = catalog
        self._uploads = uploads
        self._workers = workers
        self._metrics = metrics
        self._failures = failures
        self._scored: dict[str, _Scored] = {}
        self._held: dict[str, ModelPool] = {}
        self._verified: set[str] = set()
        self._retiring: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Watch the workers, and start one when there is a realtime service."""
        self._workers.start(wanted=any(one.definition.model is not None for one in self._catalog.all()))

    def check(self) -> None:
        """Refuse models where nothing can score them; elsewhere see that a worker is ready for the next one.

        Raises
        ------
        Unavailable
            Naming what to install.
        """
        self._workers.warm()

    def spool(self) -> tuple[Path, bool]:
        """A new path for a body that is too large to be held, and whether it lies in memory."""
        return self._workers.folder / f"body-{secrets.token_hex(8)}", self._workers.in_memory

    async def call(
        self,
        identity: Identity,
        revision: Revision,
        body: bytes,
        form: Form = _PLAIN,
        *,
        path: str = "",
        caller: Caller | None = None,
        correlation: str = "",
    ) -> Scored:
        """Score one call.

        Parameters
        ----------
        identity:
            The caller.
        revision:
            A realtime service.
        body, path:
            What the caller sent, or the file that holds it.
        form:
            How it is written.
        caller:
            Is told how to take the call back.
        correlation:
            The id that the caller got, under which the call is kept if it fails.

        Raises
        ------
        InvalidInput, KernelDied, DeadlineExceeded, Unavailable
            As their names say.
        """
        scored = self._scored.get(revision.id) or await self._ready(revision)
        started = time.monotonic()
        outcome = -1
        try:
            answer = await scored.pool.call(
                body,
                revision.definition.timeout,
                path=path,
                media=form.media,
                accept=form.accept,
                head=form.head,
                caller=caller,
            )
            outcome = answer.outcome
        except (KernelDied, DeadlineExceeded) as error:
            self._keep(identity, correlation, revision, body, form, error.message)
            raise
        finally:
            scored.metrics.count(time.monotonic() - started, outcome)
        if outcome == Outcome.RAISED:
            message = answer.body.decode()
            self._keep(identity, correlation, revision, body, form, message)
            if form.media != INFERENCE:
                told = msgspec.json.encode(WebServiceResult(success=False, error_message=message))
                answer = msgspec.structs.replace(answer, body=told, media=JSON)
        return answer

    async def prove(self, revision: Revision) -> ModelPool:
        """Load a revision's model in a worker; what it is called through.

        Raises
        ------
        PublishRefused
            When it cannot be loaded.
        """
        self._workers.check()
        pool = await self._pool(revision)
        if pool.model.size > self._workers.memory:
            raise PublishRefused(
                f"the model has {pool.model.size} bytes, and all realtime services together may use "
                f"{self._workers.memory} (setting: realtime_memory)",
                fields="$.model",
            )
        try:
            await pool.load()
        except MLOpsError as error:
            raise PublishRefused(f"the model does not load: {error.message}", fields="$.model") from error
        return pool

    def adopt(self, revision: Revision, pool: ModelPool) -> None:
        """Let calls go to a revision that was proved."""
        self._scored[revision.id] = _Scored(pool, self._metrics.of(revision.name, revision.version))

    def pool(self, revision: Revision) -> ModelPool | None:
        """What a revision is called through, or None when it was not since the server started."""
        scored = self._scored.get(revision.id)
        return scored.pool if scored else None

    async def of(self, revision: Revision) -> ModelPool:
        """What a revision is called through."""
        return (self._scored.get(revision.id) or await self._ready(revision)).pool

    async def hold(self, revision: Revision) -> ModelPool:
        """What a revision is called through, by somebody who goes on when its version points at another."""
        held = self._held.get(revision.id)
        if held is None:
            held = self._held[revision.id] = await self._pool(revision)
        return held

    def release(self, revision: Revision) -> None:
        """Say that no more calls will come through what `hold` returned."""
        held = self._held.pop(revision.id, None)
        if held is not None and revision.id not in self._scored:
            self._workers.forget(revision.id)

    def width(self) -> int:
        """How many workers may be at work at a time."""
        return self._workers.maximum

    def retire(self, revision: Revision) -> None:
        """Let the running calls of a revision finish, then forget its model."""
        scored = self._scored.pop(revision.id, None)
        self._verified.discard(revision.id)
        if scored is not None:
            task = asyncio.get_running_loop().create_task(_retire(scored.pool))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Let accepted calls finish, for at most half a minute, then end the workers."""
        await asyncio.gather(*(_retire(scored.pool) for scored in self._scored.values()), *self._retiring)
        self._scored.clear()
        await self._workers.close()

    async def _ready(self, revision: Revision) -> _Scored:
        pool = await self._pool(revision)
        if revision.id not in self._scored:  # another call may have been here meanwhile
            self.adopt(revision, pool)
        return self._scored[revision.id]

    async def _pool(self, revision: Revision) -> ModelPool:
        manifest, model = revision.manifest, revision.definition.model
        assert manifest is not None, "a realtime revision holds a model"
        assert model is not None, "and says what it is"
        if revision.id not in self._verified:
            await self._uploads.verify(manifest)
            self._verified.add(revision.id)
        specification = Specification(
            id=revision.id,
            name=(revision.name, revision.version),
            path=self._uploads.path(manifest.stream),
            offset=model.offset,
            header=model.header,
            grouped=model.grouped,
            group_size=GROUP_SIZE,
            size=manifest.stream.size,
        )
        return ModelPool(self._workers, specification, self._catalog.settings(revision))

    def _keep(
        self, identity: Identity, correlation: str, revision: Revision, body: bytes, form: Form, message: str
    ) -> None:
        """Keep a failed call whose body was held, and is JSON."""
        if form.media == JSON:
            with contextlib.suppress(msgspec.DecodeError):
                msgspec.json.decode(body)
                self._failures.keep(identity, correlation, revision, body, message)


def no_model(revision: Revision) -> NotFound:
    """What is told of a standard service where only realtime ones are known."""
    return NotFound(
        f"service {revision.name} version {revision.version} is a standard service, which is called by "
        "POST /api/NAME/VERSION; only realtime services are called here"
    )


async def _retire(pool: ModelPool) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            await pool.drain()
    await pool.close()
