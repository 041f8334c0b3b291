"""The survey: what is listed, why, how large, what is chosen, and what a choice would miss."""

# ruff: noqa: E501  (cells are read by the line)

from __future__ import annotations

import pytest

from jupyter_mlops.capture import capture, save, survey
from jupyter_mlops.errors import CaptureError

CARS = """
import numpy as np
import pandas as pd
import sqlite3, threading
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

scaler = StandardScaler()
model = make_pipeline(scaler, LogisticRegression()).fit([[1.0], [2.0], [3.0]], [0, 1, 1])
raw = pd.DataFrame(np.zeros((50_000, 4)), columns=list('abcd'))
head = raw[:25_000]
limit = 3
def helper(x): return model.predict([[x]])[0]
def cars(x): return helper(x) > limit
_ = 5; _3 = 6; In = []; Out = {}; _private = [1]
"""


def test_the_users_variables_are_listed_and_nothing_else(notebook):
    found = survey(notebook(CARS), "cars")
    assert [one.name for one in found.variables] == [
        "LogisticRegression", "make_pipeline", "StandardScaler", "scaler", "model", "raw", "head", "limit",
        "helper", "cars", "_private",
    ]  # fmt: skip
    assert found.modules == ("np", "pd", "sqlite3", "threading")


def test_why_is_told_by_the_shortest_way(notebook):
    found = survey(notebook(CARS), "cars")
    assert found["limit"].why == "cars -> limit"
    assert found["model"].why == "cars -> helper -> model"
    assert found["scaler"].why == "cars -> helper -> model -> scaler"
    assert not found["raw"].reached
    assert found.selected == ("model", "limit", "helper", "cars")


def test_what_is_chosen_is_what_would_be_captured(notebook):
    namespace = notebook(CARS)
    chosen = survey(namespace, "cars").selected
    assert set(chosen) == {one.name for one in capture(namespace, ["cars"]).manifest.names}


def test_types_and_shapes(notebook):
    source = """
    import numpy as np, pandas as pd
    from scipy import sparse
    frame = pd.DataFrame({'a': range(1200), 'b': 0}); series = frame['a']; array = np.zeros((2, 3, 4)); scalar = np.float64(1)
    matrix = sparse.eye(5, format='csr'); items = [1, 2]; one = {'a': 1}; text = 'x' * 1500; raw = b'ab'; number = 5
    class Bag(list):
        def __len__(self): return 99
    class Frame(pd.DataFrame):
        @property
        def shape(self): raise RuntimeError
    bag = Bag([1]); derived = Frame({'a': [1, 2]})
    """
    found = survey(notebook(source))
    shapes = {one.name: one.shape for one in found.variables if one.kind == "data"}
    assert shapes == {
        "frame": "1,200 x 2", "series": "1,200", "array": "2 x 3 x 4", "scalar": "scalar", "matrix": "5 x 5",
        "items": "2 items", "one": "1 item", "text": "1,500 characters", "raw": "2 bytes", "number": "",
        "bag": "1 item", "derived": "2 x 1",
    }  # fmt: skip
    assert found["frame"].type == "pandas.DataFrame"
    assert found["bag"].type == "Bag"
    assert found["array"].type == "numpy.ndarray"


def test_memory_that_two_share_counts_once(notebook):
    found = survey(notebook(CARS))
    raw, head = found["raw"].size, found["head"].size
    assert raw > 1_600_000
    assert head > 800_000
    assert found.total(["raw", "head"]) < raw + 10_000
    assert found.adds("raw", ["head"]) + found.total(["head"]) == found.total(["raw", "head"])
    assert found.adds("head", ["raw", "head"]) < 10_000


def test_objects_that_two_share_count_once(notebook):
    source = """
    numbers = list(range(100_000))
    alias = numbers
    holder = {'numbers': numbers}
    inner = [float(n) for n in range(20_000)]
    one, other = [inner], {'inner': inner}
    del inner
    """
    found = survey(notebook(source))
    each = found["numbers"].size
    assert found["alias"].size == pytest.approx(each, abs=100)
    assert found.total(["numbers", "alias", "holder"]) < each + 200
    assert found["holder"].size > each
    assert found.total(["one", "other"]) < found["one"].size + 200
    assert found["other"].size == pytest.approx(found["one"].size, abs=200)


