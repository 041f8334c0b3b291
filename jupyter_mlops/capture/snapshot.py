"""From names of a live namespace to a snapshot: what they reach, one stream, buffers, and the manifest."""

from __future__ import annotations

import builtins
import contextlib
import io
import pickle
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from jupyter_mlops.capture.datafiles import chosen_files, is_file_name, mapped
from jupyter_mlops.capture.files import local_modules
from jupyter_mlops.capture.fingerprint import Fingerprinter
from jupyter_mlops.capture.hashing import Digests
from jupyter_mlops.capture.labels import Labels
from jupyter_mlops.capture.limits import CAPTURE_SECONDS, LOOK_SECONDS, Progress, TookTooLong, Watch
from jupyter_mlops.capture.look import error_text, is_a, type_name
from jupyter_mlops.capture.measure import Measure, Meter, kind_of
from jupyter_mlops.capture.pickler import CapturePickler, goes_out_of_band
from jupyter_mlops.capture.reach import belongs_to_shell
from jupyter_mlops.capture.redact import redacted_source
from jupyter_mlops.capture.secret_files import secrets_of_file
from jupyter_mlops.capture.secrets import Finding, find_secrets
from jupyter_mlops.capture.shapes import shape_of
from jupyter_mlops.capture.sharing import Arrays, is_plain_array
from jupyter_mlops.capture.spans import Span, located, span_of, union
from jupyter_mlops.environments import environment
from jupyter_mlops.errors import CaptureError
from jupyter_mlops.schema.snapshots import Blob, Captured, Manifest, SnapshotFile

SHARED_BY_VALUE = (int, float, complex, str, bytes, bool, type(None), tuple, frozenset, ModuleType)
"""Kinds whose objects many names may share by chance: they are not told apart by identity."""


@dataclass(frozen=True)
class Capture:
    """A snapshot in memory: its manifest, and the bytes of every blob that it names."""

    manifest: Manifest
    blobs: dict[str, memoryview]
    """Digest to content; views of the captured objects' own memory and of mapped files, never copies."""


@dataclass
class _Found:
    """What the measuring pass learned about one name."""

    value: Any
    reasons: list[str]
    measure: Measure


