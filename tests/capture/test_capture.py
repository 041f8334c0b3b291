"""Capture: what goes along, how it comes back in a fresh Python, and what is refused."""

# ruff: noqa: E501, ISC004, SIM115  (tables of cases and cells are read by the line)

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from jupyter_mlops.capture import Overlay, capture
from jupyter_mlops.errors import CaptureError

LIVES = {
    "a global": ("k = 2\ndef f(x): return k * x", "f(21)", 42),
    "a helper of a helper": (
        "def a(x): return b(x) + 1\ndef b(x): return c * x\nc = 3\ndef f(x): return a(x)",
        "f(2)",
        7,
    ),
    "recursion": ("def f(n): return 1 if n < 2 else n * f(n - 1)", "f(5)", 120),
    "mutual recursion": (
        "def even(n): return True if n == 0 else odd(n - 1)\ndef odd(n): return False if n == 0 else even(n - 1)\n"
        "def f(n): return even(n)",
        "f(10)",
        True,
    ),
    "a closure": ("def make(k):\n    return lambda x: x * k\nf = make(5)", "f(2)", 10),
    "a closure that counts": (
        "def make():\n    n = 0\n    def f():\n        nonlocal n\n        n += 1\n        return n\n    return f\nf = make()",
        "[f(), f()]",
        [1, 2],
    ),
    "a lambda": ("k = 4\nf = lambda x: x + k", "f(1)", 5),
    "defaults": ("k = [1, 2]\ndef f(x, y=k, *, z={'a': 1}): return [x, y, z]", "f(0)", [0, [1, 2], {"a": 1}]),
    "a decorator": (
        "import functools\ndef twice(g):\n    @functools.wraps(g)\n    def inner(*a): return 2 * g(*a)\n    return inner\n"
        "@twice\ndef f(x): return x + k\nk = 1",
        "[f(2), f.__name__]",
        [6, "f"],
    ),
    "a cache": (
        "from functools import lru_cache\n@lru_cache(maxsize=50)\ndef f(n): return n if n < 2 else f(n - 1) + f(n - 2)",
        "[f(30), f.cache_info().maxsize]",
        [832040, 50],
    ),
    "a class": (
        "k = 3\nclass Scale:\n    def __init__(self, by): self.by = by\n    def __call__(self, x): return x * self.by * k\n"
        "scale = Scale(2)\ndef f(x): return scale(x)",
        "[f(1), type(scale) is Scale if 'Scale' in globals() else None]",
        [6, None],
    ),
    "inheritance and super": (
        "class A:\n    def g(self): return 1\nclass B(A):\n    def g(self): return super().g() + 1\ndef f(): return B().g()",
        "f()",
        2,
    ),
    "a dataclass": (
        "from dataclasses import dataclass, field, replace\n@dataclass\nclass P:\n    x: int\n    y: list = field(default_factory=list)\n"
        "def f(x): return repr(replace(P(x), x=x + 1))",
        "f(1)",
        "P(x=2, y=[])",
    ),
    "an enum": (
        "import enum\nclass Colour(enum.Enum):\n    RED = 1\n    BLUE = 2\nc = Colour.BLUE\ndef f(): return [c.name, c is Colour.BLUE]",
        "f()",
        ["BLUE", True],
    ),
    "a class inside the function that reads a global": (
        "k = 9\ndef f():\n    class A:\n        value = k\n    return A.value",
        "f()",
        9,
    ),
    "a comprehension": ("ks = [1, 2]\nk = 3\ndef f(): return [k * one for one in ks]", "f()", [3, 6]),
    "imports": (
        "import json as j\nimport os.path\ndef f(): return [j.dumps({}), os.path.basename('a/b')]",
        "f()",
        ["{}", "b"],
    ),
    "one object under two names": (
        "a = [1]\nb = a\nhold = {'a': a}\ndef f():\n    a.append(2)\n    return [b, hold['a'] is b]",
        "f()",
        [[1, 2], True],
    ),
    "a cycle": ("a = []\na.append(a)\ndef f(): return a[0] is a", "f()", True),
    "a rebound global": ("n = 0\ndef f():\n    global n\n    n += 1\n    return n", "[f(), f(), n]", [1, 2, 2]),
    "functions that share main": (
        "def set_it(v):\n    global state\n    state = v\ndef f(v):\n    set_it(v)\n    return state\nstate = None",
        "[f(7), state]",
        [7, 7],
    ),
    "a cached property": (
        "from functools import cached_property\nclass A:\n    @cached_property\n    def v(self): return k\nk = 3\na = A()\n"
        "def f(): return [a.v, vars(a)]",
        "f()",
        [3, {"v": 3}],
    ),
    "a function of many types": (
        "from functools import singledispatch\n@singledispatch\ndef g(x): return 'any'\n@g.register(float)\ndef _(x): return k\n"
        "k = 'float'\ng(1.0)\ndef f(): return [g(1.0), g('x'), g(1)]",
        "f()",
        ["float", "any", "any"],
    ),
    "a partial": (
        "from functools import partial\ndef g(a, b): return a - b + k\nk = 10\nf = partial(g, 5)",
        "f(3)",
        12,
    ),
    "a bound method": ("class A:\n    def go(self): return k\nk = 2\nf = A().go", "f()", 2),
    "setstate that needs a global": (
        "import math\nclass A:\n    def __getstate__(self): return {'x': 4}\n"
        "    def __setstate__(self, state): self.x = math.sqrt(state['x'])\na = A()\ndef f(): return a.x",
        "f()",
        2.0,
    ),
    "a name that was shadowed later": ("def g(): return 1\ndef f(): return g()\ndef g(): return 2", "f()", 2),
    "annotations": ("class T: pass\ndef f(x: T) -> 'T': return sorted(f.__annotations__)", "f(1)", ["return", "x"]),
    "the array under two names is one": (
        "import numpy as np\na = np.zeros(10_000)\nb = a\ndef f():\n    a[0] = 5\n    return float(b[0])",
        "f()",
        5.0,
    ),
}


