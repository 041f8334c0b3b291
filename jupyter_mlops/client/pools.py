"""Settings of a service's pool, and how it is doing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.pools import PoolSettings, PoolView

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)
_WIRE_NAMES = {field.name: field.encode_name for field in msgspec.structs.fields(PoolSettings)}


class Pool(PoolView, frozen=True):
    """A version's kernels, queue and times, as they were when it was asked for."""

    def __repr__(self) -> str:
        settings = self.settings
        busy = sum(kernel.state == "busy" for kernel in self.kernels)
        most = str(settings.max_pool_size) if settings.max_pool_size else "one a core"
        sizes = f"at least {settings.initial_pool_size}, at most {most}"
        now = f"{self.running} calls running, {self.waiting} waiting"
        lines = [
            f"{len(self.kernels)} kernel(s), {busy} busy, {self.starting} starting; {sizes}",
            f"{self.calls} calls, {self.errors} errors, {self.restarts} kernels lost; {now}",
        ]
        if self.p50 is not None:
            lines.append(f"p50 {duration(self.p50)}, p95 {duration(self.p95)}, p99 {duration(self.p99)}")
        if self.last_error:
            lines.append(f"last error: {self.last_error}")
        lines += [
            f"  process {kernel.pid}: {kernel.state}, {kernel.memory / 2**20:.0f} MiB, {kernel.calls} calls, "
            f"{kernel.uptime:.0f} s"
            for kernel in self.kernels
        ]
        return "\n".join(lines)


def duration(seconds: float | None) -> str:
    """A short time for people."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def pool_json(settings: Mapping[str, Any]) -> msgspec.Raw | None:
    """Pool settings as a publish or a POST of the pool sends them; None when there are none.

    Parameters
    ----------
    settings:
        By the names of `schema.pools.PoolSettings`; None is left out, a memory limit may be text (`2GB`).

    Raises
    ------
    InvalidRequest
        For an unknown setting.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    unknown = [name for name in given if name not in _WIRE_NAMES]
    if unknown:
        raise InvalidRequest(f"there is no pool setting {unknown[0]!r}; the settings are {', '.join(_WIRE_NAMES)}")
    if not given:
        return None
    if isinstance(given.get("memory_limit"), str):
        given["memory_limit"] = byte_count(given["memory_limit"])
    return msgspec.Raw(msgspec.json.encode({_WIRE_NAMES[name]: value for name, value in given.items()}))


def byte_count(text: str) -> int:
    """Read an amount of memory: `500MB`, `2GB`, `1.5GiB`, or a number of bytes.

    Parameters
    ----------
    text:
        A number with a unit; `MB` are millions of bytes, `MiB` are 1024 * 1024.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise InvalidRequest(f"{text!r} is no amount of memory; write it like 500MB, 2GB or 1.5GiB")
    return int(float(found[1]) * _UNITS[(found[2] or "").lower()])


def pool_path(name: str, version: str) -> str:
    """Path of a version's pool."""
    return f"/services/{segment(name)}/{segment(version)}/pool"


def look(transport: Transport, name: str, version: str) -> Pool:
    """A version's pool as it is now."""
    return msgspec.json.decode(transport.request("GET", f"{pool_path(name, version)}/kernels"), type=Pool)


def configure(transport: Transport, name: str, version: str, settings: Mapping[str, Any]) -> PoolSettings:
    """Change settings of a version's pool, and return all that are in force."""
    transport.request("POST", pool_path(name, version), pool_json(settings) or {})
    return look(transport, name, version).settings
