"""How many kernels a service version may have, and what they are doing."""

from __future__ import annotations

from typing import Any

import msgspec

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.base import Wire

MOST_KERNELS = 256


class PoolSettings(Wire, frozen=True, forbid_unknown_fields=True):
    """Settings of one version's pool; the first two are Machine Learning Server's."""

    initial_pool_size: int = 0
    """Kernels that are started at once and never given up to others."""
    max_pool_size: int = 0
    """Most kernels at a time; 0 for the number of cores."""
    queue_limit: int = 1000
    """Most calls that wait; one more is refused at once with 503."""
    memory_limit: int = 0
    """Bytes of memory that one kernel may use, beyond which it is ended; 0 for no limit."""
    group_size: int = 64
    """Most rows of a batchable service that run as one."""
    group_wait: float = 0.002
    """Most seconds that a call of a busy batchable service waits for company."""

    def check(self) -> PoolSettings:
        """Return the settings, or refuse them with the JSON path of what is out of range.

        Raises
        ------
        InvalidRequest
            Naming the setting and its range.
        """
        largest = self.max_pool_size or MOST_KERNELS
        ranges = {
            "maxPoolSize": (self.max_pool_size, 0, MOST_KERNELS),
            "initialPoolSize": (self.initial_pool_size, 0, largest),
            "queueLimit": (self.queue_limit, 1, 1_000_000),
            "memoryLimit": (self.memory_limit, 0, 2**50),
            "groupSize": (self.group_size, 1, 100_000),
            "groupWait": (self.group_wait, 0.0, 10.0),
        }
        for name, (value, least, most) in ranges.items():
            if not least <= value <= most:
                raise InvalidRequest(f"$.{name}: expected {least} to {most}, got {value}", fields=f"$.{name}")
        return self


class CreateOrUpdateServicePoolRequest(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Body of `POST /services/{name}/{version}/pool`: any part of `PoolSettings`.

    What is left out stays as it is. The first letter of a key may be of either case.
    """

    initial_pool_size: int | msgspec.UnsetType = msgspec.UNSET
    """Kernels that are started at once and never given up to others; not more than MaxPoolSize."""
    max_pool_size: int | msgspec.UnsetType = msgspec.UNSET
    """Most kernels at a time; 0 for the number of cores."""
    queue_limit: int | msgspec.UnsetType = msgspec.UNSET
    """Most calls that wait."""
    memory_limit: int | msgspec.UnsetType = msgspec.UNSET
    """Bytes of memory that one kernel may use; 0 for no limit."""
    group_size: int | msgspec.UnsetType = msgspec.UNSET
    """Most rows of a batchable service that run as one."""
    group_wait: float | msgspec.UnsetType = msgspec.UNSET
    """Most seconds that a call of a busy batchable service waits for company."""


def read_settings(body: bytes, current: PoolSettings) -> PoolSettings:
    """Read settings from JSON; what it does not name stays as it is.

    Parameters
    ----------
    body:
        A JSON object; Machine Learning Server's `InitialPoolSize` and `MaxPoolSize` begin in upper case.
    current:
        The settings in force.

    Raises
    ------
    InvalidRequest
        For what is no object of known settings.
    """
    try:
        given: dict[str, Any] = msgspec.json.decode(body or b"{}", type=dict[str, Any])
        lowered = {name[:1].lower() + name[1:]: value for name, value in given.items()}
        return msgspec.convert(msgspec.to_builtins(current) | lowered, PoolSettings).check()
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not an object of pool settings: {error}", fields="$") from None


class KernelView(Wire, frozen=True):
    """One kernel of a pool, now."""

    pid: int
    state: str
    """`idle` or `busy`."""
    memory: int
    """Resident bytes."""
    uptime: float
    """Seconds since it was ready."""
    calls: int


class PoolView(Wire, frozen=True):
    """A version's pool, now."""

    settings: PoolSettings
    kernels: tuple[KernelView, ...]
    starting: int
    waiting: int
    running: int
    calls: int
    """Since the server started."""
    errors: int
    """Of those: raised, died or ran past their deadline."""
    restarts: int
    last_error: str
    p50: float | None
    """Median time of the last 1,000 calls, from acceptance to answer, in seconds."""
    p95: float | None
    p99: float | None


class PoolStatus(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What `GET /services/{n}/{v}/pool` lists, in Machine Learning Server's spelling."""

    compute_node_endpoint: str
    status: str
    """`Success`, `Pending` or `NotFound`."""
