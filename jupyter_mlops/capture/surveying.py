"""The survey: a look at every variable of a namespace, before anything is captured."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from jupyter_mlops.capture.cautions import cautions_of
from jupyter_mlops.capture.labels import Labels
from jupyter_mlops.capture.limits import LOOK_SECONDS, SURVEY_SECONDS, Progress, TookTooLong, Watch
from jupyter_mlops.capture.look import error_text, is_a, type_name
from jupyter_mlops.capture.measure import Measure, Meter, kind_of
from jupyter_mlops.capture.reach import belongs_to_shell
from jupyter_mlops.capture.secrets import find_secrets
from jupyter_mlops.capture.shapes import shape_of
from jupyter_mlops.capture.sharing import Arrays
from jupyter_mlops.capture.snapshot import SHARED_BY_VALUE
from jupyter_mlops.capture.surveys import Caution, Survey, Variable, Weight
from jupyter_mlops.errors import CaptureError

_Look = tuple[Measure, str | None]

OF_ALL = 4
"""A variable whose objects are many, but none of which hangs, may take this many times the limit."""

_MANY = 4096
"""Items or characters from which it is worth knowing that two variables hold the same."""


def survey(
    namespace: dict[str, Any],
    function: str | None = None,
    *,
    init: str | None = None,
    keep: Iterable[str] = (),
    drop: Iterable[str] = (),
    progress: Progress | None = None,
    seconds: float = SURVEY_SECONDS,
) -> Survey:
    """Look at a namespace: what is in it, what a function reaches, what that weighs, and what cannot go along.

    Nothing is changed, and code of the objects' own runs only where pickling needs it, for a limited time.

    Parameters
    ----------
    namespace:
        The globals, as a notebook's `user_ns`.
    function:
        Name of the function to publish; None to look at a snapshot of everything.
    init:
        Name of a function that runs first and may make what the others read.
    keep:
        Names to choose too, secrets as well.
    drop:
        Names not to choose.
    progress:
        Told before each variable: its name, how many are done, and of how many.
    seconds:
        How long one object may keep the survey waiting. A variable with an object that takes longer cannot go
        along; one that merely has very many is listed without its size.

    Raises
    ------
    CaptureError
        When there is no variable of a name that was given.
    """
    kept, dropped = tuple(keep), tuple(drop)
    named = (*([function] if function else []), *([init] if init else []), *kept, *dropped)
    for name in named:
        if name not in namespace:
            raise CaptureError(f"there is no {name!r} here: define it in a cell first, or check the spelling")
    values = {name: value for name, value in list(namespace.items()) if not belongs_to_shell(name, namespace)}
    modules = tuple(name for name, value in values.items() if is_a(value, ModuleType))
    values = {name: value for name, value in values.items() if name not in modules}
    watch = Watch(seconds, seconds * OF_ALL)
    with watch.armed():
        variables, parts = _Surveyor(namespace, progress, watch).run(values)
    found = Survey(variables, (), function, init, modules, parts)
    wanted = [name for name in (function, init) if name is not None]
    chosen = found.needed(wanted) if wanted else frozenset(values)
    chosen = frozenset(name for name in chosen if found[name].capturable and not found[name].secret)
    found = replace(
        found,
        variables=_with_paths(found, wanted),
        selected=tuple(name for name in values if name in chosen),
    )
    # A module may be named too: it is imported, which needs no choice.
    return found.select(keep=[name for name in kept if name in found], drop=[name for name in dropped if name in found])


class _Surveyor:
    """Measures each variable, and finds what several of them hold."""

    def __init__(self, namespace: dict[str, Any], progress: Progress | None, watch: Watch) -> None:
        self._progress = progress
        self._watch = watch
        self._stop: dict[int, str] = {}
        self._large = LargeObjects()
        self._meter = Meter(
            namespace,
            Labels(),
            arrays=Arrays(),
            watch=watch,
            stop=self._stop,
            meet=self._large.meet,
        )

    def run(self, values: Mapping[str, Any]) -> tuple[tuple[Variable, ...], dict[str, Weight]]:
        """Look at each value."""
        for name, value in values.items():
            if not is_a(value, SHARED_BY_VALUE):
                self._stop.setdefault(id(value), name)
        looks = {}
        for done, (name, value) in enumerate(values.items()):
            if self._progress is not None:
                self._progress(name, done, len(values))
            looks[name] = self._look(name, value)
        # What turned out to be shared was still weighed with the first that holds it.
        for name in self._large.to_repeat():
            looks[name] = self._look(name, values[name])
        parts = {name: self._look(name, value)[0] for name, value in self._large.parts.items()}
        weights = {name: _weight(one, self._alias(name, values[name])) for name, (one, _) in looks.items()}
        shared = {name: _weight(one, None) for name, one in parts.items()}
        whole = Survey(tuple(Variable(name, "", "", weight=one) for name, one in weights.items()), (), parts=shared)
        found = [
            self._described(name, value, looks[name], weights[name], whole.total([name]))
            for name, value in values.items()
        ]
        problems = {one.name: one.problem for one in found if one.problem}
        return tuple(_with_inherited(one, problems, whole) for one in found), shared

    def _look(self, name: str, value: Any) -> _Look:
        """What was measured, and why it cannot go along; None for one that has merely not been measured in full."""
        self._large.name = name
        try:
            return self._meter.measure(value), ""
        # Pickling runs the objects' own code, which may raise anything.
        except Exception as error:  # noqa: BLE001
            if isinstance(error, TookTooLong) and not error.stalled:
                return self._meter.last, None
            return self._meter.last, self._meter.blame(name, value, error)

    def _alias(self, name: str, value: Any) -> str | None:
        """Another name of the same object, the first one."""
        first = self._stop.get(id(value), name)
        return None if first == name or is_a(value, SHARED_BY_VALUE) else first

    def _described(self, name: str, value: Any, look: _Look, weight: Weight, total: int) -> Variable:
        try:
            return self._watch.run(lambda: self._variable(name, value, look, weight, total), LOOK_SECONDS)
        # Looking asks nothing of objects, but of what a metaclass does when its class is looked up there is no end.
        except Exception as error:  # noqa: BLE001
            problem = look[1] or f"{name}: cannot be looked at ({error_text(error)})"
            return Variable(name, type_name(value), "data", size=None, problem=problem, weight=weight)

    def _variable(self, name: str, value: Any, look: _Look, weight: Weight, total: int) -> Variable:
        problem = look[1]
        size = total if problem == "" else None
        cautions = list(cautions_of(name, value, size))
        cautions += [Caution("secret", one.where, one.text) for one in find_secrets(name, value)]
        if problem is None:
            cautions.append(Caution("large", name, "so many objects that they were not all measured"))
        return Variable(
            name=name,
            type=type_name(value, home=True),
            kind=kind_of(value),
            shape=shape_of(value),
            size=size,
            problem=problem or "",
            cautions=tuple(cautions),
            weight=weight,
        )


class LargeObjects:
    """Large containers and texts without a name: when a second variable holds one, it counts once."""

    def __init__(self) -> None:
        self.name = ""
        """The variable that is being measured."""
        self.parts: dict[str, Any] = {}
        self._first: dict[int, tuple[Any, str]] = {}
        self._shared: dict[int, str] = {}

    def meet(self, obj: Any) -> str | None:
        """The name that an object has got because several variables hold it.

        Parameters
        ----------
        obj:
            A list, dict, set, tuple or text.
        """
        if len(obj) < _MANY:
            return None
        key = id(obj)
        first = self._first.setdefault(key, (obj, self.name))  # held, so that its id stays its own
        if key not in self._shared and first[1] != self.name:
            self._shared[key] = f"{type(obj).__name__} {len(self._shared) + 1} in {first[1]}"
            self.parts[self._shared[key]] = obj
        return self._shared.get(key)

    def to_repeat(self) -> list[str]:
        """The variables that were measured with something that turned out to be shared."""
        return list(dict.fromkeys(self._first[key][1] for key in self._shared))


def _with_inherited(one: Variable, problems: Mapping[str, str], whole: Survey) -> Variable:
    """A variable that holds another one cannot go along when that one cannot."""
    if one.problem:
        return one
    inner = next((name for name in whole.held([one.name]) if name in problems), None)
    if inner is None:
        return one
    return replace(one, size=None, problem=f"{one.name} holds {inner}, which cannot go along ({problems[inner]})")


def _weight(measure: Measure, alias: str | None) -> Weight:
    if alias is not None:
        return Weight(0, (), (alias,))
    return Weight(measure.size, tuple(measure.spans), measure.holds, measure.reads, measure.writes)


def _with_paths(found: Survey, wanted: list[str]) -> tuple[Variable, ...]:
    """The variables, each with the shortest way from the function: by what code reads, and by what objects hold."""
    paths: dict[str, tuple[str, ...]] = {name: (name,) for name in wanted}
    queue = deque(wanted)
    while queue:
        name = queue.popleft()
        one = found[name]
        for step in _steps(found, one):
            if step in found and step not in paths:
                paths[step] = (*paths[name], step)
                queue.append(step)
    return tuple(replace(one, path=paths.get(one.name, ())) for one in found.variables)


def _steps(found: Survey, one: Variable) -> list[str]:
    """Variables that its code names or that it holds, also by way of large objects without a name."""
    steps = [*one.weight.reads, *one.weight.parts]
    for part in one.weight.parts:
        if part in found.parts:
            steps += [*found.parts[part].reads, *found.parts[part].parts]
    return steps
