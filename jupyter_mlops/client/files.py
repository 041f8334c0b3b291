"""Files on their way to a server and back, a piece at a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from jupyter_mlops.client.transport import Transport
from jupyter_mlops.errors import InvalidRequest

FILE_SECONDS = 600.0
"""How long a file or an object may be on its way."""

_PIECE = 2**20


class FileForm:
    """A form of one file, the part `file`, that is read while it is sent.

    Parameters
    ----------
    file:
        The file, open for reading.
    name:
        What to call it.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        boundary = secrets.token_hex(16)
        if not name.isprintable():
            raise InvalidRequest(f"{name!r} is not a file name: it has characters that cannot be shown")
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.size = len(self._head) + file.seek(0, 2) + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """The body, in pieces."""
        self._file.seek(0)
        yield self._head
        while piece := self._file.read(_PIECE):
            yield piece
        yield self._tail


def download(transport: Transport, path: str, destination: str | Path | None, name: str) -> Path:
    """Get a file that is whole or not there.

    Parameters
    ----------
    transport:
        The way to the server.
    path:
        The file's path there.
    destination:
        The file to write, or the directory to write it into; the working directory when there is none.
    name:
        What to call it in a directory.

    Returns
    -------
    Path
        The file that was written.
    """
    target = Path(destination or ".")
    if target.is_dir():
        target /= Path(name).name
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        transport.request("GET", path, usual=FILE_SECONDS, into=draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target
