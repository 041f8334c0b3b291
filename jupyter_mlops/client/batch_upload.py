"""The records of a batch on their way to the server."""

from __future__ import annotations

import secrets
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import urlencode

import msgspec

from jupyter_mlops.client.files import FILE_SECONDS
from jupyter_mlops.client.sources import Source
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.errors import (
    Conflict,
    DeadlineExceeded,
    MLOpsError,
    ServerUnreachable,
    Unavailable,
    UnsupportedMediaType,
)
from jupyter_mlops.records.formats import MEDIA_TYPES, Format
from jupyter_mlops.schema.batches import StartBatchExecutionResponse

SHOWN_FROM = 8 * 2**20
"""Bytes from which a bar shows how much has been sent."""

BROKEN_SECONDS = 60.0
PAUSE = 0.5
KEY = "Idempotency-Key"

_PIECE = 2**20


class Upload:
    """A file that is read while it is sent, from its beginning each time.

    Parameters
    ----------
    file:
        The file.
    kind:
        What is in it.
    """

    def __init__(self, file: BinaryIO, kind: Format) -> None:
        self._file = file
        self.size = file.seek(0, 2) or file.tell()  # a spooled file does not say where it went
        self.content_type = MEDIA_TYPES[kind]
        self.close = weakref.finalize(self, file.close)
        """Lets go of the file; so does whoever forgets this."""

    def __iter__(self) -> Iterator[bytes]:
        """The body, in pieces, with a progress bar when it is large."""
        from tqdm.auto import tqdm

        self._file.seek(0)
        shown = self.size >= SHOWN_FROM
        with tqdm(total=self.size, desc="sending", unit="B", unit_scale=True, disable=not shown) as bar:
            while piece := self._file.read(_PIECE):
                yield piece
                bar.update(len(piece))


class Submission:
    """The start of one batch, which may be sent again until it has been answered.

    Parameters
    ----------
    transport:
        The way to the server.
    path:
        The path of the service's batches.
    source:
        The records.
    query:
        How it is to be run; what is None is left to the server.
    key:
        What the server knows it by; one is made up without.
    """

    def __init__(
        self, transport: Transport, path: str, source: Source, query: Mapping[str, Any], key: str | None
    ) -> None:
        self._transport = transport
        self._path = f"{path}?{urlencode({name: value for name, value in query.items() if value is not None})}"
        self._source = source
        self._key = key or secrets.token_hex(16)
        self._upload: Upload | None = None
        self._arrow = True

    def send(self) -> str:
        """Send it, and return the id of the batch.

        Raises
        ------
        MLOpsError
            As the server refuses it. The same body is sent when this is called again.
        """
        try:
            answer = self._post()
        except (ServerUnreachable, DeadlineExceeded, Unavailable):
            raise  # the same may be sent again
        except UnsupportedMediaType:
            self._close()
            if not (self._arrow and self._source.convertible):
                raise
            self._arrow = False  # a server without pyarrow reads JSON
            return self.send()
        except MLOpsError:
            self._close()
            raise
        self._close()
        return msgspec.json.decode(answer, type=StartBatchExecutionResponse).BatchExecutionId

    def _post(self) -> bytes:
        if self._upload is None:
            self._upload = Upload(*self._source.body(arrow=self._arrow))
        until = time.monotonic() + BROKEN_SECONDS
        while True:
            try:
                return self._transport.request(
                    "POST", self._path, content=self._upload, usual=FILE_SECONDS, key=self._key
                )
            except Conflict as error:  # the server has not noticed yet that an earlier try was broken off
                if error.fields != KEY or time.monotonic() > until:
                    raise
                time.sleep(PAUSE)

    def _close(self) -> None:
        if self._upload is not None:
            self._upload.close()
            self._upload = None
