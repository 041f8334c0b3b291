"""The measuring pass: pickles each name alone into nothing, to learn what it reads, holds and weighs."""

from __future__ import annotations

import functools
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from jupyter_mlops.capture.culprit import find_culprit
from jupyter_mlops.capture.labels import Labels
from jupyter_mlops.capture.limits import TookTooLong, Watch
from jupyter_mlops.capture.look import attributes, error_text, is_a, length_of, roots_of, type_name
from jupyter_mlops.capture.pickler import CapturePickler, Sink, goes_out_of_band
from jupyter_mlops.capture.sharing import Arrays
from jupyter_mlops.capture.spans import Span, span_of

SEARCH_SECONDS = 10.0
"""How long the search for the part that is to blame may take."""


_DATA = frozenset({"numpy", "pandas", "scipy", "torch"})


@dataclass
class Measure:
    """What pickling one name alone has shown."""

    size: int = 0
    """Bytes of its stream."""
    spans: list[Span] = field(default_factory=list)
    """Memory of its buffers."""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    """Other names whose objects it came to, and did not enter."""
    modules: dict[str, None] = field(default_factory=dict)


class Meter:
    """Measures names of one namespace.

    Parameters
    ----------
    namespace:
        The globals.
    labels:
        Names for source files.
    arrays:
        Meets the arrays.
    watch:
        Ends what hangs.
    stop:
        Objects, by id, at which to stop.
    dropped:
        Names that must not go along.
    meet:
        Is shown large containers and texts, and may give one a name at which to stop.
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        labels: Labels,
        *,
        arrays: Arrays,
        watch: Watch,
        stop: Mapping[int, str],
        dropped: frozenset[str] = frozenset(),
        meet: Callable[[Any], str | None] | None = None,
    ) -> None:
        self._meet = meet
        self.last = Measure()
        """What the last measuring has shown, also when it failed half-way."""
        self._namespace = namespace
        self._labels = labels
        self._arrays = arrays
        self._watch = watch
        self._stop = stop
        self._dropped = dropped

    def measure(self, value: Any) -> Measure:
        """Pickle a value into nothing.

        Parameters
        ----------
        value:
            A name's value.

        Raises
        ------
        Exception
            Whatever pickling raises, which runs the objects' own code.
        """
        sink = Sink()
        spans: list[Span] = []

        def weigh(buffer: pickle.PickleBuffer) -> bool:
            if goes_out_of_band(buffer):
                spans.append(span_of(buffer.raw()))
                return False
            return True

        pickler = self._pickler(sink, weigh, self._watch)
        try:
            pickler.dump(value)
        finally:
            self.last = Measure(
                size=sink.size,
                spans=spans,
                reads=tuple(pickler.uses.reads),
                writes=tuple(pickler.uses.writes),
                holds=tuple(pickler.held),
                modules=pickler.modules,
            )
        return self.last

    def blame(self, name: str, value: Any, error: Exception) -> str:
        """Say why a name cannot go along, from the path of the part that is to blame.

        Parameters
        ----------
        name, value:
            The name and its value.
        error:
            What pickling it raised.
        """
        search = _Search(self._pickler, min(self._watch.seconds, 1.0))
        path, culprit = find_culprit(name, value, search.fails)
        kind = type_name(culprit, home=True)
        if isinstance(error, TookTooLong):
            return f"{path}: {kind} objects take too long to pickle, which was stopped ({error.message})"
        return f"{path}: {kind} objects cannot be pickled ({error_text(error)})"

    def _pickler(self, sink: Sink, callback: Any, watch: Watch) -> CapturePickler:
        return CapturePickler(
            sink,
            self._namespace,
            self._labels,
            buffer_callback=callback,
            arrays=self._arrays,
            watch=watch,
            stop=self._stop,
            dropped=self._dropped,
            meet=self._meet,
        )


class _Search:
    """Tries parts of an object, for a limited time in all."""

    def __init__(self, pickler: Callable[..., CapturePickler], seconds: float) -> None:
        self._pickler = pickler
        self._seconds = seconds
        self._end = time.monotonic() + SEARCH_SECONDS

    def fails(self, value: Any) -> bool:
        """Whether pickling it raises or hangs; False when the time for the search is up."""
        if time.monotonic() > self._end:
            return False
        try:
            self._pickler(Sink(), lambda buffer: not goes_out_of_band(buffer), Watch(self._seconds)).dump(value)
        # Pickling runs the objects' own code, which may raise anything.
        except Exception:  # noqa: BLE001
            return True
        return False


def kind_of(value: Any) -> str:
    """What a value is: `module`, `class`, `function` or `data`."""
    if is_a(value, ModuleType):
        return "module"
    if is_a(value, type):
        return "class"
    if is_a(value, FunctionType) or is_a(value, functools._lru_cache_wrapper):  # noqa: SLF001
        return "function"
    if length_of(value) is not None or roots_of(value) & _DATA:
        return "data"
    return "function" if "__wrapped__" in attributes(value) else "data"
