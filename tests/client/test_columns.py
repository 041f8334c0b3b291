"""What a batchable function takes and gives, told from its sample."""

# ruff: noqa: ARG005  (a function of two columns may look at one)

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from jupyter_mlops.client.batchable import describe_batchable, rows_of
from jupyter_mlops.client.pools import byte_count
from jupyter_mlops.columns import arguments, takes_arrays
from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.types import Parameter, ValueType

FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
ROWS = [{"a": 1.0, "b": "x"}, {"a": 2.0, "b": "y"}]


def types(parameters):
    return {one.name: (one.type.value, one.format) if one.format else one.type.value for one in parameters}


@pytest.mark.parametrize(
    ("sample", "rows"),
    [
        (FRAME, ROWS),
        (FRAME.head(1), ROWS[:1]),
        (ROWS, ROWS),
        (ROWS[0], ROWS[:1]),
        ({"a": [1.0, 2.0], "b": ["x", "y"]}, ROWS),
        ({"a": np.array([1.0]), "b": pd.Series(["x"])}, ROWS[:1]),
        ((1.0, "x"), ROWS[:1]),
        ([(1.0, "x"), (2.0, "y")], ROWS),
        (([1.0, 2.0], ["x", "y"]), ROWS),
        (FRAME.iloc[0], ROWS[:1]),
        (np.array([[1, 2], [3, 4]]), [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
        ([], None),
    ],
    ids=str,
)
def test_a_sample_in_any_form(sample, rows):
    if rows is None:
        with pytest.raises(InvalidRequest):
            rows_of(sample, ["a", "b"])
    else:
        assert rows_of(sample, ["a", "b"]) == rows


@pytest.mark.parametrize("sample", [1.5, [1.5], (1.5,), np.array([1.5]), {"x": 1.5}, {"x": [1.5]}], ids=str)
def test_a_sample_of_one_input(sample):
    assert rows_of(sample, ["x"]) == [{"x": 1.5}]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "not of one length: a: 2, b: 1"),
        ({"a": [1, 2], "b": 1}, "'b' is one value and others are columns"),
        ({"a": [1]}, "lacks b"),
        ((1, 2, 3), "holds 3 values"),
    ],
)
def test_a_sample_that_does_not_fit(sample, message):
    with pytest.raises(InvalidRequest, match=message):
        rows_of(sample, ["a", "b"])


@pytest.mark.parametrize(
    ("function", "outputs"),
    [
        (lambda frame: frame["a"], {"answer": "numeric"}),
        (lambda a, b: np.array([1] * len(b)), {"answer": "integer"}),
        (lambda a, b: list(b), {"answer": "character"}),
        (lambda a, b: (a, b), {"answer_1": "numeric", "answer_2": "character"}),
        (lambda a, b: {"y": a > 1, "z": b}, {"y": "logical", "z": "character"}),
        (lambda frame: frame, {"a": "numeric", "b": "character"}),
        (lambda a, b: np.column_stack([a, a]), {"answer_1": "numeric", "answer_2": "numeric"}),
        (lambda a, b: a.reshape(-1, 1), {"answer": "numeric"}),
        (lambda a, b: [dt.datetime(2026, 1, 2)] * len(b), {"answer": ("character", "date-time")}),
        (lambda a, b: pd.Series([None, 1.5]), {"answer": "numeric"}),
    ],
)
def test_types_from_the_columns_of_the_sample(function, outputs):
    found = describe_batchable(function, sample=FRAME)
    assert types(found.inputs) == {"a": "numeric", "b": "character"}
    assert types(found.outputs) == outputs
    assert found.sample == ROWS[0]
    assert bytes(found.sample_json()) == b'[{"a":1.0,"b":"x"},{"a":2.0,"b":"y"}]'


def test_hints_say_what_one_row_is():
    def f(a: int, b: np.ndarray) -> float:
        raise AssertionError("not called when the types are known")

    found = describe_batchable(f, sample=(1, "x"))
    assert types(found.inputs) == {"a": "integer", "b": "character"}
    assert types(found.outputs) == {"answer": "numeric"}
    assert bytes(found.sample_json()) == b'{"a":1,"b":"x"}'


def test_columns_have_the_type_of_their_input():
    inputs = (
        Parameter(name="n", type=ValueType.INTEGER), Parameter(name="x", type=ValueType.NUMERIC),
        Parameter(name="t", type=ValueType.CHARACTER),
        Parameter(name="d", type=ValueType.CHARACTER, format="date-time"), Parameter(name="y", type=ValueType.LOGICAL),
    )  # fmt: skip
    full = {"n": [1, 2], "x": [1, 2.5], "t": ["a", "bc"], "d": ["2026-01-02T00:00:00"] * 2, "y": [True, False]}
    empty = {name: [None, None] for name in full}
    _, arrays = arguments(inputs, full, arrays=True)
    assert [array.dtype.kind for array in arrays.values()] == ["i", "f", "U", "O", "b"]
    _, arrays = arguments(inputs, empty, arrays=True)
    assert [array.dtype.kind for array in arrays.values()] == ["f", "f", "O", "O", "O"]
    (frame,), _ = arguments(inputs, full, arrays=False)
    assert [frame[name].dtype.kind for name in "nxdy"] == ["i", "f", "M", "b"]
    (frame,), _ = arguments(inputs, empty, arrays=False)
    assert frame["x"].dtype.kind == "f"


def test_which_functions_take_arrays():
    assert takes_arrays(lambda a, b: a, ["a", "b"])
    assert takes_arrays(lambda **columns: columns, ["a", "b"])
    assert not takes_arrays(lambda frame: frame, ["a", "b"])
    assert not takes_arrays(dict, ["a"])


@pytest.mark.parametrize(
    ("text", "count"), [("2GB", 2 * 10**9), ("1.5GiB", 3 * 2**29), ("500 mb", 5 * 10**8), ("77", 77), ("1k", 1000)]
)
def test_amounts_of_memory(text, count):
    assert byte_count(text) == count
