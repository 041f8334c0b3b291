"""Types: from options, else hints, else the sample; and samples in every form."""

# ruff: noqa: E501, UP045  (tables of cases and cells are read by the line)

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, Optional, TypedDict

import numpy as np
import pandas as pd
import pytest

from jupyter_mlops.client.declare import from_hint, from_type, from_value
from jupyter_mlops.client.signature import describe
from jupyter_mlops.errors import CaptureError, InvalidRequest
from jupyter_mlops.schema.types import ValueType as T

WRITTEN = [
    (int, T.INTEGER, ""), ("int", T.INTEGER, ""), ("integer", T.INTEGER, ""), (np.int64, T.INTEGER, ""),
    (float, T.NUMERIC, ""), ("numeric", T.NUMERIC, ""), (np.float32, T.NUMERIC, ""), (int | float, T.NUMERIC, ""),
    (str, T.CHARACTER, ""), ("character", T.CHARACTER, ""), (np.str_, T.CHARACTER, ""), (Literal["a", "b"], T.CHARACTER, ""),
    (bool, T.LOGICAL, ""), ("bool", T.LOGICAL, ""), (np.bool_, T.LOGICAL, ""),
    (dt.datetime, T.CHARACTER, "date-time"), (pd.Timestamp, T.CHARACTER, "date-time"), (dt.date, T.CHARACTER, "date"),
    (np.array, T.VECTOR, ""), ("array", T.VECTOR, ""), (np.ndarray, T.VECTOR, ""), ("numpy.array", T.VECTOR, ""),
    (list, T.VECTOR, "list"), (list[float], T.VECTOR, "list"), (Sequence[int], T.VECTOR, "list"),
    (tuple[float, ...], T.VECTOR, "list"), (pd.Series, T.VECTOR, "series"),
    (list[list[float]], T.MATRIX, "list"), (np.matrix, T.MATRIX, ""), ("matrix", T.MATRIX, ""),
    (pd.DataFrame, T.DATA_FRAME, ""), ("DataFrame", T.DATA_FRAME, ""), ("data.frame", T.DATA_FRAME, ""),
    ("pandas.DataFrame", T.DATA_FRAME, ""), ("numpy.DataFrame", T.DATA_FRAME, ""),
    (Optional[float], T.NUMERIC, ""), (str | None, T.CHARACTER, ""), (Annotated[int, "x"], T.INTEGER, ""),
]  # fmt: skip


@pytest.mark.parametrize(("written", "kind", "form"), WRITTEN, ids=str)
def test_a_written_type_is_read(written, kind, form):
    assert from_hint(written) == (kind, form)


@pytest.mark.parametrize("written", [dict, object, "nope", 3, int | str, complex, set])
def test_another_is_refused_as_the_old_client_did(written):
    with pytest.raises(ValueError, match=r'Invalid encoding type ".*" for "x"'):
        from_type("x", written)


VALUES = [
    (1, T.INTEGER, ""), (1.0, T.NUMERIC, ""), (True, T.LOGICAL, ""), ("a", T.CHARACTER, ""),
    (np.int32(1), T.INTEGER, ""), (np.float64(1), T.NUMERIC, ""), (np.bool_(True), T.LOGICAL, ""), (np.str_("a"), T.CHARACTER, ""),
    (dt.datetime(2020, 1, 1), T.CHARACTER, "date-time"), (dt.date(2020, 1, 1), T.CHARACTER, "date"),
    (pd.Timestamp(2020, 1, 1), T.CHARACTER, "date-time"), (np.datetime64("2020-01-01"), T.CHARACTER, "date-time"),
    (np.zeros(2), T.VECTOR, ""), (np.zeros((2, 2)), T.MATRIX, "ndarray"), (np.zeros((2, 2)).view(np.matrix), T.MATRIX, ""),
    ([1], T.VECTOR, "list"), ([[1]], T.MATRIX, "list"), ((1, 2), T.VECTOR, "list"),
    (pd.Series([1]), T.VECTOR, "series"), (pd.DataFrame(), T.DATA_FRAME, ""), (np.array(1.5), T.NUMERIC, ""),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "form"), VALUES, ids=repr)
def test_a_value_has_a_type(value, kind, form):
    assert from_value(value) == (kind, form)


@pytest.mark.parametrize("value", [None, object(), {}])
def test_others_have_none(value):
    assert from_value(value) is None


def shown(signature):
    return (
        {one.name: one.type.value for one in signature.inputs},
        {one.name: one.type.value for one in signature.outputs},
        signature.sample,
    )


def test_hints_say_it():
    def f(hp: float, wt: int, names: list[str]) -> pd.DataFrame: ...

    assert shown(describe(f)) == (
        {"hp": "numeric", "wt": "integer", "names": "vector"}, {"answer": "data.frame"}, None,
    )  # fmt: skip


def test_options_win_over_hints():
    def f(hp: float): ...

    signature = describe(f, inputs={"hp": "int"}, outputs={"a": "str", "b": float})
    assert shown(signature) == ({"hp": "integer"}, {"a": "character", "b": "numeric"}, None)


def test_the_sample_says_the_rest():
    def f(hp, wt, name: str):
        return hp * wt

    signature = describe(f, sample=(120, 2.8, "x"))
    assert shown(signature) == (
        {"hp": "integer", "wt": "numeric", "name": "character"},
        {"answer": "numeric"},
        {"hp": 120, "wt": 2.8, "name": "x"},
    )


