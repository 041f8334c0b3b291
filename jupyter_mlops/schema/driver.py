"""What the server and its batch driver say to each other, and the driver to the workers of a Dask cluster.

The driver connects to the server's socket and greets like a scoring kernel. It runs each `Run` on the cluster, appends
what comes back to the file of results that the slice names, as a kernel of this machine would, and answers with `Ran`.
"""

from __future__ import annotations

import msgspec

from jupyter_mlops.schema.channel import Load, Slice


class Join(msgspec.Struct, frozen=True, array_like=True, tag="join"):
    """To the driver, first: which cluster it works on."""

    scheduler: str
    """Address of the scheduler, such as `tcp://10.0.0.5:8786`."""


class Hold(msgspec.Struct, frozen=True, array_like=True, tag="hold"):
    """To the driver: slices of this revision will come; workers get its snapshot when they first need it."""

    revision: str
    load: Load


class Drop(msgspec.Struct, frozen=True, array_like=True, tag="drop"):
    """To the driver: no more slices of this revision will come."""

    revision: str


class Run(msgspec.Struct, frozen=True, array_like=True, tag="run"):
    """To the driver: have a slice run."""

    id: int
    revision: str
    timeout: float
    """Seconds that a row, or a group of rows that runs as one, may take."""
    priority: int
    slice: Slice


class Halt(msgspec.Struct, frozen=True, array_like=True, tag="halt"):
    """To the driver: end slices, at once or gently after the rows that run; each is still answered with `Ran`."""

    ids: tuple[int, ...]
    gently: bool


class Linked(msgspec.Struct, frozen=True, array_like=True, tag="linked"):
    """From the driver, whenever it changes: how the cluster is."""

    error: str
    """Why nothing can run on it; empty when something can."""
    slots: int
    """How many slices can run at a time."""


class Ran(msgspec.Struct, frozen=True, array_like=True, tag="ran"):
    """The answer to `Run`: what is in the file of results is whole, and nothing is added to it."""

    id: int
    done: int | None = None
    """Rows that have a result; None when what ran them ended, so that the file has to tell."""
    seconds: float = 0.0
    full: bool = False
    """Whether the results did not fit on the disk."""
    row: int | None = None
    """Index of the row that ran at that end, if one ran."""
    reason: str = ""
    """Why it ended."""
    again: int = 0
    """How often it was begun by workers that were lost."""
    error: str = ""
    """Why nothing of it was run."""
    stuck: bool = False
    """Whether that is for the service's sake, and not for want of a cluster."""


class Task(msgspec.Struct, frozen=True, array_like=True):
    """To a worker of the cluster, with the rows as `chunks.pack_columns`: run them."""

    format: int
    room: str
    """Names the revision, and the driver that brought it."""
    number: int
    """Names the slice, and is the `Run`'s id."""
    count: int
    first: int
    columnar: bool
    seconds: float
    timeout: float


class Yield(msgspec.Struct, frozen=True, array_like=True):
    """What a task returns."""

    worker: str
    """The worker's address."""
    missing: bool = False
    """Whether nothing was run, because the worker does not have the revision yet."""
    error: str = ""
    """Why nothing was run."""
    done: int | None = None
    seconds: float = 0.0
    row: int | None = None
    reason: str = ""
    results: bytes = b""
    """Frames of `jupyter_mlops.recording`."""


ToDriver = Join | Hold | Drop | Run | Halt
