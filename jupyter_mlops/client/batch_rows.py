"""What a server has of one batch: how far it is, and its rows in whichever order, as they come."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import msgspec

from jupyter_mlops.client.batch_frames import frame_of_arrow, frame_of_rows
from jupyter_mlops.client.batch_results import RowResult
from jupyter_mlops.client.files import FILE_SECONDS
from jupyter_mlops.client.sources import ARROW_FROM
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.errors import ServerUnreachable, Unavailable, UnsupportedMediaType
from jupyter_mlops.records.formats import MEDIA_TYPES, Format
from jupyter_mlops.schema.batches import ENDED, BatchProgress, BatchRow
from jupyter_mlops.schema.types import Parameter

LOST_SECONDS = 60.0
"""How long a server may be away, for it may be starting again, before whoever waits for a batch gives up."""
POLL_SECONDS = 25.0
"""How long the server holds back an answer while nothing is new."""
PAUSE = 0.2
PAGE = 1000

_GRACE = 30.0


class BatchRows:
    """Asks the server about one batch.

    Parameters
    ----------
    transport:
        The way to the server.
    path:
        The batch's path.
    api:
        The service's path.
    outputs:
        The service's declared outputs.
    """

    def __init__(self, transport: Transport, path: str, api: str, outputs: tuple[Parameter, ...]) -> None:
        self._transport = transport
        self._path = path
        self._api = api
        self._outputs = outputs

    def progress(self) -> BatchProgress:
        """How far it is now."""
        return self._progress("", FILE_SECONDS)

    def news(self, sequence: int, seconds: int) -> BatchProgress:
        """How far it is as soon as that is news, or when the time is over; asked once.

        Parameters
        ----------
        sequence:
            What `BatchProgress.sequence` was when it was last seen.
        seconds:
            How long to wait, at most 30.

        Raises
        ------
        ServerUnreachable
            When the server is away just now.
        """
        return self._progress(f"?after={sequence}&wait={seconds}", seconds + _GRACE)

    def next_progress(self, seen: BatchProgress, seconds: float = POLL_SECONDS) -> BatchProgress:
        """How far it is when there is something new, or the time is over.

        A server that does not answer is waited for: batches outlive it.

        Parameters
        ----------
        seen:
            What is known.
        seconds:
            How long to wait; parts of a second are waited here.

        Raises
        ------
        ServerUnreachable
            When the server stayed away for `LOST_SECONDS`.
        """
        lost_since = None
        if seconds < 1:
            time.sleep(min(seconds, PAUSE))
        while True:
            try:
                return self.news(seen.sequence, int(seconds))
            except (ServerUnreachable, Unavailable):
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > LOST_SECONDS:
                    raise
                time.sleep(0.5)

    def as_they_come(self) -> Iterator[RowResult]:
        """Each result once, in the order in which they were recorded, until the batch has ended."""
        done = 0
        seen = self.progress()
        while True:
            for row in self.lines(order="completion", after=done):
                done += 1
                yield row
            if seen.state in ENDED and done >= seen.completed:
                return
            seen = self.next_progress(seen) if seen.state not in ENDED else self.progress()

    def in_order(self) -> Iterator[RowResult]:
        """Each result once, in the order of the records; waits for the next one, until the batch has ended."""
        index, limit = 0, PAGE
        seen = self.progress()
        while True:
            ended, before = seen.state in ENDED, index
            for row in self.lines(offset=index, limit=limit):
                if row.index > index and not ended:
                    break
                index = row.index + 1
                yield row
            if ended:
                index = before + limit  # what is not there now will not come
                if index >= seen.total:
                    return
            limit = PAGE if ended or index > before else 1
            if limit == 1:
                seen = self.next_progress(seen)

    def lines(self, **query: Any) -> Iterator[RowResult]:
        """Recorded results.

        Parameters
        ----------
        query:
            `offset` and `limit`, or `order` and `after`.
        """
        decode = msgspec.json.Decoder(BatchRow).decode_lines
        for row in self._decoded("", decode, query):
            yield RowResult(self._api, row, self._outputs)

    def inputs(self, **query: Any) -> list[dict[str, Any]]:
        """The inputs of rows, as the server has them.

        Parameters
        ----------
        query:
            `offset` and `limit`.
        """
        return list(self._decoded("/inputs", msgspec.json.Decoder(dict[str, Any]).decode_lines, query))

    def frame(self) -> Any:
        """A DataFrame of what became of each recorded row, by its index."""
        with contextlib.suppress(ImportError, UnsupportedMediaType):
            if self.progress().completed < ARROW_FROM:
                return frame_of_rows(self.lines(), self._outputs)
            import pyarrow as pa

            accept = MEDIA_TYPES[Format.ARROW_STREAM]
            with self._transport.stream(self._path, accept=accept, usual=FILE_SECONDS) as pieces:
                table = pa.ipc.open_stream(pa.BufferReader(b"".join(pieces))).read_all()
            return frame_of_arrow(table, self._outputs)
        return frame_of_rows(self.lines(), self._outputs)

    def _progress(self, query: str, usual: float) -> BatchProgress:
        answer = self._transport.request("GET", f"{self._path}/progress{query}", usual=usual)
        return msgspec.json.decode(answer, type=BatchProgress)

    def _decoded(self, rest: str, decode: Any, query: dict[str, Any]) -> Iterator[Any]:
        path = f"{self._path}{rest}" + (f"?{urlencode(query)}" if query else "")
        waiting = b""
        with self._transport.stream(path, accept=MEDIA_TYPES[Format.NDJSON], usual=FILE_SECONDS) as pieces:
            for piece in pieces:
                whole, end, waiting = (waiting + piece).rpartition(b"\n")
                yield from decode(whole + end)
        yield from decode(waiting)
