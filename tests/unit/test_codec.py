"""The codec keeps what it can keep, and refuses the rest in the user's words."""

# ruff: noqa: E501  (tables of cases and cells are read by the line)

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
import re

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from jupyter_mlops.codec import to_python, to_wire
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.inputs import InputReader
from jupyter_mlops.schema.types import FORMATS, Parameter, ValueType

FORMS = [(kind, "") for kind in ValueType] + [(kind, form) for kind in FORMATS for form in sorted(FORMATS[kind])]


def shown(value):
    """The same name in every process, so that the suite can run in several."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def parameter(kind, form=""):
    return Parameter(name="x", type=ValueType(kind), format=form)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ANY_FLOATS = st.floats()
INTEGERS = st.integers(-(2**63), 2**63 - 1)
CELLS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | TEXT

PYTHON_VALUES = {
    "integer": INTEGERS,
    "numeric": FLOATS,
    "character": TEXT,
    "logical": st.booleans(),
    "vector": st.lists(CELLS, max_size=5),
    "matrix": st.integers(0, 3).flatmap(
        lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=3)
    ),
    "data.frame": st.integers(0, 3).flatmap(
        lambda rows: st.dictionaries(TEXT, st.lists(CELLS, min_size=rows, max_size=rows), max_size=3)
    ),
}


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other and type(one) is type(other)


@pytest.mark.parametrize("kind", PYTHON_VALUES)
@given(data=st.data())
def test_a_wire_value_passes_the_door_as_it_was(kind, data):
    wire = to_wire(data.draw(PYTHON_VALUES[kind]), parameter(kind))
    body = msgspec.json.encode({"x": wire})
    assert same(InputReader((parameter(kind),)).read(body)["x"], wire)


@pytest.mark.parametrize("kind", ["integer", "numeric", "character", "logical"])
@given(data=st.data())
def test_a_scalar_comes_back_as_it_was(kind, data):
    value = data.draw(PYTHON_VALUES[kind])
    there = to_wire(value, parameter(kind))
    assert same(to_python(json.loads(json.dumps(there)), parameter(kind)), value)


@pytest.mark.parametrize(("kind", "form"), FORMS)
@given(data=st.data())
def test_what_python_sees_can_be_sent_again(kind, form, data):
    if form in {"date", "date-time"}:
        value = data.draw(st.dates() if form == "date" else st.datetimes())
    else:
        value = data.draw(PYTHON_VALUES[kind])
    declared = parameter(kind, form)
    wire = to_wire(value, declared)
    again = to_wire(to_python(wire, declared), declared)
    assert json.loads(json.dumps(again)) is not None
    if form in {"date", "date-time", "list"} or kind in {"integer", "numeric", "character", "logical"}:
        assert same(again, wire)


@given(npst.arrays(st.sampled_from(["f8", "f4", "i4", "u8", "?"]), npst.array_shapes(max_dims=1, max_side=6)))
def test_an_array_of_numbers_is_a_vector(array):
    wire = to_wire(array, parameter("vector"))
    assert len(wire) == len(array)
    for sent, value in zip(wire, array, strict=True):
        assert sent is None if not np.isfinite(value) else sent == value.item()
    json.dumps(wire, allow_nan=False)


@given(npst.arrays("f8", st.tuples(st.integers(1, 3), st.integers(1, 3)), elements=FLOATS))
def test_a_matrix_comes_back(array):
    for form, kind in (("", np.matrix), ("ndarray", np.ndarray)):
        back = to_python(to_wire(array, parameter("matrix", form)), parameter("matrix", form))
        assert type(back) is kind
        assert np.array_equal(np.asarray(back), array)


@given(st.lists(ANY_FLOATS, min_size=1, max_size=4), st.lists(TEXT | st.none(), min_size=4, max_size=4))
def test_a_frame_comes_back_with_its_gaps(numbers, texts):
    frame = pd.DataFrame({"n": numbers, "t": pd.Series(texts[: len(numbers)], dtype=object)})
    wire = to_wire(frame, parameter("data.frame"))
    json.dumps(wire, allow_nan=False)
    back = to_python(wire, parameter("data.frame"))
    assert list(back.columns) == ["n", "t"]
    for sent, value in zip(back["n"], numbers, strict=True):
        assert pd.isna(sent) if not math.isfinite(value) else sent == value


NOTHING = [
    None,
    math.nan,
    math.inf,
    -math.inf,
    np.nan,
    np.float32("inf"),
    pd.NaT,
    pd.NA,
    np.datetime64("NaT"),
    decimal.Decimal("NaN"),
]


@pytest.mark.parametrize("value", NOTHING, ids=shown)
@pytest.mark.parametrize("kind", ["integer", "numeric", "character", "logical"])
def test_what_is_missing_is_null(value, kind):
    assert to_wire(value, parameter(kind)) is None
    assert to_wire([value], parameter("vector")) == [None]


@pytest.mark.parametrize(("kind", "form"), FORMS)
def test_none_is_null_both_ways(kind, form):
    assert to_wire(None, parameter(kind, form)) is None
    assert to_python(None, parameter(kind, form)) is None
    assert InputReader((parameter(kind, form),)).read(b'{"x":null}') == {"x": None}


class Level(enum.IntEnum):
    HIGH = 3


class Name(enum.StrEnum):
    ANN = "ann"


ENCODED = [
    ("integer", np.int8(3), 3), ("integer", 3.0, 3), ("integer", True, 1), ("integer", np.array([3]), 3),
    ("integer", pd.Series([3]), 3), ("integer", [3], 3), ("integer", Level.HIGH, 3), ("integer", np.array([[3]]), 3),
    ("integer", 2**70, 2**70),
    ("numeric", 3, 3.0), ("numeric", np.float32(0.5), 0.5), ("numeric", pd.DataFrame({"a": [0.5]}), 0.5),
    ("numeric", decimal.Decimal("0.5"), 0.5), ("numeric", np.array(0.5), 0.5), ("numeric", np.asarray([[0.5]]).view(np.matrix), 0.5),
    ("character", np.str_("ü"), "ü"), ("character", np.array(["a"]), "a"), ("character", Name.ANN, "ann"),
    ("character", 3, "3"), ("character", dt.datetime(2020, 1, 2, 3, 4, 5), "2020-01-02T03:04:05"),
    ("character", dt.datetime(2020, 1, 2, tzinfo=dt.UTC), "2020-01-02T00:00:00+00:00"),
    ("character", dt.date(2020, 1, 2), "2020-01-02"), ("character", pd.Timestamp("2020-01-02"), "2020-01-02T00:00:00"),
    ("character", np.datetime64("2020-01-02"), "2020-01-02T00:00:00"),
    ("logical", np.bool_(True), True), ("logical", 1, True), ("logical", 0.0, False), ("logical", np.array([False]), False),
    ("vector", range(3), [0, 1, 2]), ("vector", (1, "a", None), [1, "a", None]), ("vector", np.array([1, 2]), [1, 2]),
    ("vector", pd.Series([1.5, np.nan]), [1.5, None]), ("vector", pd.Index(["a"]), ["a"]),
    ("vector", np.array([[1], [2]]), [1, 2]), ("vector", pd.DataFrame({"a": [1, 2]}), [1, 2]),
    ("vector", pd.array([1, None], dtype="Int64"), [1, None]), ("vector", pd.Series([True, None], dtype="boolean"), [True, None]),
    ("vector", pd.Categorical(["u", "v"]), ["u", "v"]), ("vector", pd.to_datetime(["2020-01-02"]), ["2020-01-02T00:00:00"]),
    ("vector", np.eye(1, 2).view(np.matrix), [1.0, 0.0]), ("vector", {1}, [1]), ("vector", (n for n in [1, 2]), [1, 2]), ("vector", np.array([]), []),
    ("vector", np.array(["2020-01-02"], dtype="M8[D]"), ["2020-01-02"]),
    ("matrix", [[1, 2], [3, 4]], [[1, 2], [3, 4]]), ("matrix", np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    ("matrix", pd.DataFrame({"a": [1], "b": [np.nan]}), [[1.0, None]]), ("matrix", [np.array([1, 2])], [[1, 2]]), ("matrix", [], []),
    ("matrix", np.array([[np.nan]]), [[None]]),
    ("data.frame", pd.DataFrame({1: ["a"]}), {"1": ["a"]}), ("data.frame", pd.Series([1], name="s"), {"s": [1]}),
    ("data.frame", {"a": np.array([1])}, {"a": [1]}), ("data.frame", [{"a": 1}, {"a": 2}], {"a": [1, 2]}),
    ("data.frame", pd.DataFrame(), {}), ("data.frame", pd.DataFrame({"a": pd.Series([1, None], dtype="Int8")}), {"a": [1, None]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "wire"), ENCODED, ids=shown)
def test_many_python_values_stand_for_a_type(kind, value, wire):
    encoded = to_wire(value, parameter(kind))
    assert same(encoded, wire)
    json.dumps(encoded, allow_nan=False)


REFUSED = [
    ("integer", 1.5), ("integer", "3"), ("integer", [1, 2]), ("integer", np.zeros(2)), ("integer", {}), ("integer", object()),
    ("numeric", "3.5"), ("numeric", np.zeros((2, 2))), ("numeric", 1j), ("numeric", pd.Series([1, 2])),
    ("logical", 2), ("logical", "true"), ("character", [1, 2]), ("character", object()), ("character", {"a": 1}),
    ("vector", 3), ("vector", "abc"), ("vector", {"a": 1}), ("vector", [[1, 2]]), ("vector", np.eye(2)), ("vector", b"ab"),
    ("matrix", [1, 2]), ("matrix", [[1], [1, 2]]), ("matrix", np.zeros(3)), ("matrix", ["ab"]),
    ("data.frame", 3), ("data.frame", {"a": [1], "b": [1, 2]}), ("data.frame", "text"),
    ("data.frame", pd.DataFrame([[1, 2]], columns=["a", "a"])),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), REFUSED, ids=shown)
def test_what_does_not_fit_is_refused_by_name(kind, value):
    with pytest.raises(InvalidInput, match=f"x: expected a value for type {kind}, got") as caught:
        to_wire(value, parameter(kind))
    assert caught.value.fields == "$.x"


DECODED = [
    ("vector", "", [1, 2], np.ndarray), ("vector", "list", [1], list), ("vector", "series", [1], pd.Series),
    ("matrix", "", [[1]], np.matrix), ("matrix", "list", [[1]], list), ("matrix", "ndarray", [[1]], np.ndarray),
    ("data.frame", "", {"a": [1]}, pd.DataFrame), ("character", "date-time", "2020-01-02T00:00:00Z", dt.datetime),
    ("character", "date", "2020-01-02", dt.date), ("numeric", "", 3, float), ("integer", "", 3, int),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "form", "wire", "kind_of"), DECODED)
def test_python_sees_the_declared_kind(kind, form, wire, kind_of):
    assert type(to_python(wire, parameter(kind, form))) is kind_of


DOOR = [
    ('{"x":1.5}', "integer", "$.x"), ('{"x":"1"}', "integer", "$.x"), ('{"x":true}', "integer", "$.x"),
    ('{"x":"1"}', "numeric", "$.x"), ('{"x":1}', "character", "$.x"), ('{"x":1}', "logical", "$.x"),
    ('{"x":[[1]]}', "vector", "$.x[0]"), ('{"x":[[1],[1,2]]}', "matrix", "$.x[1]"), ('{"x":[1]}', "matrix", "$.x[0]"),
    ('{"x":{"a":[1],"b":[]}}', "data.frame", "$.x"), ('{"x":{"a":1}}', "data.frame", "$.x"), ('{"x":[]}', "data.frame", "$.x"),
    ("{}", "numeric", "$.x"), ('{"x":1,"y":2}', "numeric", "$.y"), ("[]", "numeric", "$"), ('{"x":', "numeric", "$"),
    ('{"x":NaN}', "numeric", "$"), ("\udcff", "numeric", "$"), ("[" * 100_000, "numeric", "$"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "path"), DOOR, ids=lambda value: str(value)[:30])
def test_the_door_says_where_a_body_does_not_fit(body, kind, path):
    with pytest.raises(InvalidInput) as caught:
        InputReader((parameter(kind),)).read(body.encode("utf-8", "surrogateescape"))
    assert caught.value.fields.startswith(path)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_the_door_takes_any_bytes_without_breaking(body):
    refused = None
    try:
        read = InputReader((parameter("vector"),)).read(body)
    except InvalidInput as error:
        refused, read = error, {"x": None}
    assert refused is None or refused.fields.startswith("$")
    assert list(read) == ["x"]


def test_names_that_are_no_identifiers_pass_the_door():
    reader = InputReader(
        (Parameter(name="petal.length", type=ValueType.NUMERIC), Parameter(name="ü 1", type=ValueType.INTEGER))
    )
    assert reader.read('{"ü 1": 2.0, "petal.length": 1}'.encode()) == {"petal.length": 1.0, "ü 1": 2}


@pytest.mark.parametrize("value", ["2020-13-01", "nonsense", ""])
@pytest.mark.parametrize("form", ["date", "date-time"])
def test_a_text_that_is_no_date_is_refused(value, form):
    with pytest.raises(ValueError, match=r"Invalid isoformat string|month must be"):
        to_python(value, parameter("character", form))
