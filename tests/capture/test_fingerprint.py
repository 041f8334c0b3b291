"""Fingerprints: equal for equal content in any process, different for different content."""

# ruff: noqa: E501  (tables of cases and cells are read by the line)

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from jupyter_mlops.capture import capture

NOTEBOOK = """
    import enum
    from dataclasses import dataclass
    from functools import lru_cache

    import numpy as np
    import pandas as pd
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = {"a", "b", "see", "dee", ("e", 1)}
    frozen = frozenset(words)
    nested = {"x": [1, 2.5, None, {"y": words}], "z": (True, b"bytes", 1j)}
    cycle = []; cycle.append(cycle)
    array = np.arange(20_000.0)
    frame = pd.DataFrame({"n": [1, 2], "s": ["a", None], "d": pd.to_datetime(["2020-01-01", None]), "c": pd.Categorical(["u", "v"])})
    series = pd.Series([1.5, None], index=["p", "q"], name="values")
    many = [{"i": i} for i in range(50)]

    @dataclass
    class Point:
        x: int = 1

    class Colour(enum.Enum):
        RED = "red"

    class Scale(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None): return self
        def transform(self, X): return np.asarray(X) * 2

    X = np.random.default_rng(0).normal(size=(100, 2)); y = (X[:, 0] > 0).astype(int)
    model = make_pipeline(Scale(), LogisticRegression()).fit(X, y)
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    point = Point(3)
    colour = Colour.RED

    import typing
    T = typing.TypeVar("T")

    class Box(typing.Generic[T]):
        def get(self) -> T: ...

    box = Box()

    @lru_cache
    def cached(n): return n in {"x", "y", "zed"}

    def f(a: float = 2.0, *, b={"k"}):
        "A docstring."
        def inner(): return words, frozen, nested, cycle, array, frame, series, many, X, y
        return inner(), box, Box, model, forest, point, colour, Point, Colour, cached(a)
"""

SCRIPT = """
import json, linecache, sys
from jupyter_mlops.capture import capture
filename, source = sys.argv[1:]
linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
namespace = {"__name__": "__main__"}
exec(compile(source, filename, "exec"), namespace)
captured = capture(namespace, ["f"])
print(json.dumps({one.name: one.fingerprint for one in captured.manifest.names}))
"""


def in_a_process(seed, filename, source):
    environment = dict(os.environ, PYTHONHASHSEED=str(seed))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, filename, textwrap.dedent(source)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_processes_agree_and_the_file_name_does_not_matter():
    first = in_a_process(1, "/tmp/ipykernel_1/11.py", NOTEBOOK)
    second = in_a_process(2, "/tmp/ipykernel_2/22.py", "\n\n\n" + NOTEBOOK)
    assert len(first) > 15
    assert first == second


def fingerprints(notebook, source):
    return {one.name: one.fingerprint for one in capture(notebook(source), ["f"]).manifest.names}


CHANGES = {
    "a number": ("k = 1", "k = 2"),
    "its type": ("k = 1", "k = 1.0"),
    "true and one": ("k = [1]", "k = [True]"),
    "a set": ("k = {1, 2}", "k = {1, 3}"),
    "list and tuple": ("k = [1]", "k = (1,)"),
    "the order of a dict": ("k = {'a': 1, 'b': 2}", "k = {'b': 2, 'a': 1}"),
    "one value of an array": (
        "import numpy as np; k = np.zeros(9)",
        "import numpy as np; k = np.zeros(9); k[4] = 1e-300",
    ),
    "the shape of an array": ("import numpy as np; k = np.zeros((2, 3))", "import numpy as np; k = np.zeros((3, 2))"),
    "the type of an array": ("import numpy as np; k = np.zeros(2, 'f4')", "import numpy as np; k = np.zeros(2, 'i4')"),
    "a text in a frame": (
        "import pandas as pd; k = pd.DataFrame({'a': ['x', 'y']})",
        "import pandas as pd; k = pd.DataFrame({'a': ['x', 'z']})",
    ),
    "a column's name": (
        "import pandas as pd; k = pd.DataFrame({'a': [1]})",
        "import pandas as pd; k = pd.DataFrame({'b': [1]})",
    ),
    "a coefficient": (
        "import numpy as np; from sklearn.linear_model import LinearRegression as L; k = L().fit([[1], [2]], [1, 2])",
        "import numpy as np; from sklearn.linear_model import LinearRegression as L; k = L().fit([[1], [2]], [1, 3])",
    ),
    "a helper's code": ("def k(): return 1", "def k(): return 2"),
    "a helper's default": ("def k(x=1): return x", "def k(x=2): return x"),
    "a closure's value": ("k = (lambda n: lambda: n)(1)", "k = (lambda n: lambda: n)(2)"),
    "a method": ("class k:\n    def m(self): return 1", "class k:\n    def m(self): return 2"),
    "a base": ("class A: pass\nclass k(A): pass", "class A: x = 1\nclass k(A): pass"),
    "an attribute": ("class A: pass\nk = A(); k.x = 1", "class A: pass\nk = A(); k.x = 2"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_another_content_has_another_fingerprint(case, notebook):
    one, other = CHANGES[case]
    tail = "\ndef f(): return k"
    before, after = fingerprints(notebook, one + tail), fingerprints(notebook, other + tail)
    assert before["k"] != after["k"]
    assert before["f"] == after["f"]


SAMES = {
    "comments and lines": ("def k():\n    return 1", "\n\n# a comment\ndef k():\n\n    return 1"),
    "shared or equal parts": ("a = 'x' * 50; k = [a, a]", "k = ['x' * 50, ''.join(['x'] * 50)]"),
    "shared or equal lists": ("a = [1]; k = [a, a]", "k = [[1], [1]]"),
    "the order of attributes": (
        "class A: pass\nk = A(); k.x = 1; k.y = [2]",
        "class A: pass\nk = A(); k.y = [2]; k.x = 1",
    ),
    "how an array is stored": (
        "import numpy as np; k = np.arange(6.0).reshape(2, 3)",
        "import numpy as np; k = np.asfortranarray(np.arange(6.0).reshape(2, 3))",
    ),
}


@pytest.mark.parametrize("case", SAMES)
def test_the_same_content_has_one_fingerprint(case, notebook):
    one, other = SAMES[case]
    tail = "\ndef f(): return k"
    assert fingerprints(notebook, one + tail)["k"] == fingerprints(notebook, other + tail)["k"]


def test_using_a_model_does_not_change_it(notebook):
    source = """
        import numpy as np
        from sklearn.ensemble import RandomForestClassifier
        model = RandomForestClassifier(5, random_state=0).fit([[0], [1]], [0, 1])
        def f(): return model
    """
    namespace = notebook(source)
    before = capture(namespace, ["f"]).manifest.names
    namespace["model"].predict([[0]])
    assert capture(namespace, ["f"]).manifest.names == before


def test_deep_structures_have_a_fingerprint(notebook):
    names = fingerprints(notebook, "k = []\nfor _ in range(300):\n    k = [k]\ndef f(): return k")
    assert len(names["k"]) == 64
