"""From names of a live namespace to a snapshot: what they reach, one stream, buffers, and the manifest."""

from __future__ import annotations

import builtins
import io
import pickle
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from blake3 import blake3

from jupyter_mlops.capture.culprit import find_culprit
from jupyter_mlops.capture.environment import environment
from jupyter_mlops.capture.files import local_modules
from jupyter_mlops.capture.fingerprint import Fingerprinter
from jupyter_mlops.capture.labels import Labels
from jupyter_mlops.capture.pickler import CapturePickler, Sink, goes_out_of_band
from jupyter_mlops.capture.reach import belongs_to_shell
from jupyter_mlops.errors import CaptureError
from jupyter_mlops.schema.snapshots import Blob, Captured, Manifest, SnapshotFile

_SHARED_BY_VALUE = (int, float, complex, str, bytes, bool, type(None), tuple, frozenset, ModuleType)


@dataclass(frozen=True)
class Capture:
    """A snapshot in memory: its manifest, and the bytes of every blob that it names."""

    manifest: Manifest
    blobs: dict[str, memoryview]
    """Digest to content; views of the captured objects' own memory, never copies."""


@dataclass
class _Found:
    """What the measuring pass learned about one name."""

    value: Any
    reasons: list[str]
    size: int = 0
    buffers: dict[str, int] = field(default_factory=dict)
    """Digest to size of the buffers it reaches."""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


def capture(
    namespace: dict[str, Any],
    roots: Iterable[str],
    *,
    init: str | None = None,
    keep: Iterable[str] = (),
    drop: Iterable[str] = (),
) -> Capture:
    """Capture the named objects and all that they reach, without changing anything.

    Parameters
    ----------
    namespace:
        The globals that the names live in; they become the scoring kernel's `__main__`.
    roots:
        Names to capture: the function.
    init:
        Name of a function that runs once per kernel and may make what the others read.
    keep:
        Further names, which no code mentions.
    drop:
        Names that must not go along.

    Raises
    ------
    CaptureError
        Naming the variable, and the path inside it, that cannot go along, or what dropping breaks.
    """
    labels = Labels()
    wanted = [*roots, *([init] if init else []), *keep]
    for name in wanted:
        if name not in namespace:
            raise CaptureError(f"there is no {name!r} to capture: define it in a cell first, or check the spelling")
    dropped = frozenset(drop)
    survey = _Survey(namespace, labels, dropped)
    found = survey.run(wanted)
    _check_dropped(found, dropped, init)
    stream, buffers = _write(namespace, found, labels, dropped)
    return _assemble(namespace, found, stream, buffers, labels, survey.modules)


class _Survey:
    """The measuring pass: pickles each name alone into nothing, to learn what it reads and weighs."""

    def __init__(self, namespace: dict[str, Any], labels: Labels, dropped: frozenset[str]) -> None:
        self._namespace = namespace
        self._labels = labels
        self._dropped = dropped
        self._stop: dict[int, str] = {}
        self.modules: dict[str, None] = {}

    def run(self, wanted: Iterable[str]) -> dict[str, _Found]:
        """Survey the names and, in turn, every name they read."""
        found: dict[str, _Found] = {}
        queue = deque((name, "asked for") for name in wanted)
        while queue:
            name, reason = queue.popleft()
            if name in found:
                found[name].reasons.append(reason)
                continue
            value = self._namespace[name]
            found[name] = _Found(value, [reason])
            if not isinstance(value, _SHARED_BY_VALUE):
                self._stop.setdefault(id(value), name)
            self._measure(name, found[name])
            reads = (read for read in found[name].reads if self._is_captured(read))
            queue.extend((read, f"read by {name}") for read in reads)
        return found

    def _is_captured(self, name: str) -> bool:
        known = name in self._namespace and name not in self._dropped
        return known and not belongs_to_shell(name, self._namespace)

    def _measure(self, name: str, found: _Found) -> None:
        sink = Sink()

        def weigh(buffer: pickle.PickleBuffer) -> bool:
            if goes_out_of_band(buffer):
                found.buffers[digest(buffer.raw())] = buffer.raw().nbytes
                return False
            return True

        pickler = self._pickler(sink, weigh)
        _dump(pickler, found.value, lambda: self._blame(name, found.value))
        found.size = sink.size
        found.reads, found.writes = tuple(pickler.uses.reads), tuple(pickler.uses.writes)
        self.modules |= pickler.modules

    def _pickler(self, sink: Sink, callback: Callable[[pickle.PickleBuffer], bool]) -> CapturePickler:
        return CapturePickler(
            sink,
            self._namespace,
            self._labels,
            buffer_callback=callback,
            stop=self._stop,
            dropped=self._dropped,
        )

    def _blame(self, name: str, value: Any) -> str:
        path, culprit = find_culprit(name, value, self._fails)
        kind = type(culprit)
        home = "" if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}."
        remedy = "build it inside the function, or in a function given as --init (`global ...`)"
        if path != name or not isinstance(value, FunctionType):
            remedy = f"leave it out (--drop {name}) and {remedy}"
        return f"{path}: {home}{kind.__qualname__} objects cannot be pickled; {remedy}"

    def _fails(self, value: Any) -> bool:
        try:
            self._pickler(Sink(), lambda buffer: not goes_out_of_band(buffer)).dump(value)
        # Pickling runs the objects' own code, which may raise anything.
        except Exception:  # noqa: BLE001
            return True
        return False


