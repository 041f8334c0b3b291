"""Arrow and Parquet read in a process of its own: what a damaged or hostile file does to the reader ends there."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from jupyter_mlops.chunks import pack_columns, unpack_columns
from jupyter_mlops.errors import BY_NAME, InternalError, InvalidInput, MLOpsError, UnsupportedMediaType
from jupyter_mlops.records.arrow import MISSING, read_arrow
from jupyter_mlops.records.chunks import Chunk
from jupyter_mlops.records.formats import Format
from jupyter_mlops.schema.types import Parameter

MEMORY = 2 * 2**30
"""Bytes that a reader may have of its own; the file is not counted."""

_LENGTH_BYTES = 8
_TYPES = {1: "d", 2: "q"}


class _Read(msgspec.Struct, array_like=True, tag="read"):
    """A chunk."""

    first: int
    count: int
    size: int
    columns: bytes


class _Refused(msgspec.Struct, array_like=True, tag="refused"):
    """Why there is no next chunk."""

    kind: str
    message: str
    fields: str


class _End(msgspec.Struct, array_like=True, tag="end"):
    """There is no next chunk because all have been read."""


def read_apart(path: Path, kind: Format, parameters: tuple[Parameter, ...]) -> Iterator[Chunk]:
    """Read a file as `read_arrow` does, by another process.

    Parameters
    ----------
    path, kind, parameters:
        As of `read_arrow`.

    Raises
    ------
    InvalidInput
        As `read_arrow` says, and when the file ended the process that read it.
    UnsupportedMediaType
        When pyarrow is not installed; at once.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UnsupportedMediaType(MISSING)
    return _chunks(path, kind, parameters)


def _chunks(path: Path, kind: Format, parameters: tuple[Parameter, ...]) -> Iterator[Chunk]:
    command = [sys.executable, "-m", __name__, str(path), kind.value]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(msgspec.json.encode(parameters))
            while not isinstance(message := _received(process.stdout), _End):
                if message is None:
                    code = process.wait()
                    raise InvalidInput(
                        f"$: the body cannot be read: what read it as {kind} ended (code {code}); is it whole?",
                        fields="$",
                    )
                if isinstance(message, _Refused):
                    raise BY_NAME.get(message.kind, InternalError)(message.message, fields=message.fields)
                columns = unpack_columns(message.columns, _as_array)
                yield Chunk(message.first, message.count, columns, message.size)
        finally:
            process.kill()


def _received(stream: Any) -> _Read | _Refused | _End | None:
    length = stream.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    wanted = int.from_bytes(length, "big")
    body = stream.read(wanted)
    return None if len(body) < wanted else msgspec.msgpack.decode(body, type=_Read | _Refused | _End)


def _as_array(code: int, data: memoryview) -> array[Any]:
    return array(_TYPES[code], bytes(data))


def main(arguments: list[str], given: BinaryIO, out: BinaryIO) -> None:
    """Be the process: read a file, and write its chunks.

    Parameters
    ----------
    arguments:
        The path, and which format it is.
    given:
        Holds the declared inputs.
    out:
        Takes the chunks.
    """

    def send(message: _Read | _Refused | _End) -> None:
        body = msgspec.msgpack.encode(message)
        out.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
        out.flush()

    _limit_memory()
    parameters = msgspec.json.decode(given.read(), type=tuple[Parameter, ...])
    try:
        for chunk in read_arrow(Path(arguments[0]), Format(arguments[1]), parameters):
            send(_Read(chunk.first, chunk.count, chunk.size, pack_columns(chunk.columns)))
    except MLOpsError as error:
        send(_Refused(type(error).__name__, error.message, error.fields))
    else:
        send(_End())


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on every system
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer)
