"""What a batch keeps of each item: small answers in memory, large ones and artifacts in files."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import msgspec

from jupyter_mlops.schema.base import Wire
from jupyter_mlops.schema.channel import Reply
from jupyter_mlops.schema.executions import WebServiceResult

LARGE = 64 * 1024
"""Bytes from which an answer, or an item's inputs, lie in a file."""


class Result(msgspec.Struct, frozen=True):
    """The answer of one item."""

    body: bytes
    """JSON of its `WebServiceResult`, without the content of artifacts."""
    path: Path | None = None
    """File that holds it instead, when it is large."""
    files: tuple[tuple[str, Path | None], ...] = ()
    """Each declared artifact and where its content lies; None when the item did not write it."""

    def at_hand(self) -> bool:
        """Whether `body` is all of it."""
        return self.path is None and not self.files

    def read(self) -> bytes:
        """The whole JSON, artifacts included; may be large, and reads files."""
        body = self.body if self.path is None else self.path.read_bytes()
        if not self.files:
            return body
        contents = {name: path and base64.b64encode(path.read_bytes()).decode() for name, path in self.files}
        return _ENCODER.encode(msgspec.structs.replace(_DECODER.decode(body), output_files=contents))

    def written(self) -> dict[str, Path]:
        """The artifacts that the item wrote, by name."""
        return {name: path for name, path in self.files if path is not None}


class _Parts(Wire, frozen=True):
    """A `WebServiceResult` of which only the artifacts are looked at."""

    success: msgspec.Raw
    error_message: msgspec.Raw
    console_output: msgspec.Raw
    changed_files: msgspec.Raw
    output_files: dict[str, str | None]
    output_parameters: msgspec.Raw


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_Parts)


def keep(reply: Reply, place: Path, *, artifacts: bool) -> Result:
    """Take over what a kernel answered; writes files.

    Parameters
    ----------
    reply:
        The kernel's answer, whose own file, if it has one, is gone afterwards.
    place:
        Beginning of the names that the item's files may have.
    artifacts:
        Whether the service declares any.
    """
    large = Path(f"{place}.json")
    if reply.path:
        shutil.move(reply.path, large)
    if not artifacts:
        return Result(b"", large) if reply.path else Result(reply.body)
    parts = _DECODER.decode(large.read_bytes() if reply.path else reply.body)
    large.unlink(missing_ok=True)
    files: list[tuple[str, Path | None]] = []
    for number, (name, content) in enumerate(parts.output_files.items()):
        path = None if content is None else Path(f"{place}-{number}")
        if path is not None and content is not None:
            path.write_bytes(base64.b64decode(content))
        files.append((name, path))
    body = _ENCODER.encode(msgspec.structs.replace(parts, output_files={}))
    if len(body) < LARGE:
        return Result(body, None, tuple(files))
    large.write_bytes(body)
    return Result(b"", large, tuple(files))


def failure(message: str) -> Result:
    """The result of an item that got no answer.

    Parameters
    ----------
    message:
        Why.
    """
    return Result(_ENCODER.encode(WebServiceResult(success=False, error_message=message)))


WAITING = failure("this item has not been processed yet")
"""Stands where a result will be, so that the others are in their places."""
