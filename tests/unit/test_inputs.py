"""Inputs that do not fit are refused with their place."""

import pytest

from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.inputs import InputReader
from jupyter_mlops.schema.types import Parameter, ValueType

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
