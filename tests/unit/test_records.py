"""Records in every format are the same rows, and what does not fit is refused with its place."""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_mlops.errors import InvalidInput, InvalidRequest, TooLarge, UnsupportedMediaType
from jupyter_mlops.inputs import InputReader
from jupyter_mlops.records import apart, arrow, json_rows
from jupyter_mlops.records.chunks import Chunk, cut
from jupyter_mlops.records.formats import MEDIA_TYPES, Format, of_content_type, of_file, of_name
from jupyter_mlops.records.reading import read_chunks
from jupyter_mlops.schema.types import Parameter, ValueType

HP_NAME = (Parameter(name="hp", type=ValueType.NUMERIC), Parameter(name="name", type=ValueType.CHARACTER))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
wholes = st.integers(-(2**63), 2**63 - 1)
names_of_inputs = texts.filter(lambda t: t and t.isprintable() and t.strip() == t and not set(t) & {'"', "\\"})
VALUES = {
    ValueType.INTEGER: st.none() | wholes,
    ValueType.NUMERIC: st.none() | numbers,
    ValueType.CHARACTER: st.none() | texts,
    ValueType.LOGICAL: st.none() | st.booleans(),
    ValueType.VECTOR: st.none() | st.lists(numbers, max_size=3),
    ValueType.MATRIX: st.none() | st.lists(st.lists(numbers, min_size=2, max_size=2), max_size=2),
    ValueType.DATA_FRAME: st.none() | st.fixed_dictionaries({"a": st.just([1, None]), "b}": st.tuples(texts, texts)}),
}
ARROW = {
    ValueType.INTEGER: pa.int64(),
    ValueType.NUMERIC: pa.float64(),
    ValueType.CHARACTER: pa.string(),
    ValueType.LOGICAL: pa.bool_(),
    ValueType.VECTOR: pa.list_(pa.float64()),
    ValueType.MATRIX: pa.list_(pa.list_(pa.float64())),
    ValueType.DATA_FRAME: pa.struct({"a": pa.list_(pa.int64()), "b}": pa.list_(pa.string())}),
}


@st.composite
def declared_rows(draw):
    """Declared inputs, and some rows that fit them."""
    names = draw(st.lists(names_of_inputs, min_size=1, max_size=4, unique=True))
    inputs = tuple(Parameter(name=name, type=draw(st.sampled_from(list(VALUES)))) for name in names)
    return inputs, draw(st.lists(st.fixed_dictionaries({one.name: VALUES[one.type] for one in inputs}), max_size=12))


def written(inputs, rows, kind, indent=None) -> bytes:
    """The rows in a format, by writers that are not ours."""
    names = [one.name for one in inputs]
    columns = {name: [row[name] for row in rows] for name in names}
    if kind is Format.JSON:
        return json.dumps(rows, indent=indent, ensure_ascii=indent is None).encode()
    if kind is Format.NDJSON:
        return "\n".join(map(json.dumps, rows)).encode()
    if kind in {Format.CSV, Format.TSV}:
        text = io.StringIO()
        writer = csv.writer(text, delimiter="," if kind is Format.CSV else "\t", quoting=csv.QUOTE_ALL)
        writer.writerow(names)
        for row in rows:
            writer.writerow(
                json.dumps(row[name]) if isinstance(row[name], list | dict) else row[name] for name in names
            )
        return ("\ufeff" * (indent is not None) + text.getvalue()).encode()
    table = pa.table({one.name: pa.array(columns[one.name], ARROW[one.type]) for one in inputs})
    sink = io.BytesIO()
    if kind is Format.PARQUET:
        pq.write_table(table, sink, row_group_size=5)
    else:
        new = pa.ipc.new_stream if kind is Format.ARROW_STREAM else pa.ipc.new_file
        with new(sink, table.schema) as writer:
            writer.write_table(table, 5)
    return sink.getvalue()


