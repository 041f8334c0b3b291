"""Batches: who may submit, see, cancel and delete them, how many there may be, and how long they are kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from jupyter_mlops.errors import Conflict, DiskFull, InternalError, KeyReused, MLOpsError, NotFound, Unavailable
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.batches import BatchProgress, BatchState, Engine
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.batch import Batch, now_text
from jupyter_mlops.server.managers.batch_answers import BatchAnswers
from jupyter_mlops.server.managers.batch_keeping import BatchKeeping, BatchLimits, without
from jupyter_mlops.server.managers.batch_run import BatchRun
from jupyter_mlops.server.managers.batch_runner import KernelRunner, Runner
from jupyter_mlops.server.managers.batch_submission import (
    Asked,
    Receiving,
    check,
    check_key,
    check_room,
    fingerprint,
    record_of,
    write_inputs,
)
from jupyter_mlops.server.managers.batch_webhook import Webhooks
from jupyter_mlops.server.managers.catalog import LATEST, Catalog
from jupyter_mlops.server.managers.events import Events
from jupyter_mlops.server.managers.executions import ExecutionManager
from jupyter_mlops.server.managers.model_runner import as_sent, holds_frames
from jupyter_mlops.server.managers.uploads import UploadManager
from jupyter_mlops.server.stores.batch_files import BatchFiles
from jupyter_mlops.server.stores.batches import BatchRecord, BatchStore, Standing, Try
from jupyter_mlops.server.stores.crash import crashpoint

log = logging.getLogger(__name__)

UNFINISHED_PER_USER = 20
CLOSE_SECONDS = 2.0
"""How long the rows that run may take to end with the server."""


class BatchManager:
    """Runs batches; what it has accepted outlives this process.

    Parameters
    ----------
    catalog, executions, uploads:
        Which revision a name and version mean now, what runs slices of it, and what keeps its blobs.
    store, files:
        Where batches are kept.
    events:
        What viewers are told by.
    limits:
        The settings.
    """

    def __init__(
        self,
        catalog: Catalog,
        executions: ExecutionManager,
        uploads: UploadManager,
        store: BatchStore,
        files: BatchFiles,
        events: Events,
        limits: BatchLimits,
    ) -> None:
        self._catalog = catalog
        self._executions = executions
        self._uploads = uploads
        self._store = store
        self._files = files
        self._events = events
        self._limits = limits
        self._receiving = Receiving()
        self._batches: dict[str, Batch] = {}
        self._runs: dict[str, BatchRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping = BatchKeeping(self._batches, self._runs, store, files, uploads, limits)
        self._webhooks = Webhooks(files, limits.webhook_hosts)
        self._closing = False
        self.answers = BatchAnswers(store, files, self._keeping.unused)
        self.engines: dict[Engine, Callable[[BatchRecord], Runner]] = {Engine.LOCAL: self._local}
        """What makes the runner of a batch."""
        self.missing: dict[Engine, str] = {}
        """Why there is no such engine here."""

    async def open(self) -> None:
        """Read what there is, and remove what a server before this one left half done."""
        for record, standing in await self._store.all():
            self._batches[record.id] = Batch(record, standing, self._tell)
        await asyncio.to_thread(self._files.open, set(self._batches))

    async def start(self) -> None:
        """Go on with the batches that have not ended, and remove old ones from now on."""
        for batch in list(self._batches.values()):
            if not batch.done:
                self._run(batch, resumed=True)
        self._webhooks.catch_up(self._batches.values())
        self._keeping.start()

    async def close(self) -> None:
        """Let the rows that run end, for a moment; the batches go on when a server starts again."""
        self._closing = True
        for run in self._runs.values():
            run.stop(gently=True)
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for run in list(self._runs.values()):
                run.stop(gently=False)
            if pending:
                await asyncio.wait(pending)
        await self._keeping.close()

    @contextlib.contextmanager
    def receive(self, identity: Identity, key: str | None, announced: int) -> Iterator[Path]:
        """A path for the body of a new batch; what is there goes when this ends.

        Parameters
        ----------
        identity:
            The caller.
        key:
            What the caller may repeat the submission with.
        announced:
            Bytes that are said to come.

        Raises
        ------
        InvalidRequest, Conflict, DiskFull
            When the key is none, a body with it is arriving just now, or the disk has too little room.
        """
        require(identity, Action.CONSUME)
        self._check_open()
        check_key(key)
        check_room(announced, shutil.disk_usage(self._files.directory).free)
        with self._receiving.of(identity.name, key):
            path = self._files.incoming()
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    async def submit(self, identity: Identity, asked: Asked, path: Path) -> str:
        """Begin a batch on the revision that the version has now; its id.

        When this returns, the batch is on disk, and goes on whatever happens to this process.

        Parameters
        ----------
        identity:
            The caller.
        asked:
            What the caller wants.
        path:
            The body, whole, where `receive` said.

        Raises
        ------
        InvalidInput
            With the path of the first value that does not fit the declared inputs, such as `$[3].hp`.
        Conflict
            When the user has as many unfinished batches as one may have.
        KeyReused
            When the key came before with something else.
        """
        require(identity, Action.CONSUME)
        self._check_open()
        print_ = "" if asked.key is None else await asyncio.to_thread(fingerprint, path, asked)
        if (known := self._known(identity, asked.key, print_)) is not None:
            return known
        frames = await asyncio.to_thread(holds_frames, path)
        revision = as_sent(self._catalog.find(asked.name, asked.version), frames=frames)
        engines = self.engines if revision.definition.model is None else [Engine.LOCAL]
        settings = check(asked, self._limits.most_parallel, engines, self._limits.webhook_hosts, self.missing)
        self._admit(identity)
        identifier = str(uuid.uuid4())
        with self._uploads.leased(revision.manifest) if revision.manifest else contextlib.nullcontext():
            chunks = await asyncio.to_thread(
                write_inputs, self._files, identifier, path, asked.content_type, revision.definition
            )
            total = sum(chunk.count for chunk in chunks)
            record = record_of(identifier, identity, revision, settings, total, asked.key, print_)
            state = BatchState.READY if total else BatchState.COMPLETE
            ended = "" if total else now_text()
            try:
                new = await self._store.add(record, chunks, state, ended)
            except DiskFull:
                await asyncio.to_thread(self._files.remove, identifier)
                raise
            if not new:
                await asyncio.to_thread(self._files.remove, identifier)
                return self._known(identity, asked.key, print_) or identifier
        batch = Batch(record, Standing(state=state, ended=ended), self._tell)
        self._batches[identifier] = batch
        batch.changed()
        crashpoint("before a new batch starts")
        if batch.done:
            self._over(batch)
        else:
            self._run(batch)
        return identifier

    def ids(self, identity: Identity, name: str, version: str) -> list[str]:
        """The caller's batches of a version, for Owners everybody's; oldest first.

        With `latest` they are those of every version of the service.
        """
        require(identity, Action.CONSUME)
        self._catalog.find(name, version)
        return [batch.id for batch in self._batches.values() if _at(batch, name, version) and _visible(batch, identity)]

    def all(self, identity: Identity) -> list[BatchProgress]:
        """How far the caller's batches are, for Owners everybody's; newest first."""
        require(identity, Action.CONSUME)
        return [batch.progress() for batch in reversed(self._batches.values()) if _visible(batch, identity)]

    def find(self, identity: Identity, identifier: str, name: str = "", version: str = "") -> Batch:
        """A batch of the caller, or for Owners anybody's.

        Parameters
        ----------
        identity:
            The caller.
        identifier:
            The batch.
        name, version:
            The service, where the address names it.

        Raises
        ------
        NotFound
            When the caller has no such batch.
        """
        require(identity, Action.CONSUME)
        batch = self._batches.get(identifier)
        if batch is None or not _visible(batch, identity) or (name and not _at(batch, name, version)):
            if name:
                self._catalog.find(name, version)
            where = f"/api/{name}/{version}/batch" if name else "/batches"
            of = f" of service {name} version {version}" if name else ""
            hours = f"{self._limits.kept_seconds / 3600:g} hours"
            raise NotFound(
                f"you have no such batch{of}; GET {where} lists yours (a batch is kept for {hours} after its end)",
                fields="executionId",
            )
        return batch

    def visible(self, identity: Identity, batch: Batch) -> bool:
        """Whether the caller may see a batch."""
        return _visible(batch, identity)

    async def cancel(self, batch: Batch) -> BatchProgress:
        """End a batch, and keep the results that are recorded; one that has ended is left as it is.

        Rows that run are stopped within a second of the answer.
        """
        if not batch.done:
            batch.end(BatchState.CANCELLED)
            await self._store.set_state(batch.id, batch.standing)
            if batch.id in self._runs:
                self._runs[batch.id].stop(gently=False)
        return batch.progress()

    async def retry(self, batch: Batch) -> BatchProgress:
        """Have the rows that failed, and those that have no result, run again.

        Raises
        ------
        Conflict
            While the batch runs.
        """
        self._check_open()
        if not batch.done or batch.id in self._runs:
            raise Conflict(f"the batch is {batch.standing.state}: wait until it has ended, or cancel it first")
        failed = await self._store.failures(batch.id)
        standing = batch.standing
        if not failed and standing.completed == batch.record.total:
            return batch.progress()
        state = Standing(state=BatchState.IN_PROGRESS, started=standing.started)
        gone, kept = await without(self._store, self._files, batch.id, failed)
        if batch.standing is not standing or batch.deleted:
            raise Conflict("the batch was retried or deleted by somebody else meanwhile")
        batch.standing = state  # before anything is waited for, so that it is done once
        tries = [Try(row, 1, "retry") for row in failed]
        try:
            await self._store.retry(batch.id, state, gone, kept, tries)
        except DiskFull:
            batch.standing = standing
            raise
        batch.standing = await self._store.standing(batch.id)
        batch.begin()
        self._run(batch)
        return batch.progress()

    def delete(self, batch: Batch) -> Awaitable[None]:
        """Cancel a batch, if it runs, and delete it; it is out of sight at once."""
        return self._keeping.delete(batch)

    def _known(self, identity: Identity, key: str | None, print_: str) -> str | None:
        """The batch that the caller submitted with this key before."""
        for batch in self._batches.values() if key is not None else ():
            if (batch.record.owner, batch.record.key) == (identity.name, key):
                if batch.record.fingerprint != print_:
                    raise KeyReused(
                        f"this Idempotency-Key came before with another request, which began the batch {batch.id}; "
                        "send what you sent then, or take a new key",
                        fields="Idempotency-Key",
                    )
                return batch.id
        return None

    def _admit(self, identity: Identity) -> None:
        count = sum(batch.record.owner == identity.name and not batch.done for batch in self._batches.values())
        if count >= UNFINISHED_PER_USER:
            raise Conflict(
                f"you have {count} unfinished batches, as many as one user may have; wait until one is complete, or "
                "cancel one (DELETE /api/NAME/VERSION/batch/ID; GET /api/NAME/VERSION/batch lists them)"
            )

    def _check_open(self) -> None:
        if self._closing:
            raise Unavailable("the server is about to end; try again", retry_after=1)

    def _local(self, record: BatchRecord) -> Runner:
        """What scores a batch on this machine."""
        if record.revision.definition.model is not None:
            return self._executions.model_runner(record.revision)
        return KernelRunner(self._executions.hold(record.revision), record.id, record.priority)

    def _run(self, batch: Batch, *, resumed: bool = False) -> None:
        """Go on with a batch, in a task of its own."""
        try:
            runner = self.engines[batch.record.engine](batch.record)
        except KeyError:
            batch.wait_for(f"this server has no engine {batch.record.engine}")
            return
        run = BatchRun(batch, runner, self._store, self._files, resumed=resumed)
        self._runs[batch.id] = run
        task = asyncio.get_running_loop().create_task(self._work(batch, run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, batch: Batch, run: BatchRun) -> None:
        reason = ""
        try:
            if batch.standing.state is not BatchState.IN_PROGRESS or not batch.standing.started:
                batch.begin()
                await self._store.set_state(batch.id, batch.standing)
            await run.run()
        except MLOpsError as error:
            reason = error.message
        except Exception:
            log.exception("batch %s met a defect", batch.id)
            reason = InternalError().message
        finally:
            self._runs.pop(batch.id, None)
        if batch.deleted or batch.done:
            batch.changed()
            return
        if not reason and batch.standing.completed < batch.record.total:
            return  # the server ends, and another one will go on
        if self._closing and reason:
            return
        batch.end(BatchState.FAILED if reason else BatchState.COMPLETE, reason)
        with contextlib.suppress(MLOpsError):  # a full disk: the next server finds it complete
            await self._store.set_state(batch.id, batch.standing)
        self._over(batch)

    def _over(self, batch: Batch) -> None:
        """What follows the end of a batch."""
        one = batch.progress()
        told = f"{one.state}, {one.completed} rows, {one.failed} failed"
        log.info("batch %s of %s/%s by %s ended: %s", batch.id, one.name, one.version, one.owner, told)
        self._webhooks.tell(batch)
        self._keeping.trim(batch.record.owner)

    def _tell(self, batch: Batch) -> None:
        self._events.emit_batch(batch)


def _at(batch: Batch, name: str, version: str) -> bool:
    revision = batch.record.revision
    return revision.name == name and version in {LATEST, revision.version}


def _visible(batch: Batch, identity: Identity) -> bool:
    return batch.record.owner == identity.name or identity.may(Action.MANAGE_ALL)
