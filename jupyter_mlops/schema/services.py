"""Services as they are published, listed and changed."""

from __future__ import annotations

import msgspec

from jupyter_mlops.container import Header
from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.base import Wire
from jupyter_mlops.schema.pools import PoolSettings
from jupyter_mlops.schema.revisions import Provenance
from jupyter_mlops.schema.snapshots import Captured, Manifest
from jupyter_mlops.schema.types import INPUTS, Parameter, ValueType, check_alias, check_parameters

MAX_TIMEOUT = 24 * 3600.0
DEFAULT_TIMEOUT = 60.0
LOCKED = "locked"
MINE = "read/write"
"""What `my_permission_on_service` is for a version's publisher, and for Owners."""
SAMPLE_LIMIT = 64 * 1024
"""Bytes of a sample that are kept with its revision."""


def check_timeout(timeout: float | str) -> float:
    """Return a deadline in seconds, which may be written as text.

    Raises
    ------
    InvalidRequest
        When it is no number in the range.
    """
    try:
        seconds = float(timeout)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_TIMEOUT:
        raise InvalidRequest(f"timeout {timeout} is not between 0 and {MAX_TIMEOUT:.0f} seconds", fields="$.timeout")
    return seconds


class PublishRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Body of `POST /services/{name}[/{version}]` and, with every key optional, of `PATCH`.

    The first nine keys are Machine Learning Server's, and null in one of them that has no null of its own is as if
    it were left out; the rest are ours. A service is either `code`
    that leaves its outputs in variables, or a `function` of the uploaded snapshot.
    """

    snapshot_id: str | msgspec.UnsetType | None = msgspec.UNSET
    code: str | msgspec.UnsetType | None = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    operation_id: str | msgspec.UnsetType | None = msgspec.UNSET
    input_parameter_definitions: tuple[Parameter, ...] | msgspec.UnsetType | None = msgspec.UNSET
    output_parameter_definitions: tuple[Parameter, ...] | msgspec.UnsetType | None = msgspec.UNSET
    runtime_type: str | msgspec.UnsetType | None = msgspec.UNSET
    """`Python`, which a missing one is too."""
    init_code: str | msgspec.UnsetType | None = msgspec.UNSET
    output_file_names: tuple[str, ...] | msgspec.UnsetType | None = msgspec.UNSET
    upload: str | msgspec.UnsetType = msgspec.UNSET
    """Id of a finished upload whose manifest becomes the service's snapshot."""
    function: str | msgspec.UnsetType = msgspec.UNSET
    """Name, in the snapshot, of the callable that is called with the inputs by name."""
    init: str | msgspec.UnsetType | None = msgspec.UNSET
    """Name, in the snapshot, of a function that is called once per kernel."""
    sample: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Inputs, as a call sends them, that the fresh kernel must answer before the service is visible."""
    expected: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """What the publisher's own function answered to the sample: its outputs, or a list of them for several rows."""
    tolerance: float | msgspec.UnsetType = msgspec.UNSET
    """How far a number of the answer may lie from the expected one, as a share of it; 1e-9 without it."""
    force: bool = False
    """Publish also when the answer is not the expected one."""
    timeout: float | msgspec.UnsetType = msgspec.UNSET
    """Deadline of one call in seconds."""
    batchable: bool | msgspec.UnsetType = msgspec.UNSET
    """The function takes columns, and calls that wait together run as one."""
    pool: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """`schema.pools.PoolSettings`, any part: they can be changed later without a new revision."""
    environment: str | msgspec.UnsetType = msgspec.UNSET
    """`locked`: score in a private environment with the packages that the snapshot recorded; empty for none."""
    private: bool | msgspec.UnsetType = msgspec.UNSET
    """Keep nothing of its calls, not even of those that raise."""
    provenance: Provenance | msgspec.UnsetType = msgspec.UNSET
    """Where the code came from."""
    reuse: bool = False
    """Return a version that exists with this very content, where Machine Learning Server answered 409."""
    numbered: bool = False
    """Without a version: return the latest if nothing changed, else take the next whole number."""


class RealtimeModel(Wire, frozen=True):
    """What a realtime service scores: the stream of its manifest, and what its check found."""

    header: Header
    offset: int = 0
    """Where in the file the ONNX bytes begin."""
    grouped: bool = False
    """Whether rows of several callers may run together."""