def test_a_function_that_returns_none_has_no_outputs():
    def f(x: float) -> None: ...

    assert describe(f).outputs == ()


def test_parts_with_names_are_several_outputs():
    def f(x: float):
        return {"label": "a", "p": 0.5}

    class Answer(NamedTuple):
        label: str
        p: float

    class Typed(TypedDict):
        label: str
        p: float

    def g(x: float) -> Answer: ...
    def h(x: float) -> tuple[str, float]: ...
    def i(x: float) -> Typed: ...

    g.__annotations__["return"], i.__annotations__["return"] = Answer, Typed
    assert shown(describe(f, sample=1.0))[1] == {"label": "character", "p": "numeric"}
    assert shown(describe(g))[1] == {"label": "character", "p": "numeric"}
    assert shown(describe(i))[1] == {"label": "character", "p": "numeric"}
    assert shown(describe(h))[1] == {"answer_1": "character", "answer_2": "numeric"}


def test_no_type_to_be_told_names_the_input_and_the_three_ways():
    def f(hp, wt: float) -> float: ...

    with pytest.raises(InvalidRequest, match=r"'hp' is not known.*--inputs hp=float.*type hint.*--sample"):
        describe(f)


def test_no_type_of_the_output_says_so_too():
    def f(x: float): ...

    with pytest.raises(InvalidRequest, match=r"output is not known.*--outputs.*hint.*--sample"):
        describe(f)


def test_a_sample_that_raises_while_the_output_is_sought():
    def f(x: float):
        return 1 / x

    with pytest.raises(CaptureError, match="raised on it: ZeroDivisionError"):
        describe(f, sample=0)


def test_an_input_with_a_default_is_left_to_it_unless_asked_for():
    def f(x: float, k: int = 3) -> float: ...

    assert shown(describe(f))[0] == {"x": "numeric"}
    assert shown(describe(f, sample=(1.0, 2)))[0] == {"x": "numeric", "k": "integer"}
    assert shown(describe(f, inputs={"k": int}))[0] == {"x": "numeric", "k": "integer"}


def test_an_input_that_the_function_does_not_take():
    def f(x: float) -> float: ...

    with pytest.raises(ValueError, match="Input 'y' is not a code argument: the function takes x"):
        describe(f, inputs={"y": float})


def test_only_by_position_cannot_be_called_by_name():
    def f(x: float, /) -> float: ...

    with pytest.raises(InvalidRequest, match="take the `/` out"):
        describe(f)


def test_any_names_go_with_keyword_arguments():
    def f(**inputs) -> float: ...

    assert shown(describe(f, inputs={"petal.length": float}))[0] == {"petal.length": "numeric"}


def test_objects_that_are_called():
    class Model:
        def __call__(self, x: float) -> float: ...

    def g(a: float, b: float) -> float: ...

    assert shown(describe(Model()))[:2] == ({"x": "numeric"}, {"answer": "numeric"})
    assert shown(describe(functools.partial(g, 1.0)))[0] == {"b": "numeric"}


def one(x: pd.DataFrame) -> float: ...
def vector(x: np.ndarray) -> float: ...
def two(a: float, b: float) -> float: ...


SAMPLES = [
    (two, (1, 2), {"a": 1.0, "b": 2.0}),
    (two, [1, 2], {"a": 1.0, "b": 2.0}),
    (two, {"b": 2, "a": 1}, {"a": 1.0, "b": 2.0}),
    (two, pd.DataFrame({"b": [2], "a": [1], "c": ["extra"]}), {"a": 1.0, "b": 2.0}),
    (two, pd.Series({"a": 1, "b": 2}), {"a": 1.0, "b": 2.0}),
    (two, np.array([1, 2]), {"a": 1.0, "b": 2.0}),
    (two, np.array([[1, 2]]), {"a": 1.0, "b": 2.0}),
    (one, pd.DataFrame({"x": [1], "y": [2]}), {"x": {"x": [1], "y": [2]}}),
    (one, {"u": [1, 2]}, {"x": {"u": [1, 2]}}),
    (one, {"x": {"u": [1]}}, {"x": {"u": [1]}}),
    (vector, [1, 2], {"x": [1, 2]}),
    (vector, (1, 2), {"x": [1, 2]}),
    (vector, np.array([1, 2]), {"x": [1, 2]}),
]


@pytest.mark.parametrize(("function", "sample", "wire"), SAMPLES)
def test_a_sample_in_any_form(function, sample, wire):
    assert describe(function, sample=sample).sample == wire


BAD_SAMPLES = [
    ((1,), r"holds 1 value, and there are 2 inputs \(a, b\)"),
    ((1, 2, 3), "holds 3 values"),
    ({"a": 1}, "lacks b"),
    ({"a": 1, "b": 2, "c": 3}, "has c, which are no inputs"),
    (pd.DataFrame({"a": [1, 2], "b": [1, 2]}), "has 2 rows; give one"),
    (("x", 1), "a: expected a value for type numeric, got str"),
]


@pytest.mark.parametrize(("sample", "message"), BAD_SAMPLES)
def test_a_sample_that_does_not_fit(sample, message):
    with pytest.raises(InvalidRequest, match=message):
        describe(two, sample=sample)
