"""The scoring channel of realtime workers: processes that hold many models and run no code of users.

A worker connects and greets like a scoring kernel. It takes what it is sent in order, answers each `LoadModel` with
`ModelLoaded` and each `Score` with `Scored`, and keeps the same start mark as a kernel: a death or a deadline
fails the calls that had begun, and the others go to another worker.
"""

from __future__ import annotations

import msgspec

from jupyter_mlops.container import Header

INPUT = "inputData"
OUTPUT = "outputData"
"""The one input and the one output of every realtime service, both data frames: Machine Learning Server's names."""

JSON = "application/json"
MESSAGEPACK = "application/msgpack"
ARROW = "application/vnd.apache.arrow.stream"
INFERENCE = "application/x-open-inference"
"""Marks a call in Open Inference Protocol V2; never seen outside."""

INLINE_BODY = 64 * 1024
"""Bytes from which a body or an answer is handed over in a file of shared memory."""


class Employ(msgspec.Struct, frozen=True, array_like=True, tag="employ"):
    """To a worker, first: how it is to work."""

    mark: str
    """Path of the file that holds the start mark."""
    folder: str
    """Where it puts large answers; the server removes them."""
    threads: int
    """Threads that one model may use: the workers share the cores."""
    memory: int
    """Bytes that it may use beyond what it uses now."""


class LoadModel(msgspec.Struct, frozen=True, array_like=True, tag="load-model"):
    """To a worker: read a model, and hold it under a name."""

    id: int
    model: str
    """Id of the revision."""
    name: tuple[str, str]
    """Name and version of the service."""
    path: str
    offset: int
    """Where in the file the ONNX bytes begin."""
    header: Header
    grouped: bool
    """Whether rows of several callers may run together."""
    group_size: int
    """Most rows that do."""


class Unload(msgspec.Struct, frozen=True, array_like=True, tag="unload"):
    """To a worker: forget a model."""

    model: str


class Score(msgspec.Struct, frozen=True, array_like=True, tag="score"):
    """To a worker: one call, its body as the caller sent it."""

    id: int
    model: str
    body: bytes
    path: str
    """File that holds the body instead, when it is large."""
    media: str
    """The body's media type."""
    accept: str
    """The media type that the caller wants."""
    alone: bool
    """Whether it may not run together with others."""
    head: int = 0
    """Of Open Inference Protocol V2: bytes of JSON before binary tensors; 0 when all is JSON."""


class Forget(msgspec.Struct, frozen=True, array_like=True, tag="forget"):
    """To a worker: do not run this call if it has not begun."""

    id: int


class ModelLoaded(msgspec.Struct, frozen=True, array_like=True, tag="model-loaded"):
    """The answer to `LoadModel`: an empty error when the model can be called."""

    id: int
    error: str
    memory: int
    """Bytes that the worker uses more than before."""


class Scored(msgspec.Struct, frozen=True, array_like=True, tag="scored"):
    """The answer to one `Score`; `outcome` is a `channel.Outcome`.

    An answer that is large lies in the file `path`, which is the server's to remove. The body of a call that was
    not answered is a sentence.
    """

    id: int
    outcome: int
    body: bytes
    seconds: float
    path: str = ""
    media: str = JSON
    head: int = 0
    """Of Open Inference Protocol V2: bytes of JSON before binary tensors."""
    fields: str = ""
    """Where in the body the fault lies."""


ToWorker = Employ | LoadModel | Unload | Score | Forget


class Task(msgspec.Struct, frozen=True):
    """What the nursery of checks is asked, as a line of JSON: to judge one model in a fork of it."""

    path: str
    seconds: float
    memory: int
    """Bytes that it may use beyond what it uses now."""
    folder: str
    """An empty working directory."""


class Ending(msgspec.Struct, frozen=True):
    """What the nursery answers, as a line of JSON: how the fork ended."""

    verdict: Verdict | None = None
    """What it said; None when it said nothing."""
    signal: int = 0
    code: int = 0
    late: bool = False
    """Whether it was ended because it took too long."""


class Verdict(msgspec.Struct, frozen=True):
    """What the process that checked a model says of it, as JSON."""

    error: str = ""
    """Why it is refused; empty when it is not."""
    header: Header | None = None
    offset: int = 0
    """Where in the file the ONNX bytes begin."""
    grouped: bool = False
    """Whether rows that ran together answered as they did alone."""
    sample: str = ""
    """Inputs that it answered, as JSON; empty when no made-up row suited it."""
    answer: str = ""
