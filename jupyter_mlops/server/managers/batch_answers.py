"""What is read of a batch: results in three shapes, inputs, artifacts, and all of these in an archive."""

from __future__ import annotations

import asyncio
import itertools
import zipfile
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from jupyter_mlops.errors import InvalidRequest, NotFound
from jupyter_mlops.schema.batches import BatchArtifact, BatchWebServiceResult
from jupyter_mlops.server.managers.arrow_rows import ArrowRows
from jupyter_mlops.server.managers.batch import Batch
from jupyter_mlops.server.managers.batch_harvest import failure
from jupyter_mlops.server.managers.batch_rows import PIECE, Attempts, Row, elements, input_lines, lines, pieces, rows
from jupyter_mlops.server.stores.batch_files import BatchFiles
from jupyter_mlops.server.stores.batches import BatchStore, Located

ARCHIVED_AT_A_TIME = 500


class BatchAnswers:
    """Reads batches from their files, in threads, a piece at a time.

    Parameters
    ----------
    store, files:
        Where they are kept.
    unused:
        Called with a deleted batch when nobody reads its files any more.
    """

    def __init__(self, store: BatchStore, files: BatchFiles, unused: Callable[[Batch], None]) -> None:
        self._store = store
        self._files = files
        self._unused = unused

    async def results(
        self, batch: Batch, *, partial: bool, offset: int = 0, limit: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The state of a batch and the results there are, as JSON in Machine Learning Server's shape.

        Parameters
        ----------
        batch:
            The batch.
        partial:
            Whether to show results before the end.
        offset, limit:
            The first row, and how many; without a limit all that there are.
        """
        shown = partial or batch.done
        stop = _stop(batch, offset, limit) if shown else offset
        with batch.in_use(self._unused):
            recorded = await self._store.slices(batch.id, offset, stop) if shown else []
            head = BatchWebServiceResult(
                state=batch.standing.state,
                completed_item_count=batch.standing.completed,
                total_item_count=batch.record.total,
            )
            text = msgspec.json.encode(head).removesuffix(b"]}")
            found = rows(self._files, batch.id, recorded, offset, stop)
            # Of a batch that has ended before its last row, every row says so.
            short = batch.done and batch.standing.completed < batch.record.total
            ended = failure(f"the batch ended before this item: {batch.standing.reason or batch.standing.state}")
            shown_as = elements(found, offset, stop, ended) if short else elements(found, offset, offset)
            for_all = itertools.chain([text], shown_as, [b"]}"])
            async for piece in _stepped(pieces(for_all)):
                yield piece

    async def lines(
        self, batch: Batch, *, offset: int = 0, limit: int | None = None, after: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The results there are, as JSON lines.

        Parameters
        ----------
        batch:
            The batch.
        offset, limit:
            The first row, and how many.
        after:
            Give them in the order in which they were recorded instead, without the first so many.
        """
        with batch.in_use(self._unused):
            attempts = Attempts(await self._store.tries(batch.id))
            found = await self.rows(batch, offset=offset, limit=limit, after=after)
            async for piece in _stepped(pieces(lines(found, attempts))):
                yield piece

    async def arrow(self, batch: Batch, *, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """The results there are, as a stream of Apache Arrow.

        Raises
        ------
        UnsupportedMediaType
            When pyarrow is not installed.
        """
        with batch.in_use(self._unused):
            writer = await asyncio.to_thread(ArrowRows, batch.record.revision.definition)
            attempts = Attempts(await self._store.tries(batch.id))
            stop = _stop(batch, offset, limit)
            recorded = await self._store.slices(batch.id, offset, stop)
            async for piece in _stepped(writer.pieces(self._files, batch.id, recorded, attempts, offset, stop)):
                yield piece

    async def rows(
        self, batch: Batch, *, offset: int = 0, limit: int | None = None, after: int | None = None
    ) -> Iterator[Row]:
        """The same as rows, which are read from files while they are taken."""
        if after is None:
            stop = _stop(batch, offset, limit)
            recorded = await self._store.slices(batch.id, offset, stop)
            return rows(self._files, batch.id, recorded, offset, stop)
        recorded = await self._store.slices(batch.id, recorded=True)
        skipped = 0
        while recorded and skipped + recorded[0].count <= after:
            skipped += recorded.pop(0).count
        found = rows(self._files, batch.id, recorded, 0, batch.record.total)
        return itertools.islice(found, after - skipped, None if limit is None else after - skipped + limit)

    async def inputs(self, batch: Batch, offset: int, limit: int | None) -> AsyncGenerator[bytes, None]:
        """The inputs of rows, as JSON lines."""
        with batch.in_use(self._unused):
            chunks = await self._store.chunks(batch.id)
            found = input_lines(self._files.inputs(batch.id), chunks, offset, _stop(batch, offset, limit))
            async for piece in _stepped(pieces(found)):
                yield piece

    async def artifacts(self, batch: Batch, offset: int, limit: int) -> list[BatchArtifact]:
        """The files that the rows of a batch wrote, by row and name."""
        return await self._store.artifacts(batch.id, offset, limit)

    async def names(self, batch: Batch, index: str) -> list[str]:
        """Names of the artifacts that a row wrote; none while it has no result.

        Raises
        ------
        InvalidRequest, NotFound
            When the index is no number, or there is no such row.
        """
        return [one.name for one in await self._store.located(batch.id, _index(batch, index))]

    async def artifact(self, batch: Batch, index: str, name: str) -> tuple[BinaryIO, int]:
        """An open file in which an artifact begins, and the artifact's size.

        Raises
        ------
        InvalidRequest, NotFound
            When there is no such row, or it wrote no such file.
        """
        located = await self._store.located(batch.id, _index(batch, index))
        found = next((one for one in located if one.name == name), None)
        if found is None:
            there = ", ".join(one.name for one in located) or "none"
            raise NotFound(f"item {index} has no file {name[:200]!r}; it has {there}", fields="fileName")
        return await asyncio.to_thread(_open, self._files.results(batch.id, found.file), found.offset), found.size

    async def archive(self, batch: Batch) -> AsyncGenerator[bytes, None]:
        """A zip archive of all artifacts, each under its row and name."""
        sink = _Sink()
        with batch.in_use(self._unused), zipfile.ZipFile(cast("BinaryIO", sink), "w") as archive:
            after = -1
            while located := await self._store.located(batch.id, after=after, limit=ARCHIVED_AT_A_TIME):
                after = located[-1].row
                # All files of the last row, of which the limit may have cut some off.
                located = [one for one in located if one.row != after] + await self._store.located(batch.id, after)
                async for _ in _stepped(self._archived(batch, archive, sink, located)):
                    yield sink.taken()
        yield sink.taken()

    def _archived(
        self, batch: Batch, archive: zipfile.ZipFile, sink: _Sink, located: Sequence[Located]
    ) -> Iterator[bytes]:
        for one in located:
            info = zipfile.ZipInfo(f"{one.row}/{one.name}")
            with (
                _open(self._files.results(batch.id, one.file), one.offset) as file,
                archive.open(info, "w", force_zip64=one.size > 2**31) as out,
            ):
                left = one.size
                while left and (piece := file.read(min(left, PIECE))):
                    out.write(piece)
                    left -= len(piece)
                    if sink.size > PIECE:
                        yield b""
        yield b""


class _Sink:
    """Takes what an archive writes until it is sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        """Take bytes."""
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: there is nothing underneath."""

    def taken(self) -> bytes:
        """What has come since the last time."""
        data = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return data


async def _stepped(found: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Take each step of an iterator that reads files in a thread."""
    while (piece := await asyncio.to_thread(next, found, None)) is not None:
        yield piece


def _open(path: Path, offset: int) -> BinaryIO:
    try:
        file = path.open("rb", 0)
    except FileNotFoundError:
        raise NotFound("the batch was deleted") from None
    file.seek(offset)
    return file


def _stop(batch: Batch, offset: int, limit: int | None) -> int:
    total = batch.record.total
    return total if limit is None else min(total, offset + limit)


def _index(batch: Batch, text: str) -> int:
    if not (text.removeprefix("-").isdecimal() and text.isascii()):
        raise InvalidRequest(f"an index is a whole number from 0, not {text[:80]!r}", fields="index")
    total = batch.record.total
    if text.startswith("-") or len(text) > 18 or int(text) >= total:  # noqa: PLR2004
        there = f"0 to {total - 1}" if total else "none"
        raise NotFound(f"the batch has no item {text[:80]}; its items are {there}", fields="index")
    return int(text)
