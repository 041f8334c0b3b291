"""For random object graphs, what is restored is equal and shares what was shared.

A graph is described as both sides see it: a walk gives every object a number when it is first met, and every later
meeting is told by that number. Two graphs with the same description have the same values, types, order and sharing.
Memory of arrays is told by ranges: which arrays' bytes meet, and by how much they are shifted.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import CellType, FunctionType, MethodType

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_mlops.capture import capture, restore, save
from jupyter_mlops.capture.sharing import bounds

CLASSES = """
import numpy as np
import pandas as pd

class Plain:
    pass

class Slotted:
    __slots__ = ("left", "right")

class Both(Slotted):
    __slots__ = ("__dict__", "__weakref__")

class Items(list):
    pass

class Table(dict):
    pass

def pair(cell, other):
    value = cell
    def put(new):
        nonlocal value
        value = new
    def get():
        return value, other
    return put, get

def reader():
    return shared_by_functions

def writer(value):
    global shared_by_functions
    shared_by_functions = value

shared_by_functions = None
"""

LEAVES = st.one_of(
    st.integers(-10, 10**20), st.floats(allow_nan=False), st.text(max_size=5), st.none(), st.booleans(),
    st.binary(max_size=5), st.sampled_from(["big bytes"]),
)  # fmt: skip
KINDS = st.sampled_from(
    [
        "list", "tuple", "dict", "Items", "Table", "Plain", "Slotted", "Both", "set", "put and get", "method",
        "array", "view", "reversed view", "large array", "frame", "same frame", "column", "bytearray", "function",
    ]
)  # fmt: skip
STEPS = st.lists(
    st.tuples(KINDS, st.lists(st.integers(0, 30), min_size=2, max_size=4), LEAVES), min_size=1, max_size=12
)
LINKS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=4)
NAMES = st.lists(st.integers(0, 30), min_size=1, max_size=5)


class Maker:
    """Makes a graph of objects step by step; later ones hold earlier ones, and links close cycles."""

    def __init__(self):
        self.names = {"__name__": "__main__"}
        exec(compile(CLASSES, "<cell>", "exec", dont_inherit=True), self.names)
        self.made = []
        self.arrays = []
        self.frames = []

    def pick(self, number, leaf):
        return self.made[number % len(self.made)] if self.made and number % 3 else leaf

    def add(self, kind, numbers, leaf):
        leaf = b"b" * 70_000 if leaf == "big bytes" else leaf
        parts = [self.pick(number, leaf) for number in numbers]
        self.made.append(self.make(kind, parts, numbers))

    def make(self, kind, parts, numbers):  # noqa: C901  # a table of kinds
        match kind:
            case "list" | "Items":
                return (list if kind == "list" else self.names["Items"])(parts)
            case "tuple":
                return tuple(parts)
            case "dict" | "Table":
                kinds = {"dict": dict, "Table": self.names["Table"]}
                return kinds[kind]({f"key {index}": part for index, part in enumerate(parts)})
            case "Plain" | "Both":
                made = self.names[kind]()
                made.first, made.second = parts[0], parts[-1]
                if kind == "Both":
                    made.left = parts[1]
                return made
            case "Slotted":
                made = self.names[kind]()
                made.right = parts[0]
                return made
            case "set":
                return {number for number in numbers if number % 2}
            case "put and get":
                return list(self.names["pair"](parts[0], parts[1]))
            case "method":
                return MethodType(self.names["reader"], parts[0]) if parts[0] is not None else None
            case "function":
                return self.names["writer" if numbers[0] % 2 else "reader"]
            case "bytearray":
                return bytearray(b"c" * (70_000 if numbers[0] % 2 else 3))
            case _:
                return self.of_numbers(kind, numbers)

    def of_numbers(self, kind, numbers):
        if kind in {"view", "reversed view"} and self.arrays:
            base = self.arrays[numbers[0] % len(self.arrays)]
            made = base[numbers[1] % 3 :] if kind == "view" else base[:: -1 - numbers[1] % 2]
        elif kind in {"same frame", "column"} and self.frames:
            frame = self.frames[numbers[0] % len(self.frames)]
            return frame.copy(deep=False) if kind == "same frame" else frame["a"]
        elif kind in {"frame", "same frame", "column"}:
            frame = pd.DataFrame({"a": np.arange(4.0) + numbers[0], "b": np.arange(4.0), "c": list("wxyz")})
            self.frames.append(frame)
            return frame
        else:
            made = np.arange(numbers[0], numbers[0] + (10_000 if kind == "large array" else 7), dtype=float)
        self.arrays.append(made)
        return made

    def link(self, where, what):
        """Let a thing hold another one that may hold it."""
        if not self.made:
            return
        holder, held = self.made[where % len(self.made)], self.made[what % len(self.made)]
        if isinstance(holder, list):
            holder.append(held)
        elif isinstance(holder, dict):
            holder["link"] = held
        elif type(holder).__name__ in {"Plain", "Both"}:
            holder.link = held
        elif type(holder).__name__ == "Slotted":
            holder.left = held


class Description:
    """A graph as nested tuples, the same for two graphs exactly when they are alike."""

    def __init__(self):
        self.seen = {}
        self.arrays = []
        self.held = []

    def of(self, obj):
        if type(obj) in {int, float, str, type(None), bool} or (type(obj) is bytes and len(obj) < 100):
            return type(obj).__name__, obj
        if id(obj) in self.seen:
            return "again", self.seen[id(obj)]
        self.seen[id(obj)] = len(self.seen)
        self.held.append(obj)
        return type(obj).__name__, *self.parts(obj)

    def parts(self, obj):
        match obj:
            case list() | tuple():
                return [self.of(one) for one in obj]
            case dict():
                return [(key, self.of(one)) for key, one in obj.items()]
            case set():
                return [sorted(obj)]
            case bytes() | bytearray():
                return [bytes(obj)]
            case np.ndarray():
                self.arrays.append(obj)
                return [obj.dtype.str, obj.shape, obj.tolist()]
            case pd.DataFrame() | pd.Series():
                self.arrays += [one for block in obj._mgr.blocks if isinstance(one := block.values, np.ndarray)]  # noqa: PD011  # of blocks
                return [obj.to_dict(), [str(kind) for kind in np.atleast_1d(obj.dtypes)]]
            case MethodType():
                return [self.of(obj.__func__), self.of(obj.__self__)]
            case FunctionType():
                return [obj.__name__, *(self.of(cell) for cell in obj.__closure__ or ())]
            case CellType():
                return [self.of(obj.cell_contents)]
            case _:
                slots = [(name, self.of(getattr(obj, name))) for name in ("left", "right") if hasattr(obj, name)]
                return [slots, self.of(getattr(obj, "__dict__", None))]

    def memory(self):
        """Which arrays meet, and how they are shifted against each other."""
        spans = [bounds(array) for array in self.arrays if array.size]
        return [
            (i, j, low - other)
            for i, (low, high) in enumerate(spans)
            for j, (other, end) in enumerate(spans)
            if i < j and low < end and other < high
        ]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, links=LINKS, names=NAMES)
def test_what_is_restored_is_equal_and_shares_the_same(steps, links, names):
    maker = Maker()
    for step in steps:
        maker.add(*step)
    for link in links:
        maker.link(*link)
    for index, number in enumerate(names):
        maker.names[f"name_{index}"] = maker.made[number % len(maker.made)]
    wanted = [f"name_{index}" for index in range(len(names))]
    with tempfile.TemporaryDirectory() as folder:
        saved = save(capture(maker.names, wanted), Path(folder))
        back = restore(saved.path, {"__name__": "__main__"}, check=True)
        before, after = Description(), Description()
        expected = before.of([maker.names[name] for name in wanted])
        assert [name for name in back if name in wanted] == wanted
        assert after.of([back[name] for name in wanted]) == expected
        assert after.memory() == before.memory()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_functions_share_their_globals_again(steps):
    maker = Maker()
    for step in steps:
        maker.add(*step)
    maker.names["held"] = maker.made
    with tempfile.TemporaryDirectory() as folder:
        saved = save(capture(maker.names, ["reader", "writer", "held"]), Path(folder))
        namespace = {"__name__": "__main__"}
        back = restore(saved.path, namespace)
    namespace.update(back)
    back["writer"](back["held"])
    assert back["reader"]() is back["held"]
    assert maker.names["shared_by_functions"] is None
