"""Length-prefixed frames of the scoring channel, for both of its ends."""

from __future__ import annotations

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.channel import LENGTH_BYTES


def frame(message: bytes) -> bytes:
    """Put a message behind its length."""
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


class Frames:
    """Cuts a byte stream into messages.

    Parameters
    ----------
    limit:
        Largest message in bytes; a longer one is refused before it is read.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._wanted = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived and return the messages that are now whole, in order.

        Raises
        ------
        InvalidRequest
            When a message announces more than the limit.
        """
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._wanted:
            return []
        messages = []
        start = 0
        while len(buffer) - start >= LENGTH_BYTES:
            length = int.from_bytes(buffer[start : start + LENGTH_BYTES], "big")
            if length > self.limit:
                raise InvalidRequest(f"a message of {length} bytes; at most {self.limit} are allowed")
            end = start + LENGTH_BYTES + length
            if len(buffer) < end:
                self._wanted = end - start
                break
            messages.append(bytes(memoryview(buffer)[start + LENGTH_BYTES : end]))
            start = end
            self._wanted = 0
        if start:
            del buffer[:start]
        return messages
