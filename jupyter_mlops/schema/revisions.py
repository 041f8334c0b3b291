"""Where a revision came from, and what its publisher sees of it later."""

from __future__ import annotations

from jupyter_mlops.schema.base import Wire
from jupyter_mlops.schema.snapshots import Captured, Environment
from jupyter_mlops.schema.types import Parameter


class Cell(Wire, frozen=True):
    """A notebook cell that the revision's code came from."""

    source: str
    execution_count: int | None = None


class Provenance(Wire, frozen=True):
    """Where a revision came from, as far as the publishing kernel could tell."""

    notebook: str = ""
    """Its file name."""
    cells: tuple[Cell, ...] = ()
    commit: str = ""
    """The git commit of the folder; empty outside a repository."""
    dirty: bool = False
    """Whether the folder had changes that are not in the commit."""


class RevisionView(Wire, frozen=True):
    """A revision in `GET /services/{n}/{v}/revisions`."""

    number: int
    current: bool
    """Whether the version points at it."""
    created: str
    published_by: str
    proof: str
    description: str | None
    code: str
    init_code: str
    function: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    artifacts: tuple[str, ...]
    batchable: bool
    timeout: float
    captured: tuple[Captured, ...]
    files: tuple[str, ...]
    snapshot_size: int
    environment: Environment
    interpreter: str
    provenance: Provenance
    sample: str = ""
    """The inputs that it was proved with, as JSON; empty when there were none, or large."""
    answer: str = ""
    """What a fresh kernel answered to them, as JSON, a list for several rows; empty when that is large."""


class RollbackRequest(Wire, frozen=True):
    """Body of `POST /services/{n}/{v}/rollback`."""

    revision: int
    """Number of the revision that the version shall point at."""