def test_the_total_is_what_is_stored(notebook, tmp_path):
    namespace = notebook(CARS)
    found = survey(namespace)
    saved = save(capture(namespace, list(found.selected)), tmp_path)
    stored = sum(path.stat().st_size for path in tmp_path.iterdir() if path.suffix != ".json")
    assert saved.written > stored
    assert found.total() == pytest.approx(stored, rel=0.02)


def test_what_is_missing_is_told_before_anything_is_sent(notebook):
    found = survey(notebook(CARS), "cars")
    assert found.missing() == ()
    fewer = found.select(drop=["model"])
    assert fewer.selected == ("limit", "helper", "cars")
    (missing,) = fewer.missing()
    assert str(missing) == "helper reads model, which is left out: a call would fail with a NameError"
    assert "helper reads model" in str(fewer)


def test_dropping_takes_away_what_only_the_dropped_one_reads(notebook):
    found = survey(notebook("a = 1\nb = 2\ndef g(): return a\ndef f(): return g() + b"), "f")
    assert found.select(drop=["g"]).selected == ("b", "f")
    assert found.select(keep=["a"], drop=["g"]).selected == ("a", "b", "f")


def test_what_init_makes_is_not_missing(notebook):
    source = """
    import threading
    lock = threading.Lock()
    def start():
        global lock
        lock = threading.Lock()
    def f():
        with lock: return 1
    """
    found = survey(notebook(source), "f", init="start")
    assert found.selected == ("start", "f")
    assert found.missing() == ()
    without = survey(notebook(source), "f")
    assert "cannot go along (lock: _thread.lock objects cannot be pickled" in str(without.missing()[0])


def test_secrets_are_left_out_and_named(notebook):
    source = "API_TOKEN = 'tk_12345aBcDeFgHiJkLm'\nmodel = 1\ndef f(): return model, API_TOKEN"
    found = survey(notebook(source), "f")
    assert found.selected == ("model", "f")
    assert found["API_TOKEN"].secret
    assert "--keep API_TOKEN" in str(found.missing()[0])
    assert "tk_12345" not in str(found)
    assert found.select(keep=["API_TOKEN"]).missing() == ()
    assert "API_TOKEN" in survey(notebook(source), "f", keep=["API_TOKEN"]).selected


def test_cautions(notebook):
    source = """
    import sqlite3, socket, threading, subprocess, sys, tempfile, numpy as np
    from concurrent.futures import ThreadPoolExecutor
    file = tempfile.TemporaryFile()
    database = sqlite3.connect(':memory:')
    cursor = [database.cursor()]
    plug = socket.socket()
    lock = {'a': {'b': threading.RLock()}}
    thread = threading.Thread(target=print)
    pool = ThreadPoolExecutor(1)
    process = subprocess.Popen([sys.executable, '-c', ''])
    generator = (n for n in [])
    large = np.zeros(14_000_000)
    plain = {'a': [1, 'x', None]}
    """
    namespace = notebook(source)
    found = survey(namespace)
    kinds = {one.name: {caution.kind for caution in one.cautions} for one in found.variables if one.kind == "data"}
    assert kinds == {
        "file": {"file"}, "database": {"database"}, "cursor": {"database"}, "plug": {"socket"}, "lock": {"thread"},
        "thread": {"thread"}, "pool": {"thread"}, "process": {"process"}, "generator": {"generator"},
        "large": {"large"}, "plain": set(),
    }  # fmt: skip
    assert "lock['a']['b']: a lock" in str(found)
    for name in ("file", "database", "plug"):
        namespace[name].close()
    namespace["process"].wait()


def test_an_unknown_name_is_refused(notebook):
    with pytest.raises(CaptureError, match="no 'nope' here"):
        survey(notebook("a = 1"), "nope")
    with pytest.raises(KeyError):
        survey(notebook("a = 1")).select(keep=["nope"])


def test_progress_is_told(notebook):
    told = []
    survey(notebook("a = 1\nb = 2"), progress=lambda *step: told.append(step))
    assert told == [("a", 0, 2), ("b", 1, 2)]


def test_the_table_is_narrow_and_whole(notebook):
    lines = str(survey(notebook(CARS), "cars")).splitlines()
    assert max(map(len, lines)) <= 130
    assert lines[0].split() == ["name", "type", "shape", "size", "reached"]
    assert any(line.startswith("x  model") for line in lines)
    assert lines[-1].startswith("4 variables chosen (x), ")