def _dump(pickler: CapturePickler, value: Any, blame: Callable[[], str]) -> None:
    try:
        pickler.dump(value)
    # Pickling runs the objects' own code, which may raise anything.
    except Exception as error:  # noqa: BLE001
        raise CaptureError(f"{blame()} ({type(error).__name__}: {error})") from None


def digest(content: memoryview) -> str:
    """BLAKE3 of bytes, in hex."""
    return blake3(content, max_threads=blake3.AUTO).hexdigest()


def digest_of_file(path: Path) -> str:
    """BLAKE3 of a file's bytes, in hex."""
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()


def _check_dropped(found: dict[str, _Found], dropped: frozenset[str], init: str | None) -> None:
    """Refuse to drop what code reads, unless something it calls first makes it again."""
    made = {write for one in found.values() for write in one.writes}
    for name, one in found.items():
        missing = [read for read in one.reads if read in dropped and read not in made and not hasattr(builtins, read)]
        if name != init and missing:
            raise CaptureError(
                f"{name} reads {', '.join(missing)}, which --drop leaves out: the service would fail with a NameError. "
                f"Make {'it' if len(missing) == 1 else 'them'} in a function given as --init "
                f"(`global {', '.join(missing)}`), or do not drop"
            )
    for name in dropped & found.keys():
        raise CaptureError(f"{name!r} is both wanted and dropped; take it out of one of them")


def _write(
    namespace: dict[str, Any], found: dict[str, _Found], labels: Labels, dropped: frozenset[str]
) -> tuple[memoryview, list[pickle.PickleBuffer]]:
    stream = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []

    def collect(buffer: pickle.PickleBuffer) -> bool:
        if goes_out_of_band(buffer):
            buffers.append(buffer)
            return False
        return True

    pickler = CapturePickler(stream, namespace, labels, buffer_callback=collect, dropped=dropped)
    objects = {name: one.value for name, one in found.items()}
    _dump(pickler, objects, lambda: f"{', '.join(objects)} cannot be pickled together")
    return stream.getbuffer(), buffers


def _assemble(
    namespace: dict[str, Any],
    found: dict[str, _Found],
    stream: memoryview,
    buffers: list[pickle.PickleBuffer],
    labels: Labels,
    modules: dict[str, None],
) -> Capture:
    blobs: dict[str, memoryview] = {}

    def store(content: memoryview) -> Blob:
        key = digest(content)
        blobs.setdefault(key, content)
        return Blob(digest=key, size=content.nbytes)

    listed = [store(buffer.raw()) for buffer in buffers]
    order = [blob.digest for blob in listed]
    counted: set[str] = set()
    hasher = Fingerprinter(namespace)
    names: list[Captured] = []
    for name, one in found.items():
        added = sum(size for key, size in one.buffers.items() if key not in counted)
        counted.update(one.buffers)
        names.append(
            Captured(
                name=name,
                kind=_kind(one.value),
                type=one.value.__name__ if isinstance(one.value, ModuleType) else type(one.value).__qualname__,
                size=one.size + added,
                fingerprint=hasher.fingerprint(one.value),
                buffers=tuple(sorted(order.index(key) for key in one.buffers if key in order)),
            )
        )
    files = local_modules(modules, Path.cwd())
    manifest = Manifest(
        stream=store(stream),
        buffers=tuple(listed),
        files=tuple(
            SnapshotFile(path=name, blob=store(memoryview(path.read_bytes()))) for name, path in sorted(files.items())
        ),
        names=tuple(names),
        sources=labels.sources(),
        environment=environment(modules),
    )
    return Capture(manifest, blobs)


def _kind(value: Any) -> str:
    if isinstance(value, ModuleType):
        return "module"
    if isinstance(value, type):
        return "class"
    if isinstance(value, FunctionType) or hasattr(value, "__wrapped__"):
        return "function"
    return "data"
