"""What comes with a batch: its settings as the caller wrote them, and its records on their way to disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from blake3 import blake3

from jupyter_mlops.chunks import BYTES, ROWS, Chunk, pack_columns
from jupyter_mlops.errors import Conflict, DiskFull, InvalidRequest
from jupyter_mlops.records.reading import read_chunks
from jupyter_mlops.schema.access import Identity
from jupyter_mlops.schema.batches import Engine, Priority
from jupyter_mlops.schema.services import Definition, Revision
from jupyter_mlops.server.managers.batch import now_text
from jupyter_mlops.server.managers.batch_webhook import check_webhook
from jupyter_mlops.server.stores.batch_files import BatchFiles
from jupyter_mlops.server.stores.batches import BatchRecord

DEFAULT_PARALLEL = 10
KEY_LIMIT = 255
ROWS_OF_ROWS = 50_000
"""Most rows of a chunk whose rows run one by one, so that slices of it end where their time does."""
SPARE = 0.1
"""Part of the free space that a body has to leave."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for with a batch, as it was written; None for what was not."""

    name: str
    version: str
    content_type: str = ""
    parallel: str | None = None
    priority: str | None = None
    engine: str | None = None
    webhook: str | None = None
    key: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The same, checked."""

    parallel: int
    priority: Priority
    engine: Engine
    webhook: str


def check(
    asked: Asked, most_parallel: int, engines: Iterable[Engine], hosts: frozenset[str], missing: Mapping[Engine, str]
) -> Settings:
    """Check what a caller asks for.

    Parameters
    ----------
    asked:
        What was written.
    most_parallel:
        Most items of one batch that run at a time.
    engines:
        Those that this server has.
    hosts:
        Hosts that webhooks may be on, each with its port where that is not the scheme's.
    missing:
        Why this server has not some engine.

    Raises
    ------
    InvalidRequest
        Naming the parameter, what was expected and what came.
    """
    return Settings(
        parallel=_parallel(asked.parallel, most_parallel),
        priority=_one_of(Priority, asked.priority, Priority.NORMAL, "priority"),
        engine=_engine(asked.engine, tuple(engines), missing),
        webhook=check_webhook(asked.webhook or "", hosts),
    )


def check_key(key: str | None) -> None:
    """Refuse an idempotency key that is none.

    Raises
    ------
    InvalidRequest
        When it is empty, too long, or has something in it that cannot be seen.
    """
    if key is not None and not (0 < len(key) <= KEY_LIMIT and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"an Idempotency-Key has 1 to {KEY_LIMIT} visible ASCII characters, not {key[:80]!r}",
            fields="Idempotency-Key",
        )


def fingerprint(path: Path, asked: Asked) -> str:
    """What tells a repeated submission from another one with the same key; reads the file."""
    told = msgspec.msgpack.encode(asked)
    return blake3(told).update_mmap(path).hexdigest() if path.stat().st_size else blake3(told).hexdigest()


def write_inputs(files: BatchFiles, batch: str, path: Path, content_type: str, definition: Definition) -> list[Chunk]:
    """Check the records of a body, and write them in chunks to the folder of a new batch, durably.

    Parameters
    ----------
    files, batch:
        Where to.
    path, content_type:
        The body.
    definition:
        The service's: whether its rows run as one decides how many a chunk has.

    Raises
    ------
    InvalidInput
        With the path of the first value that does not fit the declared inputs, such as `$[3].hp`.
    UnsupportedMediaType, TooLarge, DiskFull
        As their names say; then nothing is left.
    """
    rows = ROWS if definition.batchable else ROWS_OF_ROWS
    found = read_chunks(path, content_type, definition.inputs, rows=rows, size=BYTES)
    packed = ((chunk.count, pack_columns(chunk.columns)) for chunk in found)
    return files.write(batch, _bounded(packed, int(shutil.disk_usage(files.directory).free * (1 - SPARE))))


def _bounded(packed: Iterable[tuple[int, bytes]], most: int) -> Iterator[tuple[int, bytes]]:
    """The same, as long as they have room: a few bytes of Parquet may say a value a billion times."""
    size = 0
    for count, data in packed:
        size += len(data)
        if size > most:
            raise DiskFull(
                f"the records have more than {most} bytes where they are kept, and the disk no room for them"
            )
        yield count, data


def record_of(
    identifier: str,
    identity: Identity,
    revision: Revision,
    settings: Settings,
    total: int,
    key: str | None,
    print_: str,
) -> BatchRecord:
    """What is kept of a submission.

    Parameters
    ----------
    identifier:
        The new batch's id.
    identity:
        Who submits it.
    revision:
        What it runs on.
    settings:
        What was asked for.
    total:
        How many rows there are.
    key, print_:
        What it may be repeated with, and the fingerprint that this must have.
    """
    return BatchRecord(
        id=identifier,
        owner=identity.name,
        revision=revision,
        total=total,
        parallel=settings.parallel,
        created=now_text(),
        engine=settings.engine,
        priority=settings.priority,
        webhook=settings.webhook,
        columnar=revision.definition.batchable,
        key=key or "",
        fingerprint=print_,
    )


class Receiving:
    """Bodies that are arriving: whose, and with which key."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str]] = set()
        self._owners: list[str] = []

    def count(self, owner: str) -> int:
        """How many a user is sending."""
        return self._owners.count(owner)

    @contextmanager
    def of(self, owner: str, key: str | None) -> Iterator[None]:
        """Note one while it lasts.

        Parameters
        ----------
        owner, key:
            Who sends it, and with which key.

        Raises
        ------
        Conflict
            When the same user is sending one with the same key.
        """
        if key is not None and (owner, key) in self._keys:
            raise Conflict(
                "a batch with this Idempotency-Key is being received; wait until that request has been answered",
                fields="Idempotency-Key",
            )
        mine = set() if key is None else {(owner, key)}
        self._keys |= mine
        self._owners.append(owner)
        try:
            yield
        finally:
            self._keys -= mine
            self._owners.remove(owner)


def check_room(announced: int, free: int) -> None:
    """Refuse a body that would leave too little room on the disk.

    Parameters
    ----------
    announced, free:
        Bytes that come, and that there are.

    Raises
    ------
    DiskFull
        With both numbers.
    """
    if announced > free * (1 - SPARE):
        raise DiskFull(f"the body has {announced} bytes, and the server's disk {free} free; free some space there")


def _parallel(text: str | None, most: int) -> int:
    if text is None:
        return min(DEFAULT_PARALLEL, most)
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdecimal() and digits):
        raise InvalidRequest(
            f"parallelCount is a whole number from 1 to {most}, not {text[:80]!r}", fields="parallelCount"
        )
    return min(int(digits[:9]), most)


def _one_of(kind: type[Priority], text: str | None, default: Priority, field: str) -> Priority:
    if text is None:
        return default
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(kind)
        raise InvalidRequest(f"{field} is one of {known}, not {text[:80]!r}", fields=field) from None


def _engine(text: str | None, there: tuple[Engine, ...], missing: Mapping[Engine, str]) -> Engine:
    if text is None:
        return Engine.LOCAL
    if text not in set(there):
        known = ", ".join(there)
        hint = f"; {missing[Engine(text)]}" if text in set(missing) else ""
        raise InvalidRequest(f"engine is one of {known}, not {text[:80]!r}{hint}", fields="engine")
    return Engine(text)
