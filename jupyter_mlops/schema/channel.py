"""The scoring channel: what the server and a scoring kernel say to each other.

Each message is a MessagePack array behind a four-byte big-endian length. The kernel connects to the
server's socket and greets with its key; the server sends `Load` once and then `Call`s; the kernel
answers with one `Loaded` and one `Reply` a call. Before a call the kernel writes its id into a shared
page (the *start mark*), so that a deadline or a death fails exactly the call that was running, and calls
that were sent ahead can be taken back while the kernel is too busy to read.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from jupyter_mlops.schema.base import CHANNEL_FORMAT
from jupyter_mlops.schema.services import Definition
from jupyter_mlops.schema.snapshots import Environment, Source

LENGTH_BYTES = 4
LARGE_REPLY = 1024 * 1024
"""Bytes from which a reply is handed over in a file."""

MAX_FRAME = 2**32 - 1
MARK_BYTES = 32
"""Size of the shared page: four 64-bit ids as this machine writes them, so that each is written and read whole.

Ids of messages to one kernel only grow, and the kernel takes them in that order.
"""
RUNNING, UNWANTED, BEGUN, WITHDRAWN = range(4)
"""Their places. The kernel writes the call that runs now, 0 for none, and the last one that it began. The server writes
the call to be interrupted, before it sends the signal, and the last call that may not begin any more."""


class Outcome(IntEnum):
    """How a call ended inside the kernel."""

    ANSWERED = 0
    """The function returned."""
    RAISED = 1
    """The function raised, or its answer does not fit the declared outputs."""
    REJECTED = 2
    """The inputs do not fit; the function was not called."""
    INTERRUPTED = 3
    """The call was stopped by an interrupt."""
    ALONE = 4
    """A member of a group that failed as a whole: it must be run by itself."""


class Greeting(msgspec.Struct, frozen=True, array_like=True, tag="greeting"):
    """The kernel's first message."""

    key: str
    pid: int
    python: str
    format: int = CHANNEL_FORMAT


class Load(msgspec.Struct, frozen=True, array_like=True, tag="load"):
    """Make the revision callable: its objects from `stream` and `buffers`, its files from `files`."""

    definition: Definition
    stream: str
    """Path of the pickle stream; empty when the service holds no objects."""
    buffers: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    """(relative path, path of its content)."""
    sources: tuple[Source, ...]
    mark: str
    """Path of the file that holds the start mark."""
    console_limit: int
    artifact_limit: int
    threads: int
    """Threads that BLAS and OpenMP may use: the pool's kernels share the cores."""
    environment: Environment
    """Where the snapshot was captured."""


class Call(msgspec.Struct, frozen=True, array_like=True, tag="call"):
    """One execution.

    `body` is a MessagePack map of inputs that the server has checked when `checked` is true, else the
    caller's own JSON, which the kernel checks. A large body lies in the file `path` instead: it passes the
    server piece by piece, untouched.
    """

    id: int
    body: bytes
    checked: bool
    path: str = ""


class Group(msgspec.Struct, frozen=True, array_like=True, tag="group"):
    """Several calls of a batchable service that run as one.

    `columns` is a MessagePack map of input name to the values of all rows. `rows` says, member by member,
    how many of them are its own; -1 for one row whose outputs are single values rather than columns.
    """

    id: int
    rows: tuple[int, ...]
    columns: bytes


class Slice(msgspec.Struct, frozen=True, array_like=True, tag="slice"):
    """Some rows of a batch, which the kernel reads from one file and whose results it appends to another.

    Each row, or each group of rows that runs as one, has an id of its own from `id` on, in the order in which they
    run, so that the start mark tells which runs: it can be interrupted, and the rest withdrawn.
    """

    id: int
    path: str
    """File of the batch's inputs."""
    offset: int
    length: int
    """Where the chunk lies in it: see `jupyter_mlops.chunks`."""
    start: int
    """The first row to run, in the chunk."""
    count: int
    """Rows to run."""
    first: int
    """Index of the first row in the batch."""
    columnar: bool
    """Whether the chunk holds columns, and its rows run as one."""
    results: str
    """File that takes the results: see `jupyter_mlops.recording`."""
    end: int
    """Where they begin in it; what is there beyond is forgotten."""
    seconds: float
    """Time after which no further row begins."""
    pause: float = 0.0
    """Seconds after which rows that run as one are to let a call go first, if one waits; 0 when none is expected."""

    def last(self) -> int:
        """The greatest id that anything of it has: halving a group needs less than twice its rows."""
        return self.id + 2 * self.count


class Open(msgspec.Struct, frozen=True, array_like=True, tag="open"):
    """Become a session: the answer is `Loaded`, what follows are requests, and each is answered by `Done`."""

    mark: str
    """Path of the file that holds the start mark."""
    console: str
    """Path of the file that takes what an execution prints, while it prints."""
    console_limit: int
    threads: int


