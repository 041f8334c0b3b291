"""Calls: from a checked body to a kernel of the right revision and back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections import Counter
from pathlib import Path

import msgspec
import psutil

from jupyter_mlops.errors import DeadlineExceeded, KernelDied, Unavailable
from jupyter_mlops.inputs import InputReader, RowsReader
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.channel import Outcome, Reply
from jupyter_mlops.schema.pools import PoolSettings
from jupyter_mlops.schema.realtime import INFERENCE
from jupyter_mlops.schema.realtime import Scored as ModelScored
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.kernels.budget import Budget
from jupyter_mlops.server.kernels.channel import Listener
from jupyter_mlops.server.kernels.kernel import Kernel
from jupyter_mlops.server.kernels.launcher import Launcher
from jupyter_mlops.server.kernels.pool import Pool
from jupyter_mlops.server.kernels.record import CallRecord
from jupyter_mlops.server.kernels.templates import Templates
from jupyter_mlops.server.kernels.waiting import Caller
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.catalog import Catalog
from jupyter_mlops.server.managers.failures import INPUT_LIMIT, FailureManager
from jupyter_mlops.server.managers.loads import make_load
from jupyter_mlops.server.managers.metrics import Metrics
from jupyter_mlops.server.managers.model_runner import ModelRunner
from jupyter_mlops.server.managers.models import Form, ModelScoring, no_model
from jupyter_mlops.server.managers.proof import prove
from jupyter_mlops.server.managers.scored import Held, Scored
from jupyter_mlops.server.managers.trial import Answer, Trial
from jupyter_mlops.server.managers.uploads import UploadManager
from jupyter_mlops.server.realtime.pool import ModelPool
from jupyter_mlops.server.stores.crash import crashpoint

LOAD_SECONDS = 120.0
DRAIN_SECONDS = 30.0
WATCH_SECONDS = 0.5


class ExecutionManager:
    """Runs calls, and owns the pools of kernels that answer them.

    Parameters
    ----------
    catalog:
        Which revision a name and version mean now.
    uploads:
        Where the blobs of a revision lie.
    launcher, listener:
        What starts kernels, and what they connect to.
    templates:
        What kernels are forked from; None where every kernel starts cold.
    budget:
        What all pools together may use.
    metrics, failures:
        Where calls are counted, and those that fail are kept.
    models:
        Scores realtime services, which have no kernels.
    """

    def __init__(
        self,
        catalog: Catalog,
        uploads: UploadManager,
        launcher: Launcher,
        listener: Listener,
        templates: Templates | None,
        budget: Budget,
        metrics: Metrics,
        failures: FailureManager,
        models: ModelScoring,
    ) -> None:
        self._catalog = catalog
        self._uploads = uploads
        self._launcher = launcher
        self._listener = listener
        self._templates = templates
        self._budget = budget
        self._metrics = metrics
        self._failures = failures
        self._models = models
        self._scored: dict[str, Scored] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._outdated: dict[str, Scored] = {}
        """What is held although its version points elsewhere, by revision."""
        self._encoder = msgspec.msgpack.Encoder()
        self._pools: Counter[str] = Counter()
        """How many pools a revision has, those that are about to end included."""
        self._verified: set[str] = set()
        self._watch: asyncio.Task[None] | None = None
        self._closing = False
        self.last_call = time.monotonic()

    def start(self) -> None:
        """Start the kernels that versions are to have at once, and watch memory from now on."""
        self._watch = asyncio.get_running_loop().create_task(self._watch_memory())
        self._models.start()
        for revision in self._catalog.all():
            if self._catalog.settings(revision).initial_pool_size and revision.definition.model is None:
                self._of(revision).pool.configure(self._catalog.settings(revision))

    async def call(
        self,
        identity: Identity,
        name: str,
        version: str | None,
        body: bytes,
        caller: Caller | None = None,
        path: str = "",
        correlation: str = "",
        form: Form | None = None,
    ) -> Reply | ModelScored:
        """Run one call.

        Parameters
        ----------
        identity:
            The caller.
        name, version:
            The service; without a version, or with `latest`, the last published.
        body:
            A JSON object of inputs; for a batchable service also a list of them, or an object of columns.
        caller:
            Is told how to take the call back.
        path:
            File that holds the body instead, when it is large; see `spool`.
        correlation:
            The id that the caller gets, under which the call is kept if it fails.
        form:
            Of a realtime service: how the body is written, and the answer is to be.

        Raises
        ------
        NotFound, InvalidInput, KernelDied, DeadlineExceeded, Unavailable
            As their names say.
        """
        require(identity, Action.CONSUME)
        self._check_open()
        started = self.last_call = time.monotonic()
        revision = self._catalog.find(name, version)
        if revision.definition.model is not None:
            return await self._models.call(
                identity, revision, body, form or Form(), path=path, caller=caller, correlation=correlation
            )
        if form is not None and form.media == INFERENCE:
            raise no_model(revision)
        scored = self._of(revision)
        timeout = revision.definition.timeout
        outcome = -1
        try:
            if path:
                reply = await scored.pool.call(b"", timeout, checked=False, caller=caller, path=path)
            elif scored.rows is not None:
                reply = await scored.pool.call(b"", timeout, checked=True, rows=scored.rows.read(body), caller=caller)
            else:
                sent = self._encoder.encode(scored.reader.read(body))
                reply = await scored.pool.call(sent, timeout, checked=True, caller=caller)
            outcome = reply.outcome
        except (KernelDied, DeadlineExceeded) as error:
            self._failures.keep(identity, correlation, revision, await _sent(body, path), error.message)
            raise
        finally:
            scored.metrics.count(time.monotonic() - started, outcome)
        if outcome == Outcome.RAISED:
            self._failures.keep(identity, correlation, revision, await _sent(body, path), reply.body)
        return reply

    def spool(self, name: str, version: str | None = None) -> tuple[Path, bool]:
        """A new path for a body too large to be held, and whether writing there is as fast as copying.

        Whoever asked for it removes the file.
        """
        if self._catalog.is_realtime(name, version):
            return self._models.spool()
        return self._launcher.directory / f"body-{secrets.token_hex(8)}", False

    def check_realtime(self) -> None:
        """Refuse models where nothing can score them.

        Raises
        ------
        Unavailable
            Naming what to install.
        """
        self._models.check()

    async def prove(
        self, revision: Revision, settings: PoolSettings, trial: Trial | None
    ) -> tuple[Pool | ModelPool, list[Answer]]:
        """Load a revision in a fresh kernel and let it answer its sample; the pool that holds the kernel, the answers.

        Raises
        ------
        PublishRefused
            When it does not load, or the sample raises, with the reason.
        """
        self._check_open()
        if revision.definition.model is not None:  # its check has run it
            return await self._models.prove(revision), []
        pool = self._pool(revision, settings)
        try:
            self._budget.make_room(pool, coming=1)
            pool.adopt(await self._start(revision, settings))
            answers: list[Answer] = []
            if trial is not None:
                answers = await prove(pool, revision, trial)
                pool.record = CallRecord()  # that was us, not a caller
        except BaseException:
            await self._end(revision.id, pool)
            raise
        return pool, answers

    async def discard(self, revision: Revision, pool: Pool | ModelPool) -> None:
        """End the pool of a revision that was proved, and then could not be recorded."""
        if isinstance(pool, ModelPool):
            await pool.close()
            return
        await self._end(revision.id, pool)

    def adopt(self, revision: Revision, pool: Pool | ModelPool) -> None:
        """Take over the pool of a revision that was proved."""
        if isinstance(pool, ModelPool):
            self._models.adopt(revision, pool)
            return
        inputs = revision.definition.inputs
        self._scored[revision.id] = Scored(
            InputReader(inputs),
            RowsReader(inputs) if revision.definition.batchable else None,
            pool,
            self._metrics.of(revision.name, revision.version),
        )
        pool.configure(pool.settings)

    def configure(self, revision: Revision, settings: PoolSettings) -> None:
        """Change the settings of a revision's pool."""
        pool = self.pool(revision) if revision.definition.model is not None else self._of(revision).pool
        if pool is not None:
            pool.configure(settings)

    def hold(self, revision: Revision) -> Held:
        """Keep a revision callable until it is released, whatever its version points at meanwhile.

        Parameters
        ----------
        revision:
            One that was published, and whose blobs are kept.
        """
        now = self._catalog.get(revision.name, revision.version)
        outdated = now is None or now.id != revision.id
        scored = self._outdated.get(revision.id) if outdated else None
        scored = scored or self._of(revision)
        scored.holds += 1
        scored.released.clear()
        if outdated:
            self.retire(revision)
        return Held(revision, scored, self._touch)

    def model_runner(self, revision: Revision) -> ModelRunner:
        """What scores a batch of a realtime service, as `as_sent` made it."""
        return ModelRunner(self._models, revision, self._touch)

    def retire(self, revision: Revision) -> None:
        """Let the running calls of a revision finish, and whoever holds it, then end its kernels."""
        self._models.retire(revision)
        scored = self._scored.pop(revision.id, None)
        self._verified.discard(revision.id)
        if scored is not None:
            task = asyncio.get_running_loop().create_task(self._leave(revision.id, scored))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def pool(self, revision: Revision) -> Pool | ModelPool | None:
        """The pool of a revision, or None when it has not been called since the server started."""
        if revision.definition.model is not None:
            return self._models.pool(revision)
        scored = self._scored.get(revision.id)
        return scored.pool if scored else None

    async def close(self) -> None:
        """Refuse new calls, let accepted ones finish, for at most half a minute, then end every kernel."""
        self._closing = True
        if self._watch is not None:
            self._watch.cancel()
        tasks = [asyncio.ensure_future(_retire(scored.pool)) for scored in self._scored.values()]
        if tasks or self._retiring:
            await asyncio.gather(*tasks, *self._retiring)
        self._scored.clear()
        await self._models.close()
        if self._templates is not None:
            await self._templates.close()

    def _touch(self) -> None:
        self.last_call = time.monotonic()

    def _check_open(self) -> None:
        if self._closing:
            raise Unavailable("the server is about to end; try again", retry_after=1)

    async def _leave(self, revision: str, scored: Scored) -> None:
        if scored.holds:
            pool = scored.pool
            pool.configure(msgspec.structs.replace(pool.settings, initial_pool_size=0))  # idle ones may go
            self._outdated[revision] = scored
            while scored.holds:  # it may be held again before this comes to its turn
                await scored.released.wait()
            if self._outdated.get(revision) is scored:
                del self._outdated[revision]
        await self._end(revision, scored.pool)

    async def _end(self, revision: str, pool: Pool) -> None:
        await _retire(pool)
        self._pools[revision] -= 1
        # The version may have gone back to this very revision meanwhile: then its new pool needs the template.
        if self._templates is not None and not self._pools[revision]:
            await self._templates.drop(revision)

    def _of(self, revision: Revision) -> Scored:
        scored = self._scored.get(revision.id)
        if scored is None:
            self.adopt(revision, self._pool(revision, self._catalog.settings(revision)))
            scored = self._scored[revision.id]
        return scored

    def _pool(self, revision: Revision, settings: PoolSettings) -> Pool:
        pool = Pool(lambda: self._start(revision, pool.settings), settings, self._budget)
        self._pools[revision.id] += 1
        return pool

    async def _start(self, revision: Revision, settings: PoolSettings) -> Kernel:
        manifest = revision.manifest
        if manifest is not None and revision.id not in self._verified:
            await self._uploads.verify(manifest)
            self._verified.add(revision.id)
        load = make_load(revision, self._uploads, _threads(settings))
        template = None
        if self._templates is not None and not load.files:  # a template has no directory with its own modules
            template = await self._templates.of(revision.id, revision.interpreter, load.stream, load.buffers)
        crashpoint("before the start of a kernel")
        return await Kernel.start(self._launcher, self._listener, revision.interpreter, load, LOAD_SECONDS, template)

    async def _watch_memory(self) -> None:
        """End kernels that use more memory than their version's limit, and idle ones when all use too much."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self._budget.watch_memory()
            for scored in [*self._scored.values(), *self._outdated.values()]:
                limit = scored.pool.settings.memory_limit
                for kernel in scored.pool.kernels() if limit else ():
                    with contextlib.suppress(psutil.Error):
                        if psutil.Process(kernel.pid).memory_info().rss > limit:
                            kernel.kill(f"used more than its memory limit of {limit} bytes, and was ended")


async def _sent(body: bytes, path: str) -> bytes:
    """What the caller sent, unless that is too large to be kept."""
    if not path:
        return body
    size = await asyncio.to_thread(os.path.getsize, path)
    return b"" if size > INPUT_LIMIT else await asyncio.to_thread(Path(path).read_bytes)


def _threads(settings: PoolSettings) -> int:
    """Each kernel's share of the cores when all of the pool are busy."""
    cores = os.cpu_count() or 1
    return max(1, cores // (settings.max_pool_size or cores))


async def _retire(pool: Pool) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            await pool.drain()
    await pool.close()