@pytest.mark.parametrize("case", LIVES)
def test_it_lives_again_in_a_fresh_python(case, notebook, in_fresh_python):
    source, expression, expected = LIVES[case]
    namespace = notebook(source)
    before = dict(namespace)
    captured = capture(namespace, ["f"])
    assert in_fresh_python(captured, expression) == expected
    assert namespace.keys() == before.keys()
    assert all(namespace[name] is before[name] for name in before)


def test_only_what_is_reached_goes_along(notebook):
    captured = capture(notebook("a = 1\nb = 2\nimport json\ndef f(): return a\ndef g(): return b"), ["f"])
    assert [one.name for one in captured.manifest.names] == ["f", "a"]


def test_the_shells_own_names_never_go_along(notebook):
    source = "Out = {1: object()}\n_ = 5\n_3 = 7\n_i3 = 'x'\nget_ipython = print\ndef f(): return Out, _, _3, _i3, get_ipython"
    assert [one.name for one in capture(notebook(source), ["f"]).manifest.names] == ["f"]


def test_ipythons_open_stays_behind(notebook):
    from IPython.core.interactiveshell import _modified_open

    namespace = notebook("def f(): return open('x')")
    namespace["open"] = _modified_open
    assert [one.name for one in capture(namespace, ["f"]).manifest.names] == ["f"]


def test_kinds_types_and_sizes_are_told(notebook):
    source = "import numpy as np\nbig = np.zeros(50_000)\nclass C: pass\nk = 1\ndef f(): return np, big, C, k"
    names = {one.name: one for one in capture(notebook(source), ["f"]).manifest.names}
    assert {name: one.kind for name, one in names.items()} == {
        "f": "function", "np": "module", "big": "data", "C": "class", "k": "data",
    }  # fmt: skip
    assert names["big"].type == "ndarray"
    assert 400_000 < names["big"].size < 401_000
    assert names["f"].size < 2000


def test_large_buffers_leave_the_stream_and_are_stored_once(notebook):
    source = """
        import numpy as np
        small = np.zeros(8191)
        big = np.arange(8192.0)
        same = np.arange(8192.0)
        view = big[:8192]
        def f(): return small, big, same, view
    """
    captured = capture(notebook(source), ["f"])
    manifest = captured.manifest
    assert {blob.size for blob in manifest.buffers} == {65536}
    assert len({blob.digest for blob in manifest.buffers}) == 1
    assert len(captured.blobs) == 2
    assert manifest.stream.size > 65528
    reached = {one.name: one.buffers for one in manifest.names}
    assert reached["small"] == ()
    assert reached["big"] == reached["same"]
    assert reached["big"]
    manifest.check()


def test_buffers_are_views_of_the_objects_own_memory(notebook):
    namespace = notebook("import numpy as np\nbig = np.zeros(100_000)\ndef f(): return big")
    captured = capture(namespace, ["f"])
    content = captured.blobs[captured.manifest.buffers[0].digest]
    namespace["big"][0] = 1
    assert bytes(content[:8]) != bytes(8)