class Execute(msgspec.Struct, frozen=True, array_like=True, tag="execute"):
    """To a session: set variables, run code, read variables."""

    id: int
    code: str
    inputs: bytes
    """A MessagePack map of variable to value."""
    outputs: tuple[str, ...]


class ListObjects(msgspec.Struct, frozen=True, array_like=True, tag="list-objects"):
    """To a session: the names of the user's variables."""

    id: int


class SetObject(msgspec.Struct, frozen=True, array_like=True, tag="set-object"):
    """To a session: make the variable `name` of the pickle (by dill) in the file `path`."""

    id: int
    name: str
    path: str


class GetObject(msgspec.Struct, frozen=True, array_like=True, tag="get-object"):
    """To a session: pickle the variable `name` by dill into the new file `path`."""

    id: int
    name: str
    path: str


class DeleteObject(msgspec.Struct, frozen=True, array_like=True, tag="delete-object"):
    """To a session: forget the variable `name`."""

    id: int
    name: str


class Capture(msgspec.Struct, frozen=True, array_like=True, tag="capture"):
    """To a session: write a snapshot's blobs, each under its digest, into `folder`; `Done` holds the manifest."""

    id: int
    folder: str


class Restore(msgspec.Struct, frozen=True, array_like=True, tag="restore"):
    """To a session: add a snapshot's objects to the variables, and its files to the working directory."""

    id: int
    stream: str
    buffers: tuple[str, ...]
    files: tuple[tuple[str, str], ...]


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """A session's answer: `body` as the request says, or the class of `jupyter_mlops.errors` that says why not."""

    id: int
    body: bytes = b""
    error: str = ""
    message: str = ""


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """Do not run this call if it has not begun."""

    id: int


class Loaded(msgspec.Struct, frozen=True, array_like=True, tag="loaded"):
    """The answer to `Load`: an empty error when the revision is callable."""

    error: str
    differences: tuple[str, ...] = ()
    """What is not as it was where the snapshot was captured, a line each."""


class Reply(msgspec.Struct, frozen=True, array_like=True, tag="reply"):
    """The answer to one `Call`: `body` is the finished JSON of the execution's result.

    A large one lies in the file `path` instead, which is the server's to remove.
    """

    id: int
    outcome: int
    body: bytes
    seconds: float
    path: str = ""


class GroupReply(msgspec.Struct, frozen=True, array_like=True, tag="group-reply"):
    """The answers to one `Group`, member by member."""

    id: int
    outcomes: tuple[int, ...]
    bodies: tuple[bytes, ...]
    seconds: float


class SliceReply(msgspec.Struct, frozen=True, array_like=True, tag="slice-reply"):
    """The answer to a `Slice`: what is in the file of results is whole, and nothing is added to it."""

    id: int
    done: int
    """Rows that have a result, counted from the first."""
    seconds: float
    full: bool = False
    """Whether it ended early because the disk is full."""
    end: int = 0
    """Where its results end in the file, when every row was answered and did nothing else; 0 when the file must be read
    to know what there is.
    """
    busy: float = 0.0
    """How long these rows took, all together."""


class Withdrawn(msgspec.Struct, frozen=True, array_like=True, tag="withdrawn"):
    """The answer to a `Call` or `Group` that the server withdrew in time: nothing of it was run."""

    id: int


class Warm(msgspec.Struct, frozen=True, array_like=True, tag="warm"):
    """To a template: import these modules and load this snapshot, so that its forks have them."""

    modules: tuple[str, ...]
    stream: str
    buffers: tuple[str, ...]


class Warmed(msgspec.Struct, frozen=True, array_like=True, tag="warmed"):
    """The answer to `Warm`."""

    error: str
    modules: tuple[str, ...]
    """Top-level modules that the snapshot brought in; importing them early makes the next one faster."""
    forkable: bool
    """False when loading started threads: a fork would not have them."""


class Fork(msgspec.Struct, frozen=True, array_like=True, tag="fork"):
    """To a template: fork. The child is a kernel that runs `arguments`, or, without any, another template."""

    arguments: tuple[str, ...]
    directory: str
    environment: dict[str, str]
    log: str


class Forked(msgspec.Struct, frozen=True, array_like=True, tag="forked"):
    """The answer to `Fork`."""

    pid: int


SessionRequest = Execute | ListObjects | SetObject | GetObject | DeleteObject | Capture | Restore
ToKernel = Load | Call | Group | Slice | Cancel | Open | SessionRequest
ToTemplate = Warm | Fork
Answer = Reply | GroupReply | SliceReply | Withdrawn | Done
"""What comes back for something that was sent to a kernel."""
ToServer = Greeting | Loaded | Answer | Warmed | Forked