def read(path, body, kind, inputs, **more):
    path.write_bytes(body)
    return [row for chunk in read_chunks(path, MEDIA_TYPES[kind], inputs, apart=False, **more) for row in chunk.rows()]


@pytest.mark.parametrize("kind", Format)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(declared_rows(), st.integers(1, 7), st.sampled_from([None, 1]), st.sampled_from([7, 2**20]))
def test_every_format_gives_the_same_rows(tmp_path, monkeypatch, kind, case, rows, indent, block):
    inputs, given_rows = case
    monkeypatch.setattr(json_rows, "BLOCK", block)
    reader = InputReader(inputs)
    expected = [reader.read(json.dumps(row).encode()) for row in given_rows]
    if kind in {Format.CSV, Format.TSV}:
        text = {one.name for one in inputs if one.type is ValueType.CHARACTER}
        expected = [{k: (v or None) if k in text else v for k, v in row.items()} for row in expected]
    path = tmp_path / "records"
    path.write_bytes(written(inputs, given_rows, kind, indent))
    chunks = list(read_chunks(path, MEDIA_TYPES[kind], inputs, rows=rows, apart=False))
    found = [row for chunk in chunks for row in chunk.rows()]
    assert found == expected
    assert [[type(v) for v in row.values()] for row in found] == [[type(v) for v in row.values()] for row in expected]
    assert [chunk.first for chunk in chunks] == list(range(0, len(given_rows), rows))
    assert all(chunk.count == rows for chunk in chunks[:-1])


def test_columns_in_one_object(tmp_path):
    body = b'\xef\xbb\xbf {"name": ["a", null], "hp": [1, 2.5]}'
    assert read(tmp_path / "r", body, Format.JSON, HP_NAME) == [{"hp": 1.0, "name": "a"}, {"hp": 2.5, "name": None}]


REFUSED = [
    (Format.JSON, '[{"hp": 1, "name": "a"}, {"hp": "many", "name": "a"}]', "$[1].hp", "expected numeric"),
    (Format.JSON, '[{"hp": 1, "name": "a"}, {"hp": 1}]', "$[1].name", "missing"),
    (Format.JSON, '[{"hp": 1, "name": "a", "x": 1}]', "$[0].x", "no such input"),
    (Format.JSON, "[1]", "$[0]", "JSON object"),
    (Format.JSON, '[{"hp": 1, "name": "a"},]', "$", "comma"),
    (Format.JSON, '[{"hp": 1, "name": "a"}', "$", "truncated"),
    (Format.JSON, '[{"hp": 1, "name": "a"}] 3', "$", "trailing"),
    (Format.JSON, "", "$", "JSON array"),
    (Format.JSON, "3", "$", "JSON array"),
    (Format.JSON, '{"hp": 1, "name": "a"}', "$", "array of values"),
    (Format.JSON, '{"hp": [1]}', "$.name", "no column 'name'"),
    (Format.JSON, '{"hp": [1], "name": ["a"], "x": []}', "$.x", "no input for the column 'x'"),
    (Format.JSON, '{"hp": [1], "name": ["a", "b"]}', "$", "one length"),
    (Format.JSON, '{"hp": [1, 2, true], "name": ["a", "b", "c"]}', "$[2].hp", "expected numeric"),
    (Format.NDJSON, '{"hp": 1, "name": "a"}\n\n{"hp": 1, "name": 2}', "$[1].name", "expected character"),
    (Format.NDJSON, '{"hp": 1, "name": "a"}\n{"hp": 1, ', "$", "truncated"),
    (Format.CSV, "", "$", "row of names"),
    (Format.CSV, "hp\n1\n", "$.name", "no column 'name'"),
    (Format.CSV, "hp,name,x\n1,a,b\n", "$.x", "no input"),
    (Format.CSV, ",hp,name\n0,1,a\n", "$.", "index=False"),
    (Format.CSV, "hp,name,hp\n1,a,1\n", "$.hp", "two columns"),
    (Format.CSV, "hp,name\n1,a\n1,a,b\n", "$[1]", "expected 2 cells"),
    (Format.CSV, "hp,name\n1,a\nmany,a\n", "$[1].hp", "expected numeric, got 'many'"),
    (Format.CSV, "hp,name\n1_0,a\n", "$[0].hp", "expected numeric"),
    (Format.CSV, 'hp,name\n1,a\n2,"b\n', "$[1]", "not well formed"),
]


