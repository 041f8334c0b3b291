"""Inputs that do not fit are refused with their place."""

import pytest

from jupyter_mlops.errors import InvalidInput, InvalidRequest
from jupyter_mlops.inputs import InputReader
from jupyter_mlops.schema.types import INPUTS, Parameter, ValueType, check_parameters

LARGE = 2**64


@pytest.mark.parametrize(
    ("kind", "value", "place"),
    [
        ("integer", f"{LARGE}", "$.x"), ("integer", f"-{LARGE}", "$.x"), ("integer", "1e30", "$.x"),
        ("integer", "1.5", "$.x"), ("vector", f"[1, {LARGE}]", "$.x[1]"), ("matrix", f"[[{LARGE}]]", "$.x[0][0]"),
        ("data.frame", f'{{"a": [{LARGE}]}}', "$.x[...][0]"),
    ],
)  # fmt: skip
def test_whole_numbers_have_64_bits(kind, value, place):
    reader = InputReader((Parameter(name="x", type=ValueType(kind)),))
    with pytest.raises(InvalidInput, match="expected") as refused:
        reader.read(f'{{"x": {value}}}'.encode())
    assert refused.value.fields == place


def test_the_largest_and_the_smallest_are_taken():
    reader = InputReader((Parameter(name="x", type=ValueType.INTEGER),))
    for value in (2**63 - 1, -(2**63)):
        assert reader.read(f'{{"x": {value}}}'.encode()) == {"x": value}


@pytest.mark.parametrize("name", ['a "b"', "a\\b"])
def test_inputs_have_no_quotes_in_their_names(name):
    """The decoder of a service's inputs could not be made: it would be a defect of the server."""
    with pytest.raises(InvalidRequest, match="quote or a backslash") as refused:
        check_parameters((Parameter(name=name, type=ValueType.NUMERIC),), INPUTS)
    assert refused.value.fields == f"{INPUTS}[0].name"
