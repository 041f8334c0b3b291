"""Compute nodes as administrators list them: addresses, and ranges of them."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.base import Wire

MOST_NODES = 1000
"""Most entries of the list."""

_ENTRY = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?)"
    r"(?::(?P<port>[0-9-]+))?/?",
    re.ASCII,
)
_NUMERIC = re.compile(r"[0-9.-]+", re.ASCII)
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_OCTETS = 4
_HIGHEST_OCTET = 255
_HIGHEST_PORT = 65535


class UpdateComputeNodesRequest(Wire, frozen=True):
    """Body of POST, PUT and DELETE of `/computenodes`."""

    entries: tuple[str, ...]
    """Such as `http://1.1.1.1:12805`; a port or a number of an IP address may be a range, such as `10-12`."""


class GetComputeNodesResponse(Wire, frozen=True):
    """The list of compute nodes."""

    compute_nodes: tuple[str, ...]
    """In the order of their entry, ranges as they were entered."""


def check_nodes(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Return the entries in their one spelling, each once: in lower case, without a slash at the end.

    Parameters
    ----------
    entries:
        As the administrator wrote them.

    Raises
    ------
    InvalidRequest
        With the JSON path of the first that is no address or range of addresses, or when there are too many.
    """
    check_count(len(entries))
    for index, entry in enumerate(entries):
        if not _is_node(entry.strip().lower()):
            raise InvalidRequest(
                f"{entry[:200]!r} is no compute node: expected http://HOST or http://HOST:PORT (or https), where the "
                "port and each number of an IP address may be a range, as in http://1.1.1.1-3:10-12",
                fields=f"$.entries[{index}]",
            )
    return tuple(dict.fromkeys(entry.strip().lower().rstrip("/") for entry in entries))


def check_count(count: int) -> None:
    """Refuse a list that is too long.

    Parameters
    ----------
    count:
        Entries that it would have.
    """
    if count > MOST_NODES:
        raise InvalidRequest(f"{count} compute nodes; at most {MOST_NODES} entries are kept", fields="$.entries")


def _is_node(entry: str) -> bool:
    found = _ENTRY.fullmatch(entry)
    if found is None:
        return False
    host, port = found["host"], found["port"]
    if port is not None and not _is_range(port, 1, _HIGHEST_PORT):
        return False
    if host.startswith("["):
        return _is_ipv6(host[1:-1])
    parts = host.split(".")
    if _NUMERIC.fullmatch(host):
        return len(parts) == _OCTETS and all(_is_range(part, 0, _HIGHEST_OCTET) for part in parts)
    return all(parts)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_range(text: str, least: int, most: int) -> bool:
    """Whether this is a number, or two that ascend, within limits."""
    found = _RANGE.fullmatch(text)
    return found is not None and least <= int(found[1]) <= int(found[2] or found[1]) <= most