@pytest.mark.parametrize(("kind", "body", "fields", "word"), REFUSED)
def test_what_does_not_fit_is_refused_with_its_place(tmp_path, kind, body, fields, word):
    with pytest.raises(InvalidInput, match=word) as refused:
        read(tmp_path / "r", body.encode(), kind, HP_NAME)
    assert refused.value.fields == fields


def one(kind):
    return (Parameter(name="x", type=ValueType(kind)),)


@pytest.mark.parametrize(
    ("kind", "cells", "expected"),
    [
        ("numeric", " 1.5 ,NA,NaN,nan,null,,inf,-1e3", [1.5, None, None, None, None, None, None, -1000.0]),
        ("integer", "3,3.0,1e3,NA,-9223372036854775808", [3, 3, 1000, None, -(2**63)]),
        ("logical", "true,FALSE,T,f,1,0,NA", [True, False, True, False, True, False, None]),
        ("character", "NA,null, a ,1,", ["NA", "null", " a ", "1", None]),
        ("vector", "[1;2],NA,null", [[1, 2], None, None]),
    ],
)
def test_cells_are_what_their_input_declares(tmp_path, kind, cells, expected):
    quoted = [f'"{cell.replace(";", ",")}"' for cell in cells.split(",")]
    found = read(tmp_path / "r", "\r\n".join(["x", *quoted]).encode(), Format.CSV, one(kind))
    assert [row["x"] for row in found] == expected


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("integer", "1.5"), ("integer", "9223372036854775808"), ("integer", "1e30"), ("logical", "2"),
        ("vector", "1 2"), ("matrix", "[[1],[2,3]]"),
    ],
)  # fmt: skip
def test_cells_that_are_not(tmp_path, kind, cell):
    with pytest.raises(InvalidInput, match=r"\$\[1\]\.x.*expected") as refused:
        read(tmp_path / "r", f'x\n\n"NA"\n"{cell}"'.encode(), Format.CSV, one(kind))
    assert refused.value.fields == ("$[1].x[1]" if kind == "matrix" else "$[1].x")