def test_a_pipeline_with_a_transformer_of_the_notebook(notebook, in_fresh_python):
    source = """
        import numpy as np
        from sklearn.base import BaseEstimator, TransformerMixin
        from sklearn.linear_model import LinearRegression
        from sklearn.pipeline import make_pipeline
        factor = 2.0
        class Scale(TransformerMixin, BaseEstimator):
            def fit(self, X, y=None): return self
            def transform(self, X): return np.asarray(X) * factor
        model = make_pipeline(Scale(), LinearRegression()).fit([[1.0], [2.0]], [2.0, 4.0])
        def f(x): return round(float(model.predict([[x]])[0]), 6)
    """
    captured = capture(notebook(source), ["f"])
    assert {one.name for one in captured.manifest.names} == {"f", "model", "np", "factor"}
    assert in_fresh_python(captured, "f(3)") == 6.0
    assert {"scikit-learn", "numpy"} <= captured.manifest.environment.packages.keys()


def test_no_path_or_pid_of_this_machine_is_in_the_stream(notebook):
    namespace = notebook("def f():\n    def g(): return 1\n    return g()")
    captured = capture(namespace, ["f"])
    stream = bytes(captured.blobs[captured.manifest.stream.digest])
    assert b"ipykernel" not in stream
    assert b"/tmp" not in stream
    (source,) = captured.manifest.sources
    assert source.filename == "<cell>"
    assert source.text.startswith("def f():")
    assert source.filename.encode() in stream


def test_keep_adds_a_name_that_no_code_mentions(notebook, in_fresh_python):
    captured = capture(notebook("secret = 5\ndef f(name): return globals()[name]"), ["f"], keep=["secret"])
    assert in_fresh_python(captured, "f('secret')") == 5


def test_dropping_what_the_function_reads_is_refused(notebook):
    namespace = notebook("model = 1\ndef helper(): return model\ndef f(): return helper()")
    with pytest.raises(CaptureError, match="helper reads model, which --drop leaves out"):
        capture(namespace, ["f"], drop=["model"])


def test_what_init_makes_may_be_dropped(notebook, in_fresh_python):
    source = """
        import threading
        lock = threading.Lock()
        def start():
            global lock
            lock = threading.Lock()
        def f():
            with lock:
                return 1
    """
    captured = capture(notebook(source), ["f"], init="start", drop=["lock"])
    assert "lock" not in {one.name for one in captured.manifest.names}
    assert in_fresh_python(captured, "[start(), f()]") == [None, 1]


def test_an_unknown_name_is_refused(notebook):
    with pytest.raises(CaptureError, match="no 'nope'"):
        capture(notebook("def f(): pass"), ["f"], keep=["nope"])


OPENED = []


def opened(resource):
    OPENED.append(resource)
    return resource


class Holder:
    def __init__(self, **parts):
        self.__dict__.update(parts)


UNPICKLABLE = {
    "a lock in an attribute": (
        lambda: Holder(callback=Holder(lock=threading.Lock())),
        r"thing\.callback\.lock: _thread\.lock objects cannot be pickled",
    ),
    "a generator": (lambda: (n for n in []), "thing: generator objects cannot be pickled"),
    "a generator in a dict of lists": (
        lambda: {"a": [1, (n for n in [])]},
        r"thing\['a'\]\[1\]: generator objects cannot be pickled",
    ),
    "an open file": (
        lambda: Holder(log=opened(Path(__file__).open())),
        r"thing\.log: _io\.TextIOWrapper objects cannot be pickled",
    ),
    "a binary file": (
        lambda: opened(Path(__file__).open("rb")),
        r"thing: _io\.BufferedReader objects cannot be pickled",
    ),
    "a connection": (lambda: [opened(sqlite3.connect(":memory:"))], r"thing\[0\]: sqlite3\.Connection objects"),
    "an object that refuses": (lambda: Holder(part=Refuses()), r"thing\.part: \S*Refuses objects.*not me"),
}


class Refuses:
    def __reduce_ex__(self, protocol):
        raise RuntimeError("not me")


@pytest.mark.parametrize("case", UNPICKLABLE)
def test_what_cannot_go_along_is_named(case, notebook):
    make, message = UNPICKLABLE[case]
    namespace = notebook("def f(): return thing")
    namespace["thing"] = make()
    with pytest.raises(CaptureError, match=message) as caught:
        capture(namespace, ["f"])
    assert "--drop thing" in str(caught.value)
    while OPENED:
        OPENED.pop().close()


def test_a_culprit_in_a_closure_is_named(notebook):
    namespace = notebook(
        "import threading\ndef make():\n    lock = threading.Lock()\n    return lambda: lock\nf = make()"
    )
    with pytest.raises(CaptureError, match=r"f\.lock: _thread\.lock"):
        capture(namespace, ["f"])


def test_an_overlay_adds_and_replaces_without_touching_the_notebook(notebook, in_fresh_python):
    namespace = notebook("k = 1\ndef g(): return k\ndef f(): return [g(), extra]")
    captured = capture(Overlay(namespace, {"k": 5, "extra": "x"}), ["f"])
    assert in_fresh_python(captured, "f()") == [5, "x"]
    assert namespace["k"] == 1
    assert "extra" not in namespace