class Definition(Wire, frozen=True):
    """What a revision does, apart from the objects it holds: the part of a publish that is compared."""

    code: str = ""
    """The source people see; also what runs, when `function` is empty."""
    init_code: str = ""
    description: str | None = None
    operation_id: str | None = None
    inputs: tuple[Parameter, ...] = ()
    outputs: tuple[Parameter, ...] = ()
    artifacts: tuple[str, ...] = ()
    function: str = ""
    init: str = ""
    timeout: float = DEFAULT_TIMEOUT
    batchable: bool = False
    """Whether the function takes columns and may run several calls as one."""
    environment: str = ""
    """`locked` when it scores in an environment of its own."""
    private: bool = False
    """Whether no call of it is kept, not even one that raised."""
    model: RealtimeModel | None = None
    """The model of a realtime service, which has neither code nor function; None for a standard one."""

    @property
    def runtime_type(self) -> str:
        """`Python`, or `Realtime`, in Machine Learning Server's words."""
        return "Python" if self.model is None else "Realtime"

    def check(self) -> None:
        """Refuse what could never be scored, with the JSON path of the fault.

        Raises
        ------
        InvalidRequest
            For a missing body, parameters or artifact names that break a rule, or an odd deadline.
        """
        if not self.code and not self.function and self.model is None:
            raise InvalidRequest("a service needs `code`, or a `function` of its snapshot", fields="$.code")
        check_parameters(self.inputs, INPUTS)
        check_parameters(self.outputs, "$.outputParameterDefinitions")
        check_alias(self.operation_id)
        for index, name in enumerate(self.artifacts):
            plain = "/" not in name and "\\" not in name and name.isprintable() and name not in {"", ".", ".."}
            if not plain or len(name.encode()) > 255:  # noqa: PLR2004
                raise InvalidRequest(
                    f"artifact {name[:200]!r} is not a plain file name", fields=f"$.outputFileNames[{index}]"
                )
        if self.batchable:
            self._check_batchable()
        if self.environment not in {"", LOCKED}:
            raise InvalidRequest(
                f"environment {self.environment[:80]!r} is not known; say {LOCKED!r} or nothing",
                fields="$.environment",
            )
        check_timeout(self.timeout)

    def _check_batchable(self) -> None:
        single = {ValueType.INTEGER, ValueType.NUMERIC, ValueType.CHARACTER, ValueType.LOGICAL}
        if not self.function:
            raise InvalidRequest("only a function can be batchable, not code", fields="$.batchable")
        if self.artifacts:
            raise InvalidRequest(
                "a batchable service declares no artifacts: its calls run together in one directory",
                fields="$.outputFileNames",
            )
        for where, parameters in (("input", self.inputs), ("output", self.outputs)):
            for index, parameter in enumerate(parameters):
                if parameter.type not in single:
                    raise InvalidRequest(
                        f"{parameter.name}: a batchable service's {where}s are single values per row "
                        f"(integer, numeric, character, logical), not {parameter.type}",
                        fields=f"$.{where}ParameterDefinitions[{index}].type",
                    )
        if not self.inputs:
            raise InvalidRequest("a batchable service has at least one input", fields="$.inputParameterDefinitions")


class Revision(Wire, frozen=True):
    """An immutable publish: what runs, what it holds, who made it and what was proved."""

    id: str
    name: str
    version: str
    number: int
    """1 for the first publish of the version, then counting."""
    definition: Definition
    manifest: Manifest | None
    interpreter: str
    """Path of the Python that scores it."""
    published_by: str
    created: str
    """ISO 8601 in UTC, microseconds, no zone: Machine Learning Server's spelling."""
    proof: str
    """`answered` when it answered its sample before it was visible, else `loaded`."""
    provenance: Provenance | None = None
    differences: tuple[str, ...] = ()
    """What the interpreter has otherwise than the one that the snapshot was captured in, a line each."""
    sample: str = ""
    """The inputs that it answered, as JSON, for an update to be proved with; empty when there were none, or large."""
    answer: str = ""
    """What it answered, as JSON, a list for several rows; empty when there was no sample, or it is large."""


class ServiceView(Wire, frozen=True):
    """A service version as `GET /services` shows it to one caller."""

    name: str
    version: str
    version_published_by: str
    creation_time: str
    runtime_type: str
    description: str | None
    operation_id: str | None
    input_parameter_definitions: tuple[Parameter, ...]
    output_parameter_definitions: tuple[Parameter, ...]
    output_file_names: tuple[str, ...]
    my_permission_on_service: str
    revision: int
    proof: str
    timeout: float
    batchable: bool
    pool: PoolSettings
    captured: tuple[Captured, ...]
    snapshot_size: int
    differences: tuple[str, ...]
    """What the scoring interpreter has otherwise than the one that it was captured in, a line each."""
    snapshot_id: str | None = None
    code: str | None = None
    init_code: str | None = None
    model: Header | None = None
    """Of a realtime service: where its model came from, and the columns that it takes and answers."""
