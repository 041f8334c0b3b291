"""The container of a realtime model: read as it was written, and what is damaged or foreign is refused."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from jupyter_mlops.container import PREFIX_BYTES, Header, InputColumn, OutputColumn, Parity, is_container, pack, unpack
from jupyter_mlops.errors import InvalidRequest

HEADER = Header(
    library="scikit-learn 1.5.2",
    kind="Pipeline",
    inputs=(
        InputColumn(name="hp", type="double", onnx_input="X"),
        InputColumn(name="gear", type="string", onnx_input="gear", nullable=True, default="", categories=("a", "b")),
    ),
    outputs=(OutputColumn(name="prediction", type="integer", onnx_output="label", classes=(0, 1)),),
    created=datetime(2026, 11, 21, tzinfo=UTC),
    parity=Parity(rows=100, max_absolute=0.0, max_relative=0.0, mismatched=0, tolerance=1e-5),
    description="café",
)


def test_what_was_packed_is_read_from_bytes_and_from_a_file(tmp_path):
    packed = pack(HEADER, b"the graph")
    assert packed.startswith(b"blob\x01")
    assert is_container(packed)
    header, offset = unpack(packed)
    assert header == HEADER
    assert packed[offset:] == b"the graph"
    path = tmp_path / "model"
    path.write_bytes(packed)
    assert unpack(path) == unpack(str(path)) == unpack(memoryview(packed)) == (header, offset)


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (b"", "begins with the bytes b'blob'"),
        (b"\x80\x04\x95pickle", "serialize_model"),
        (b"blob", "RevoScale"),
        (b"blob\x02\x00\x00\x00\x01\x00some of Microsoft's own", "compat.revoscalepy"),
        (pack(HEADER, b"x").replace(b"blob\x01", b"blob\x07"), "format 7; this version reads format 1"),
        (pack(HEADER, b""), "cut short"),
        (pack(HEADER, b"x")[:60], "cut short"),
        (b"blob\x01\x00\x00\x00\x02{}x", "damaged: Object missing required field"),
        (b"blob\x01\x00\x00\x00\x02{,x", "damaged"),
        (b"blob\x01\xff\xff\xff\xff{" + b" " * 100, "at most 16777216 are read"),
        (pack(HEADER, b"x").replace(b'"position":0', b'"position":-1'), "cut short|one is negative|damaged"),
        (pack(HEADER, b"x").replace(b'"gear","type"', b'"hp"  ,"type"'), "'hp' comes twice"),
        (pack(HEADER, b"x").replace(b'"onnx"', b'"pick"'), "damaged: Invalid enum value 'pick'"),
    ],
)
def test_what_is_not_a_container_is_refused_with_a_reason(damaged, said, tmp_path):
    with pytest.raises(InvalidRequest, match=said):
        unpack(damaged)
    (tmp_path / "file").write_bytes(damaged)
    with pytest.raises(InvalidRequest, match=said):
        unpack(tmp_path / "file")


@given(some.binary(max_size=64), some.integers(0, 400))
def test_no_bytes_do_more_than_be_refused(noise, place):
    packed = pack(HEADER, b"x")
    for bytes_ in (b"blob" + noise, packed[:place] + noise + packed[place + len(noise) :]):
        try:
            header, offset = unpack(bytes_)
        except InvalidRequest:
            continue
        assert isinstance(header, Header)
        assert PREFIX_BYTES < offset < len(bytes_)


def test_a_header_without_columns_or_with_the_same_name_twice_is_not_packed():
    with pytest.raises(InvalidRequest, match="names none"):
        pack(msgspec.structs.replace(HEADER, outputs=()), b"x")
    with pytest.raises(InvalidRequest, match="'hp' comes twice"):
        pack(msgspec.structs.replace(HEADER, inputs=HEADER.inputs[:1] * 2), b"x")
