"""What scores the slices of a batch on a Dask cluster, through the batch driver."""

from __future__ import annotations

from jupyter_mlops.errors import Unavailable
from jupyter_mlops.schema.batches import Engine
from jupyter_mlops.schema.channel import Slice
from jupyter_mlops.server.cluster.driver import Driver
from jupyter_mlops.server.kernels.slicing import SliceEnd
from jupyter_mlops.server.managers.batch_runner import RANK
from jupyter_mlops.server.managers.batches import BatchManager
from jupyter_mlops.server.managers.loads import make_load
from jupyter_mlops.server.managers.uploads import UploadManager
from jupyter_mlops.server.stores.batches import BatchRecord

UNKNOWN_SLOTS = 64
"""How many slices may run at a time while nobody knows how large the cluster is."""
RETRY_SECONDS = 1.0


class ClusterRunner:
    """Scores slices by the workers of a Dask cluster.

    Parameters
    ----------
    driver:
        The way to the cluster.
    uploads:
        Where the revision's blobs lie.
    record:
        The batch.
    """

    lacks = "the Dask cluster cannot go on"

    def __init__(self, driver: Driver, uploads: UploadManager, record: BatchRecord) -> None:
        self._driver = driver
        self._uploads = uploads
        self._record = record
        self._rank = RANK[record.priority]
        self._running: set[int] = set()
        self._verified = False
        self._stuck = False
        driver.hold(record.revision.id, make_load(record.revision, uploads, threads=1))

    def width(self) -> int:
        """Two for each thread of the cluster, so that none waits for the next slice."""
        return 2 * self._driver.slots or UNKNOWN_SLOTS

    async def run(self, request: Slice) -> SliceEnd:
        """Score a slice, when a worker has time for it."""
        revision = self._record.revision
        if not self._verified and revision.manifest is not None:
            await self._uploads.verify(revision.manifest)
            self._verified = True
        number, future = await self._driver.run(revision.id, request, revision.definition.timeout, self._rank)
        self._running.add(number)
        try:
            ran = await future
        finally:
            self._running.discard(number)
        self._stuck = ran.stuck
        if ran.error:
            raise Unavailable(ran.error, retry_after=RETRY_SECONDS)
        return SliceEnd(ran.done, ran.seconds, ran.full, ran.row, ran.reason, ran.again)

    def stop(self, *, gently: bool) -> None:
        """End what runs."""
        self._driver.halt(tuple(self._running), gently=gently)

    def stuck(self) -> bool:
        """Whether the last slice could not run for the service's sake; a cluster that is away is waited for."""
        return self._stuck

    def release(self) -> None:
        """Let the workers forget the revision."""
        self._driver.drop(self._record.revision.id)


def add_cluster(batches: BatchManager, driver: Driver | str, uploads: UploadManager) -> None:
    """Let batches run on a Dask cluster, or have them refused who ask for one.

    Parameters
    ----------
    batches:
        What takes batches.
    driver:
        The way to the cluster, or why there is none.
    uploads:
        Where the blobs of revisions lie.
    """
    if isinstance(driver, str):
        batches.missing[Engine.DASK] = driver
    else:
        batches.engines[Engine.DASK] = lambda record: ClusterRunner(driver, uploads, record)