def test_other_character_encodings_are_said(tmp_path):
    path = tmp_path / "r"
    path.write_bytes("x\nMünchen\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match="charset"):
        list(read_chunks(path, "text/csv", one("character")))
    (chunk,) = read_chunks(path, "text/csv; charset=latin-1", one("character"))
    assert chunk.columns == {"x": ["München"]}
    for unknown in ("nosuch", "zip"):
        with pytest.raises(InvalidInput, match="no character encoding"):
            list(read_chunks(path, f'text/csv; charset="{unknown}"', one("character")))


WHEN = dt.datetime(2020, 1, 2, 3, 4, 5, 6)
TAKEN = [
    ("character", pa.array([WHEN, None], pa.timestamp("us")), ["2020-01-02T03:04:05.000006", None]),
    ("character", pa.array([WHEN], pa.timestamp("us", "UTC")), ["2020-01-02T03:04:05.000006+00:00"]),
    ("character", pa.array([7], pa.timestamp("ns", "Europe/Rome")), ["1970-01-01T01:00:00.000000007+01:00"]),
    ("character", pa.array([7, None], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000007", None]),
    ("character", pa.array([WHEN.date()]), ["2020-01-02"]),
    ("character", pa.array([WHEN.time()], pa.time64("ns")), ["03:04:05.000006"]),
    ("character", pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    ("character", pa.array(["a"], pa.string_view()), ["a"]),
    ("character", pa.nulls(2), [None, None]),
    ("numeric", pa.array([1.5, float("nan"), float("inf"), None]), [1.5, None, None, None]),
    ("numeric", pa.array([1, None], pa.uint8()), [1.0, None]),
    ("numeric", pa.array([2**63], pa.uint64()), [2.0**63]),
    ("numeric", pa.array([np.float16(0.5), None], pa.float16()), [0.5, None]),
    ("numeric", pa.array([decimal.Decimal("1.25"), None]), [1.25, None]),
    ("numeric", pa.array([dt.timedelta(seconds=1.5)]), [1.5]),
    ("integer", pa.array([3.0, None]), [3, None]),
    ("integer", pa.array([decimal.Decimal("3.00"), None]), [3, None]),
    ("integer", pa.array([5, None, 5], pa.int8()).dictionary_encode(), [5, None, 5]),
    ("vector", pa.array([[decimal.Decimal("1.5"), None], None]), [[1.5, None], None]),
    ("vector", pa.array([[1, 2]], pa.list_(pa.int8(), 2)), [[1, 2]]),
]  # fmt: skip


@pytest.mark.parametrize("kind", [Format.ARROW_STREAM, Format.ARROW_FILE, Format.PARQUET])
@pytest.mark.parametrize(("declared", "array", "expected"), TAKEN)
def test_types_of_arrow_have_a_meaning(tmp_path, kind, declared, array, expected):
    if kind is Format.PARQUET and str(array.type) in {"string_view", "duration[us]", "halffloat"}:
        pytest.skip("Parquet has no such type")
    found = [row["x"] for row in read(tmp_path / "r", in_arrow(pa.table({"x": array}), kind), kind, one(declared))]
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


def in_arrow(table, kind):
    sink = io.BytesIO()
    if kind is Format.PARQUET:
        pq.write_table(table, sink)
    else:
        with (pa.ipc.new_stream if kind is Format.ARROW_STREAM else pa.ipc.new_file)(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("declared", "array", "fields", "word"),
    [
        ("numeric", pa.array([None, "a"]), "$[1].x", "a column of string"),
        ("numeric", pa.array([True]), "$[0].x", "a column of bool"),
        ("integer", pa.array([1.0, 1.5]), "$[1].x", "expected integer, got 1.5"),
        ("integer", pa.array([decimal.Decimal("1.5")]), "$[0].x", "got 1.5"),
        ("integer", pa.array([1, 2**63], pa.uint64()), "$[1].x", "64 bits"),
        ("logical", pa.array([1]), "$[0].x", "a column of int64"),
        ("character", pa.array([b"a"]), "$[0].x", "a column of binary"),
        ("character", pa.array([2**62], pa.timestamp("s")), "$[0].x", "cannot be read"),
        ("vector", pa.array([[b"a"]]), "$[0].x", "bytes is no scalar"),
        ("matrix", pa.array([[[1], [2, 3]]]), "$[0].x[1]", "row of 1"),
        ("character", pa.array([b"0" * 16], pa.uuid()), "$.x", "extension"),
    ],
)  # fmt: skip
def test_types_of_arrow_that_do_not_fit(tmp_path, declared, array, fields, word):
    with pytest.raises(InvalidInput, match=word) as refused:
        read(tmp_path / "r", in_arrow(pa.table({"x": array}), Format.ARROW_FILE), Format.ARROW_FILE, one(declared))
    assert refused.value.fields == fields


@pytest.mark.parametrize("kind", [Format.ARROW_STREAM, Format.ARROW_FILE, Format.PARQUET])
def test_what_is_no_such_file_is_refused(tmp_path, kind):
    whole = in_arrow(pa.table({"x": pa.array(range(1000))}), kind)
    for body in (b"", b"hp,name\n1,a\n", whole[:-900], whole[:100] + b"\xff" * 64 + whole[164:]):
        with pytest.raises(InvalidInput, match=r"not what its content type says|no column"):
            read(tmp_path / "r", body, kind, one("integer"))


def test_a_frame_of_pandas_keeps_its_index_to_itself(tmp_path):
    frame = pd.DataFrame({"x": [1, 2]}, index=[5, 7])
    frame.to_parquet(tmp_path / "r")
    (chunk,) = read_chunks(tmp_path / "r", MEDIA_TYPES[Format.PARQUET], one("integer"))
    assert list(chunk.rows()) == [{"x": 1}, {"x": 2}]


def test_a_process_of_its_own_reads_the_same(tmp_path):
    kind = Format.PARQUET
    columns = {"x": [1.5, None, 3.0] * 9000, "n": list(range(27000)), "t": ["a", None, "c"] * 9000}
    inputs = tuple(
        Parameter(name=name, type=ValueType(of))
        for name, of in zip("xnt", ("numeric", "integer", "character"), strict=True)
    )
    path = tmp_path / "r"
    path.write_bytes(in_arrow(pa.table(columns), kind))
    apart, here = ([*read_chunks(path, MEDIA_TYPES[kind], inputs, apart=way)] for way in (True, False))
    assert apart == here
    with pytest.raises(InvalidInput) as refused:
        list(read_chunks(path, MEDIA_TYPES[kind], inputs[:1] + inputs[2:]))
    assert refused.value.fields == "$.n"


def test_a_reader_that_ends_is_a_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "__name__", "os.abort")
    with pytest.raises(InvalidInput, match="cannot be read"):
        list(apart.read_apart(tmp_path / "r", Format.PARQUET, HP_NAME))


def test_without_pyarrow_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UnsupportedMediaType, match=r"pip install 'jupyter_mlops\[arrow\]'"):
        arrow.read_arrow(tmp_path / "r", Format.PARQUET, HP_NAME)


def test_one_record_is_not_endless(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "LONGEST", 2000)
    monkeypatch.setattr(json_rows, "COLUMNS", 2000)
    monkeypatch.setattr(json_rows, "BLOCK", 500)
    for kind, body in (
        (Format.JSON, b'[{"hp": 1, "name": "' + b"a" * 9000),
        (Format.NDJSON, b'{"hp": 1, "name": "' + b"a" * 9000),
        (Format.JSON, b'{"hp": [1], "name": ["' + b"a" * 9000 + b'"]}'),
    ):
        with pytest.raises(TooLarge):
            read(tmp_path / "r", body, kind, HP_NAME)


def test_chunks_are_cut_by_rows_and_by_size():
    def pieces():
        for first in range(0, 100, 10):
            yield Chunk(first, 10, {"x": list(range(first, first + 10))}, 1000)

    by_rows = list(cut(pieces(), rows=30))
    assert [(chunk.first, chunk.count) for chunk in by_rows] == [(0, 30), (30, 30), (60, 30), (90, 10)]
    by_size = list(cut(pieces(), rows=30, size=450))
    assert [chunk.count for chunk in by_size] == [4] * 25
    for chunks in (by_rows, by_size):
        assert [value for chunk in chunks for value in chunk.columns["x"]] == list(range(100))


def test_formats_are_told_by_media_type_by_name_and_by_file():
    assert of_content_type("Text/CSV ; header=present; charset=UTF-8") == (Format.CSV, "UTF-8")
    assert of_content_type("") == (Format.JSON, "")
    with pytest.raises(UnsupportedMediaType, match="text/csv"):
        of_content_type("application/x-www-form-urlencoded")
    assert of_file("a/b.c/cars.JSONL") is Format.NDJSON
    assert of_file("cars.feather") is Format.ARROW_FILE
    with pytest.raises(InvalidRequest, match=r"format=.*\.parquet"):
        of_file("cars.xlsx")
    assert (of_name("feather"), of_name(".CSV"), of_name("arrow-stream")) == (
        Format.ARROW_FILE, Format.CSV, Format.ARROW_STREAM,
    )  # fmt: skip
    with pytest.raises(InvalidRequest, match="no format 'xml'"):
        of_name("xml")
