"""The inner end of the scoring channel: what every process that the server starts does to serve it."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from jupyter_mlops.framing import Frames, frame
from jupyter_mlops.schema.channel import MAX_FRAME, Greeting

CHANNEL_VARIABLE = "JUPYTER_MLOPS_CHANNEL"
"""Where a process finds the server: an address, a blank, and its key."""


class InnerEnd(asyncio.Protocol):
    """Serves one server until it goes away; then this process has no more purpose and ends.

    Parameters
    ----------
    key:
        What tells the server which process this is.
    messages:
        The union of what the server sends.
    """

    def __init__(self, key: str, messages: Any) -> None:
        self._key = key
        self._frames = Frames(MAX_FRAME)
        self._decode = msgspec.msgpack.Decoder(messages).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        self._transport = cast("asyncio.Transport", transport)
        self._send(Greeting(self._key, os.getpid(), platform.python_version()))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # either way it is over
        """End with the server, without running anything of the user's on the way out."""
        os._exit(0)

    def _messages(self, data: bytes) -> Iterator[Any]:
        """The messages that are whole with what arrived."""
        return map(self._decode, self._frames.feed(data))

    def _send(self, message: Any) -> None:
        self._transport.write(frame(self._encode(message)))


def keep_what_is_loaded() -> None:
    """Spare the garbage collector what has been loaded: looking through it now and then would hold up a call."""
    gc.collect()
    gc.freeze()


def told() -> tuple[str, str]:
    """The server's address and this process's key, as the environment told them, once."""
    address, _, key = os.environ.pop(CHANNEL_VARIABLE).rpartition(" ")  # a path may hold blanks, a key does not
    return address, key


async def connect(address: str, make: Callable[[], InnerEnd]) -> None:
    """Connect to the server.

    Parameters
    ----------
    address:
        `unix:PATH` or `tcp:HOST:PORT`.
    make:
        Makes this process's end.
    """
    loop = asyncio.get_running_loop()
    kind, _, place = address.partition(":")
    if kind == "unix":
        await loop.create_unix_connection(make, place)
    else:
        host, _, port = place.rpartition(":")
        await loop.create_connection(make, host, int(port))
