"""What a survey of a namespace says: each variable, why it would go along, what it weighs, and what to beware of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from jupyter_mlops.capture.spans import Span, union

VERY_LARGE = 100 * 2**20
"""Bytes from which a variable is called very large."""


@dataclass(frozen=True)
class Caution:
    """Something to know before a variable goes along."""

    kind: str
    """`secret`, `file`, `database`, `socket`, `thread`, `process`, `cuda`, `generator`, `large`."""
    where: str
    """The path inside the variable, such as `settings['token']`."""
    text: str
    """A few words, such as `looks like a GitHub token`; never any part of a secret."""

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(frozen=True)
class Weight:
    """What one variable takes in a snapshot, in parts that can be shared."""

    own: int = 0
    """Bytes of the pickle stream that are nobody else's."""
    spans: tuple[Span, ...] = ()
    """Memory of its buffers, as address ranges: what two variables share is found where these meet."""
    parts: tuple[str, ...] = ()
    """Other variables, and large objects without a name, that it holds."""
    reads: tuple[str, ...] = ()
    """Variables that code in it names; code of its parts is not counted here."""
    makes: tuple[str, ...] = ()
    """Variables that code in it makes (`global ...`)."""


@dataclass(frozen=True)
class Variable:
    """One variable of the namespace."""

    name: str
    type: str
    """Its class, with the module unless that is Python's own or the notebook."""
    kind: str
    """`function`, `class`, `data`."""
    shape: str = ""
    """Rows and columns, such as `1,000 x 12`, or a number of items; empty when it has none."""
    size: int | None = 0
    """Bytes of a snapshot of this variable alone, with all that it holds; None when that is not known."""
    path: tuple[str, ...] = ()
    """Names that lead from the function to it, both included; empty when the function does not reach it."""
    problem: str = ""
    """Why it cannot go along, from the path of the part that is to blame; empty when it can."""
    cautions: tuple[Caution, ...] = ()
    weight: Weight = field(default_factory=Weight, repr=False)

    @property
    def reached(self) -> bool:
        """Whether the function reaches it."""
        return bool(self.path)

    @property
    def capturable(self) -> bool:
        """Whether it can go along."""
        return not self.problem

    @property
    def secret(self) -> bool:
        """Whether it, or something in it, looks like a secret: then it only goes along when it is kept by name."""
        return any(one.kind == "secret" for one in self.cautions)

    @property
    def why(self) -> str:
        """How the function reaches it, such as `cars -> model -> scaler`; empty when it does not."""
        return " -> ".join(self.path)


@dataclass(frozen=True)
class Missing:
    """A variable that code reads and that would not be there."""

    name: str
    readers: tuple[str, ...]
    """The selected functions and classes whose code reads it."""
    reason: str = "is left out"

    def __str__(self) -> str:
        verb = "reads" if len(self.readers) == 1 else "read"
        who = " and ".join(self.readers)
        return f"{who} {verb} {self.name}, which {self.reason}: a call would fail with a NameError"


@dataclass(frozen=True)
class Survey:
    """A look at a namespace: its variables, and which of them are chosen to go along. Nothing in it is live.

    `str()` gives a table. `select` returns another survey with another choice; the numbers follow.
    """

    variables: tuple[Variable, ...]
    """In the order of the namespace."""
    selected: tuple[str, ...]
    """Names that go along: what the function reaches, or without a function all that can; no secrets."""
    function: str | None = None
    init: str | None = None
    modules: tuple[str, ...] = ()
    """Variables that are modules: they are imported again, not captured."""
    parts: Mapping[str, Weight] = field(default_factory=dict, repr=False)
    """Large objects without a name that several variables hold."""

    def __getitem__(self, name: str) -> Variable:
        for one in self.variables:
            if one.name == name:
                return one
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(one.name == name for one in self.variables)

    def __str__(self) -> str:
        from jupyter_mlops.capture.table import table

        return table(self)

    def select(self, *, keep: Iterable[str] = (), drop: Iterable[str] = ()) -> Survey:
        """Choose more or less.

        Parameters
        ----------
        keep:
            Names to add, secrets too.
        drop:
            Names to take away; with them go those that only they reach.

        Raises
        ------
        KeyError
            With a name that is no variable here.
        """
        kept, dropped = tuple(keep), frozenset(drop)
        for name in (*kept, *dropped):
            self[name]
        chosen = frozenset(self.selected) | {name for name in self.needed(kept) if self._may_go(name, kept)}
        if self.function is not None and dropped:
            wanted = [name for name in (self.function, self.init) if name is not None]
            extra = frozenset(self.selected) - self.needed(wanted)
            chosen &= self.needed([*wanted, *kept, *extra], dropped)
        chosen -= dropped
        return replace(self, selected=tuple(one.name for one in self.variables if one.name in chosen))

    def _may_go(self, name: str, kept: tuple[str, ...]) -> bool:
        return name in kept or (self[name].capturable and not self[name].secret)

    def needed(self, names: Iterable[str], without: Collection[str] = ()) -> frozenset[str]:
        """These variables, and all that their code reads, and so on.

        Parameters
        ----------
        names:
            Where to begin.
        without:
            Names that are left out, with what only they read.
        """
        found: set[str] = set()
        queue = [name for name in names if name not in without]
        while queue:
            name = queue.pop()
            if name not in found and name in self:
                found.add(name)
                queue += [read for one in self.held([name]).values() for read in one.reads if read not in without]
        return frozenset(found)

    def total(self, names: Iterable[str] | None = None) -> int:
        """Bytes of a snapshot of these variables; what several of them hold counts once.

        Parameters
        ----------
        names:
            The variables; None for the selected ones.
        """
        own = 0
        spans: list[Span] = []
        for weight in self.held(self.selected if names is None else names).values():
            own += weight.own
            spans += weight.spans
        return own + union(spans)

    def adds(self, name: str, names: Iterable[str] | None = None) -> int:
        """Bytes by which this variable makes a choice larger, or, when it is chosen, would make it smaller without.

        Parameters
        ----------
        name:
            The variable.
        names:
            The choice; None for the selected ones.
        """
        chosen = frozenset(self.selected if names is None else names)
        return self.total(chosen | {name}) - self.total(chosen - {name})

    def missing(self, names: Iterable[str] | None = None) -> tuple[Missing, ...]:
        """Variables that the chosen code reads and that are not chosen, so that a call of it would fail.

        Parameters
        ----------
        names:
            The choice; None for the selected ones.
        """
        chosen = tuple(self.selected if names is None else names)
        known = self.held(chosen)
        made = {name for one in known.values() for name in one.makes}
        readers: dict[str, list[str]] = {}
        for reader, one in known.items():
            for name in one.reads:
                if name not in chosen and name not in made and name in self and reader != self.init:
                    readers.setdefault(name, []).append(reader)
        return tuple(Missing(name, tuple(found), self._reason(name)) for name, found in readers.items())

    def _reason(self, name: str) -> str:
        one = self[name]
        if one.problem:
            return f"cannot go along ({one.problem})"
        if one.secret:
            return f"looks like a secret and is left out unless it is kept (--keep {name}); or read it in --init"
        return "is left out"

    def held(self, names: Iterable[str]) -> dict[str, Weight]:
        """The weights of these variables and of all that they hold, each once, by name.

        Parameters
        ----------
        names:
            Variables.
        """
        known = {one.name: one.weight for one in self.variables} | dict(self.parts)
        found: dict[str, Weight] = {}
        queue = list(names)
        while queue:
            name = queue.pop(0)
            if name not in found and name in known:
                found[name] = known[name]
                queue += known[name].parts
        return found
