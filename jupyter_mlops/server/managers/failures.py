"""Keeps calls that raised, for whoever published the service to look at and to repeat."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from jupyter_mlops.errors import NotFound
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.failures import Failure, FailureView
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.catalog import Catalog
from jupyter_mlops.server.stores.failures import FailureStore
from jupyter_mlops.server.stores.services import ServiceStore

INPUT_LIMIT = 2**20
MOST_WAITING = 100

T = TypeVar("T")

log = logging.getLogger(__name__)


class FailureManager:
    """Keeps failures beside the scoring path: a call waits for nothing here, and a flood of failures is thinned.

    Parameters
    ----------
    store:
        Where they are kept.
    services, catalog:
        Which revisions a version has had, and who published it.
    """

    def __init__(self, store: FailureStore, services: ServiceStore, catalog: Catalog) -> None:
        self._store = store
        self._services = services
        self._catalog = catalog
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="failures")
        self._waiting = 0

    async def open(self) -> None:
        """Forget the failures of revisions that are gone."""
        known = await self._services.revision_ids()
        await self._run(lambda: self._store.open(known))

    def close(self) -> None:
        """Finish what is under way."""
        self._thread.shutdown()

    def keep(
        self, identity: Identity, correlation: str, revision: Revision, inputs: bytes, answer: bytes | str
    ) -> None:
        """Keep a call that raised, soon, unless its service is private, its input large, or too many come at once.

        Parameters
        ----------
        identity:
            The caller.
        correlation:
            The id that the caller got.
        revision:
            What was called.
        inputs:
            The body that was sent: JSON.
        answer:
            The finished JSON of the answer, or, where there is none, what the caller was told.
        """
        if revision.definition.private or not answer or not 0 < len(inputs) <= INPUT_LIMIT:
            return
        if self._waiting >= MOST_WAITING:
            return
        when = dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")

        def work() -> None:
            if isinstance(answer, str):
                result = WebServiceResult(success=False, error_message=answer)
            else:
                result = msgspec.json.decode(answer, type=WebServiceResult)
            self._store.keep(
                Failure(
                    id=correlation,
                    when=when,
                    revision=revision.number,
                    revision_id=revision.id,
                    caller=identity.name,
                    inputs=msgspec.Raw(inputs),
                    error_message=result.error_message,
                    console_output=result.console_output,
                )
            )

        self._waiting += 1
        asyncio.get_running_loop().run_in_executor(self._thread, work).add_done_callback(self._kept)

    async def list(self, identity: Identity, name: str, version: str) -> list[FailureView]:
        """The kept failures of a version, newest first.

        Raises
        ------
        Forbidden
            When the version is somebody else's: inputs are the callers' own data.
        """
        revisions = await self._revisions(identity, name, version)
        return [failure.view() for failure in await self._run(lambda: self._store.of(revisions))]

    async def find(self, identity: Identity, name: str, version: str, identifier: str) -> Failure:
        """A kept failure of a version with its inputs.

        Raises
        ------
        NotFound
            When none of that id is kept.
        """
        revisions = await self._revisions(identity, name, version)
        failure = await self._run(lambda: self._store.find(revisions, identifier))
        if failure is None:
            raise NotFound(
                f"no failed call {identifier[:80]!r} of {name} {version} is kept; GET .../failures lists those that "
                "are (the newest of each error; none of private services)",
                fields="$.id",
            )
        return failure

    async def forget(self, identity: Identity, name: str, version: str) -> None:
        """Remove every kept failure of a version."""
        revisions = await self._revisions(identity, name, version)
        await self._run(lambda: self._store.forget(revisions))

    async def _revisions(self, identity: Identity, name: str, version: str) -> tuple[str, ...]:
        require(identity, Action.PUBLISH)
        revision = self._catalog.mine(identity, name, version)
        return tuple(one.id for one in await self._services.revisions(revision.name, revision.version))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _kept(self, done: asyncio.Future[None]) -> None:
        self._waiting -= 1
        error = done.exception()
        if isinstance(error, OSError):  # a full disk must not matter to anybody who calls
            log.warning("a failed call could not be kept: %s", error)
        elif error is not None:
            raise error
