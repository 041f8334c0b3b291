"""Calls: from a checked body to a kernel of the right revision and back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import msgspec

from jupyter_mlops.errors import InvalidInput, PublishRefused
from jupyter_mlops.inputs import InputReader
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.channel import Load, Outcome, Reply
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.kernels.channel import Listener
from jupyter_mlops.server.kernels.kernel import Kernel
from jupyter_mlops.server.kernels.launcher import Launcher
from jupyter_mlops.server.kernels.pool import Pool
from jupyter_mlops.server.kernels.templates import Templates
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.catalog import Catalog
from jupyter_mlops.server.managers.uploads import UploadManager

DECODE_LIMIT = 64 * 1024
"""Bytes up to which the server itself decodes a body; a larger one would hold up everybody's calls."""

CONSOLE_LIMIT = 2**20
ARTIFACT_LIMIT = 64 * 2**20
LOAD_SECONDS = 120.0
DRAIN_SECONDS = 30.0


@dataclass
class _Scored:
    """A revision with what its calls need."""

    reader: InputReader
    pool: Pool


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
    """

    def __init__(
        self, catalog: Catalog, uploads: UploadManager, launcher: Launcher, listener: Listener, templates: Templates | None
    ) -> None:
        self._catalog = catalog
        self._uploads = uploads
        self._launcher = launcher
        self._listener = listener
        self._templates = templates
        self._scored: dict[str, _Scored] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._encoder = msgspec.msgpack.Encoder()
        self._verified: set[str] = set()
        self.last_call = time.monotonic()

    async def call(self, identity: Identity, name: str, version: str | None, body: bytes) -> Reply:
        """Run one call.

        Parameters
        ----------
        identity:
            The caller.
        name, version:
            The service; without a version, or with `latest`, the last published.
        body:
            A JSON object of inputs.

        Raises
        ------
        NotFound, InvalidInput, KernelDied, DeadlineExceeded, Unavailable
            As their names say.
        """
        require(identity, Action.CONSUME)
        self.last_call = time.monotonic()
        revision = self._catalog.find(name, version)
        scored = self._of(revision)
        checked = len(body) <= DECODE_LIMIT
        sent = self._encoder.encode(scored.reader.read(body)) if checked else body
        return await scored.pool.call(sent, revision.definition.timeout, checked=checked)

    async def prove(self, revision: Revision, sample: dict[str, Any] | None) -> Pool:
        """Load a revision in a fresh kernel and let it answer its sample; the pool that holds the kernel.

        Raises
        ------
        PublishRefused
            When it does not load, or the sample raises, with the reason.
        """
        pool = self._pool(revision)
        pool.adopt(await self._start(revision))
        if sample is None:
            return pool
        try:
            reply = await pool.call(self._encoder.encode(sample), revision.definition.timeout, checked=True)
        except InvalidInput:
            await pool.close()
            raise
        except BaseException as error:
            await pool.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise PublishRefused(f"the service did not answer its sample: {error}", fields="$.sample") from error
        if reply.outcome != Outcome.ANSWERED:
            await pool.close()
            result = msgspec.json.decode(reply.body, type=WebServiceResult)
            printed = f"\nIt printed:\n{result.console_output}" if result.console_output else ""
            raise PublishRefused(
                f"the sample raised in a fresh kernel:\n{result.error_message}{printed}", fields="$.sample"
            )
        return pool

    def adopt(self, revision: Revision, pool: Pool) -> None:
        """Take over the pool of a revision that was proved."""
        self._scored[revision.id] = _Scored(InputReader(revision.definition.inputs), pool)

    def retire(self, revision: Revision) -> None:
        """Let the running calls of a revision finish, then end its kernels."""
        scored = self._scored.pop(revision.id, None)
        self._verified.discard(revision.id)
        if scored is not None:
            task = asyncio.get_running_loop().create_task(self._end(revision.id, scored.pool))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def pool(self, revision: Revision) -> Pool | None:
        """The pool of a revision, or None when it has not been called since the server started."""
        scored = self._scored.get(revision.id)
        return scored.pool if scored else None

    async def close(self) -> None:
        """Let running calls finish, for at most half a minute, then end every kernel."""
        pools = [scored.pool for scored in self._scored.values()]
        tasks = [asyncio.ensure_future(_retire(pool)) for pool in pools] + list(self._retiring)
        if tasks:
            await asyncio.gather(*tasks)
        self._scored.clear()
        if self._templates is not None:
            await self._templates.close()

    async def _end(self, revision: str, pool: Pool) -> None:
        await _retire(pool)
        if self._templates is not None:
            await self._templates.drop(revision)

    def _of(self, revision: Revision) -> _Scored:
        scored = self._scored.get(revision.id)
        if scored is None:
            self.adopt(revision, self._pool(revision))
            scored = self._scored[revision.id]
        return scored

    def _pool(self, revision: Revision) -> Pool:
        return Pool(lambda: self._start(revision))

    async def _start(self, revision: Revision) -> Kernel:
        manifest = revision.manifest
        if manifest is not None and revision.id not in self._verified:
            await self._uploads.verify(manifest)
            self._verified.add(revision.id)
        load = Load(
            definition=revision.definition,
            stream=self._uploads.path(manifest.stream) if manifest else "",
            buffers=tuple(self._uploads.path(blob) for blob in manifest.buffers) if manifest else (),
            files=tuple((file.path, self._uploads.path(file.blob)) for file in manifest.files) if manifest else (),
            sources=manifest.sources if manifest else (),
            mark="",
            console_limit=CONSOLE_LIMIT,
            artifact_limit=ARTIFACT_LIMIT,
        )
        template = None
        if self._templates is not None:
            template = await self._templates.of(revision.id, revision.interpreter, load.stream, load.buffers)
        return await Kernel.start(
            self._launcher, self._listener, revision.interpreter, load, LOAD_SECONDS, template
        )


async def _retire(pool: Pool) -> None:
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await pool.drain()
    except TimeoutError:
        pass
    await pool.close()
