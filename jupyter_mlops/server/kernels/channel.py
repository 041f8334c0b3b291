"""The server's end of the scoring channel: one listening socket, one connection a kernel."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.framing import Frames, frame
from jupyter_mlops.schema.base import CHANNEL_FORMAT
from jupyter_mlops.schema.channel import (
    MAX_FRAME,
    Answer,
    Forked,
    Greeting,
    Loaded,
    ToKernel,
    ToTemplate,
    Warmed,
)
from jupyter_mlops.schema.driver import Linked, Ran, ToDriver
from jupyter_mlops.schema.realtime import ModelLoaded, Scored, ToWorker

log = logging.getLogger(__name__)

_GREETING_LIMIT = 4096

Spoken = Loaded | Answer | Warmed | Forked | ModelLoaded | Scored | Linked | Ran
"""What a kernel, a template, a realtime worker or the batch driver says after its greeting."""


class Connection(asyncio.Protocol):
    """One kernel's connection; what it says after its greeting goes to `on_message`.

    Parameters
    ----------
    listener:
        Where the greeting's key finds the kernel that waits for it.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._frames = Frames(_GREETING_LIMIT)
        self._decoder = msgspec.msgpack.Decoder(Greeting | Spoken)
        self._encoder = msgspec.msgpack.Encoder()
        self._transport: asyncio.Transport
        self.on_message: Callable[[Spoken], None] | None = None
        self.on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the greeting."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the class

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell the kernel's owner."""
        if self.on_lost is not None:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        """Hand each message on; whoever breaks the protocol is cut off."""
        try:
            for message in self._frames.feed(data):
                self._receive(self._decoder.decode(message))
        except (InvalidRequest, msgspec.DecodeError) as error:
            log.warning("a scoring kernel broke the channel's protocol and was cut off: %s", error)
            self._transport.abort()

    def _receive(self, message: Greeting | Spoken) -> None:
        if self.on_message is not None and not isinstance(message, Greeting):
            self.on_message(message)
        elif self.on_message is None and isinstance(message, Greeting):
            self._listener.greet(message, self)
            self._frames.limit = MAX_FRAME
        else:
            raise InvalidRequest(f"{type(message).__name__} out of turn")

    def send(self, message: ToKernel | ToTemplate | ToWorker | ToDriver) -> None:
        """Send a message to the kernel, template, realtime worker or batch driver."""
        self._transport.write(frame(self._encoder.encode(message)))

    def close(self) -> None:
        """Close at once."""
        self._transport.abort()


class Listener:
    """The socket that scoring kernels connect to.

    Parameters
    ----------
    directory:
        A private (0700) directory with a short path, for a Unix socket.
    tcp:
        Listen on a loopback port instead: for Windows, and for kernels on other hosts.
    """

    def __init__(self, directory: Path, *, tcp: bool = sys.platform == "win32") -> None:
        self._directory = directory
        self._tcp = tcp
        self._server: asyncio.AbstractServer | None = None
        self._expected: dict[str, asyncio.Future[Connection]] = {}
        self.address = ""

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        if self._tcp:
            self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", 0)
            self.address = f"tcp:127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        else:
            path = str(self._directory / "scoring")
            # The reference is kept: uvloop closes a Unix server that nobody holds.
            self._server = await loop.create_unix_server(lambda: Connection(self), path)
            self.address = f"unix:{path}"

    async def stop(self) -> None:
        """Stop listening; open connections stay with their kernels."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def expect(self, key: str) -> asyncio.Future[Connection]:
        """Announce a process that will greet with this key; the future is its connection."""
        future: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._expected[key] = future
        future.add_done_callback(lambda _: self._expected.pop(key, None))
        return future

    def greet(self, greeting: Greeting, connection: Connection) -> None:
        """Match a greeting with the kernel that waits for it.

        Raises
        ------
        InvalidRequest
            For an unknown key or another format: the connection is then cut.
        """
        future = self._expected.get(greeting.key)
        if future is None or future.done():
            raise InvalidRequest("a greeting with a key that nobody waits for")
        if greeting.format != CHANNEL_FORMAT:
            error = InvalidRequest(
                f"the scoring kernel speaks channel format {greeting.format}, this server format {CHANNEL_FORMAT}: "
                "its interpreter has another version of jupyter_mlops; install the same version there"
            )
            future.set_exception(error)
            raise error
        # Set before the future is seen, so that a second greeting on this connection is out of turn.
        connection.on_message = _ignore
        future.set_result(connection)


def _ignore(message: Spoken) -> None:
    log.warning("a scoring kernel sent %s before it was asked", type(message).__name__)