def capture(
    namespace: dict[str, Any],
    roots: Iterable[str],
    *,
    init: str | None = None,
    keep: Iterable[str] = (),
    drop: Iterable[str] = (),
    files: Iterable[str] = (),
    secrets: bool = False,
    progress: Progress | None = None,
    seconds: float = CAPTURE_SECONDS,
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
        Further names, which no code mentions, and names that hold secrets and shall go along all the same; also paths
        of files that do.
    drop:
        Names that must not go along.
    files:
        Data files that go along: paths relative to the working directory, and patterns such as `data/*.csv`.
    secrets:
        Take what looks like a secret without asking; for snapshots that stay where they are taken.
    progress:
        Told what is done and how far it is: names measured, then bytes hashed.
    seconds:
        How long one object may keep the capture waiting before it is given up.

    Raises
    ------
    CaptureError
        Naming the variable, and the path inside it, that cannot go along, what dropping breaks, or what looks like
        a secret.
    """
    labels, arrays, watch = Labels(), Arrays(), Watch(seconds)
    digests = Digests(progress, watch)
    kept, dropped = tuple(keep), frozenset(drop)
    kept_files = frozenset(name for name in kept if name not in namespace and is_file_name(name))
    wanted = [*roots, *([init] if init else []), *(name for name in kept if name not in kept_files)]
    for name in wanted:
        if name not in namespace:
            raise CaptureError(f"there is no {name!r} to capture: define it in a cell first, or check the spelling")
    folder = Path.cwd()
    data = chosen_files(files, folder)
    scout = _Scout(namespace, labels, arrays, watch, dropped, progress, digests)
    writer = _Writer(namespace, labels, arrays, watch, digests)
    with contextlib.closing(digests), watch.armed():
        found = scout.run(wanted)
        _check_dropped(found, dropped, init)
        if not secrets:
            _check_secrets(found, frozenset(kept), watch)
        arrays.settle()
        stream, buffers = writer.write(found, dropped)
        sources = local_modules(scout.modules, folder) | data
        if not secrets:
            _check_files(sources, kept_files)
        return writer.assemble(found, stream, buffers, sources, scout.modules)


class _Scout:
    """Measures names and, in turn, every name that they read."""

    def __init__(
        self,
        namespace: dict[str, Any],
        labels: Labels,
        arrays: Arrays,
        watch: Watch,
        dropped: frozenset[str],
        progress: Progress | None,
        digests: Digests,
    ) -> None:
        self._digests = digests
        self._namespace = namespace
        self._dropped = dropped
        self._progress = progress
        self._stop: dict[int, str] = {}
        self._meter = Meter(namespace, labels, arrays=arrays, watch=watch, stop=self._stop, dropped=dropped)
        self.modules: dict[str, None] = {}

    def run(self, wanted: Iterable[str]) -> dict[str, _Found]:
        found: dict[str, _Found] = {}
        queue = deque((name, "asked for") for name in wanted)
        for name, _ in queue:
            self._digests.begin(self._namespace[name])
        while queue:
            name, reason = queue.popleft()
            if name in found:
                found[name].reasons.append(reason)
                continue
            if self._progress is not None:
                self._progress(f"measuring {name}", len(found), len(found) + len(queue) + 1)
            value = self._namespace[name]
            if not is_a(value, SHARED_BY_VALUE):
                self._stop.setdefault(id(value), name)
            found[name] = _Found(value, [reason], self._measure(name, value))
            self.modules |= found[name].measure.modules
            reads = [read for read in found[name].measure.reads if self._is_captured(read)]
            for read in reads:
                self._digests.begin(self._namespace[read])
            queue.extend((read, f"read by {name}") for read in reads)
        return found

    def _is_captured(self, name: str) -> bool:
        known = name in self._namespace and name not in self._dropped
        return known and not belongs_to_shell(name, self._namespace)

    def _measure(self, name: str, value: Any) -> Measure:
        try:
            return self._meter.measure(value)
        # Pickling runs the objects' own code, which may raise anything.
        except Exception as error:  # noqa: BLE001
            blamed = self._meter.blame(name, value, error)
            remedy = "build it inside the function, or in a function given as --init (`global ...`)"
            if not (blamed.startswith(f"{name}: ") and is_a(value, FunctionType)):
                remedy = f"leave it out (--drop {name}) and {remedy}"
            raise CaptureError(f"{blamed}; {remedy}") from None


def _check_dropped(found: dict[str, _Found], dropped: frozenset[str], init: str | None) -> None:
    """Refuse to drop what code reads, unless something it calls first makes it again."""
    made = {write for one in found.values() for write in one.measure.writes}
    for name, one in found.items():
        reads = (read for read in one.measure.reads if read in dropped)
        missing = [read for read in reads if read not in made and not hasattr(builtins, read)]
        if name != init and missing:
            raise CaptureError(
                f"{name} reads {', '.join(missing)}, which --drop leaves out: the service would fail with a NameError. "
                f"Make {'it' if len(missing) == 1 else 'them'} in a function given as --init "
                f"(`global {', '.join(missing)}`), or do not drop"
            )
    for name in dropped & found.keys():
        raise CaptureError(f"{name!r} is both wanted and dropped; take it out of one of them")


def _check_secrets(found: dict[str, _Found], kept: frozenset[str], watch: Watch) -> None:
    """Refuse to take along what looks like a secret and was not asked for by name."""
    findings = [(name, one) for name in found if name not in kept for one in _secrets_of(name, found[name], watch)]
    if not findings:
        return
    names = list(dict.fromkeys(name for name, _ in findings))
    listed = "; ".join(_spoken(name, one, found[name].reasons[0]) for name, one in findings[:5])
    more = f"; and {len(findings) - 5} more" if len(findings) > 5 else ""  # noqa: PLR2004
    one = len(names) == 1
    raise CaptureError(
        f"{listed}{more}. Secrets do not go along unasked. Either read {'it' if one else 'them'} from the environment "
        f"in a function given as --init (`global {', '.join(names)}`, `os.environ[...]`) and leave "
        f"{'it' if one else 'them'} out (--drop {','.join(names)}), or send {'it' if one else 'them'} all the same "
        f"(--keep {','.join(names)})"
    )


def _check_files(files: dict[str, Path], kept: frozenset[str]) -> None:
    """Refuse to take along files with what looks like a secret, unless they were asked for by name."""
    unknown = sorted(kept - files.keys())
    if unknown:
        raise CaptureError(f"--keep {unknown[0]}: no such file goes along; name data files with --files")
    found = {name: secrets_of_file(name, path) for name, path in files.items() if name not in kept}
    findings = [one for several in found.values() for one in several]
    if not findings:
        return
    names = ",".join(name for name, several in found.items() if several)
    listed = "; ".join(f"{one.where} {one.text}" for one in findings[:5])
    more = f"; and {len(findings) - 5} more" if len(findings) > 5 else ""  # noqa: PLR2004
    raise CaptureError(
        f"{listed}{more}. Files with secrets do not go along unasked. Either let the code read them from the "
        f"environment (`os.environ[...]`) and take them out of the file, or send it all the same (--keep {names})"
    )


def _secrets_of(name: str, one: _Found, watch: Watch) -> list[Finding]:
    try:
        return watch.run(lambda: find_secrets(name, one.value), LOOK_SECONDS)
    except TookTooLong as error:
        reason = f"{name}: looking for secrets in it takes too long ({error.message})"
        raise CaptureError(f"{reason}; leave it out (--drop {name}), or keep it unseen (--keep {name})") from None


def _spoken(name: str, one: Finding, reason: str) -> str:
    needed = f", and {name} is {reason}" if reason != "asked for" else ""
    return f"{one.where} {one.text}{needed}"


class _Writer:
    """The real pass: one stream of all names, then the manifest."""

    def __init__(
        self, namespace: dict[str, Any], labels: Labels, arrays: Arrays, watch: Watch, digests: Digests
    ) -> None:
        self._namespace = namespace
        self._labels = labels
        self._arrays = arrays
        self._watch = watch
        self._digests = digests
        self._blobs: dict[str, memoryview] = {}
        self._has_code = False

    def write(
        self, found: dict[str, _Found], dropped: frozenset[str]
    ) -> tuple[memoryview, list[tuple[Span, memoryview]]]:
        """Pickle all of it together, in the order of the namespace."""
        stream = io.BytesIO()
        buffers: list[tuple[Span, memoryview]] = []

        def collect(buffer: pickle.PickleBuffer) -> bool:
            if goes_out_of_band(buffer):
                buffers.append((span_of(buffer.raw()), buffer.raw()))
                return False
            return True

        pickler = CapturePickler(
            stream,
            self._namespace,
            self._labels,
            buffer_callback=collect,
            arrays=self._arrays,
            watch=self._watch,
            dropped=dropped,
        )
        try:
            pickler.dump({name: found[name].value for name in self._namespace if name in found})
        # As in the measuring pass.
        except Exception as error:  # noqa: BLE001
            raise CaptureError(f"{', '.join(found)} cannot be pickled together ({error_text(error)})") from None
        self._has_code = pickler.has_code
        return stream.getbuffer(), buffers

    def assemble(
        self,
        found: dict[str, _Found],
        stream: memoryview,
        buffers: list[tuple[Span, memoryview]],
        files: dict[str, Path],
        modules: dict[str, None],
    ) -> Capture:
        """Hash everything, and list it."""
        contents = {name: mapped(path) for name, path in sorted(files.items())}
        self._digests.total = (
            stream.nbytes + union(span for span, _ in buffers) + sum(content.nbytes for content in contents.values())
        )
        if self._has_code:
            modules = modules | {"cloudpickle": None}
        where = environment(modules, bytecode=self._has_code)
        fingerprints = self._fingerprints(found)
        listed = [self._store(content) for _, content in buffers]
        manifest = Manifest(
            stream=self._store(stream),
            buffers=tuple(listed),
            files=tuple(SnapshotFile(path=name, blob=self._store(content)) for name, content in contents.items()),
            names=self._names(found, fingerprints, [span for span, _ in buffers], listed),
            sources=tuple(map(redacted_source, self._labels.sources())),
            environment=where,
        )
        return Capture(manifest, self._blobs)

    def _store(self, content: memoryview) -> Blob:
        key = self._digests.of(content)
        self._blobs.setdefault(key, content)
        return Blob(digest=key, size=content.nbytes)

    def _fingerprints(self, found: dict[str, _Found]) -> dict[str, str]:
        hasher = Fingerprinter(self._namespace, self._digests, self._watch)
        made: dict[str, str] = {}
        # Arrays come last: they are being hashed meanwhile.
        for name, one in sorted(found.items(), key=lambda item: is_plain_array(item[1].value, type(item[1].value))):
            try:
                made[name] = self._watch.run(lambda value=one.value: hasher.fingerprint(value))  # type: ignore[misc]
            # As in the measuring pass.
            except Exception as error:  # noqa: BLE001
                raise CaptureError(f"{name} changes while it is captured ({error_text(error)})") from None
        return made

    def _names(
        self, found: dict[str, _Found], fingerprints: dict[str, str], spans: list[Span], listed: list[Blob]
    ) -> tuple[Captured, ...]:
        first = {blob.digest: index for index, blob in reversed(list(enumerate(listed)))}
        counted: set[int] = set()
        names: list[Captured] = []
        places = located([one.measure.spans for one in found.values()], spans)
        for (name, one), indexes in zip(found.items(), places, strict=True):
            reached = {first[listed[index].digest] for index in indexes}
            added = sum(listed[index].size for index in reached - counted)
            counted |= reached
            names.append(
                Captured(
                    name=name,
                    kind=kind_of(one.value),
                    type=one.value.__name__ if is_a(one.value, ModuleType) else type_name(one.value),
                    size=one.measure.size + added,
                    fingerprint=fingerprints[name],
                    buffers=tuple(sorted(reached)),
                    shape=shape_of(one.value),
                )
            )
        return tuple(names)
