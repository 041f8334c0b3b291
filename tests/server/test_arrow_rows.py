"""Recorded rows of a batch as a stream of Arrow."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from jupyter_mlops import recording
from jupyter_mlops.chunks import pack_columns
from jupyter_mlops.recording import Kind
from jupyter_mlops.schema.services import Definition
from jupyter_mlops.schema.types import Parameter, ValueType
from jupyter_mlops.server.managers.arrow_rows import ArrowRows
from jupyter_mlops.server.managers.batch_rows import Attempts
from jupyter_mlops.server.stores.batch_files import BatchFiles
from jupyter_mlops.server.stores.batches import Recorded, Try

OUTPUTS = tuple(Parameter(name=kind.value[:1], type=kind) for kind in (
    ValueType.NUMERIC, ValueType.INTEGER, ValueType.LOGICAL, ValueType.CHARACTER, ValueType.DATA_FRAME,
))  # fmt: skip
ROW = {"n": 1.5, "i": 2**63, "l": True, "c": "a", "d": {"x": [1, None]}}
NAMES = ["_index", "n", "i", "l", "c", "d", "_success", "_error", "_attempt", "_seconds"]


@pytest.fixture
def files(tmp_path):
    files = BatchFiles(tmp_path)
    (tmp_path / "b").mkdir()
    return files


def written(files, *frames, first=0, count):
    body = b"".join([recording.start(first), *frames])
    files.results("b", 1).write_bytes(b"before" + body)
    return [Recorded(first, count, 1, 6, len(body), 0.0, 1)]


def table(files, recorded, tries=(), outputs=OUTPUTS, **part):
    pieces = ArrowRows(Definition(outputs=outputs)).pieces(files, "b", recorded, Attempts(tries), **part)
    return pa.ipc.open_stream(b"".join(pieces)).read_all()


def test_rows_that_were_recorded_one_by_one(files):
    failed = {"success": False, "errorMessage": "no", "outputParameters": {}}
    recorded = written(
        files,
        recording.frame(Kind.PLAIN, 0.5, json.dumps(ROW).encode()),
        *recording.artifact("a.txt", b"content"),
        recording.frame(Kind.FULL, 0.25, json.dumps({"success": True, "outputParameters": ROW | {"i": 7}}).encode()),
        recording.frame(Kind.FAILED, 0.0, json.dumps(failed).encode()),
        first=5,
        count=3,
    )
    found = table(files, recorded, [Try(6, 1, "death")])
    assert found.schema.names == NAMES
    assert [str(kind) for kind in found.schema.types[1:6]] == ["double", "int64", "bool", "string", "string"]
    rows = [tuple(row.values()) for row in found.to_pylist()]
    text = '{"x":[1,null]}'
    assert rows == [
        (5, 1.5, None, True, "a", text, True, "", 1, 0.5),  # Arrow has no such whole number
        (6, 1.5, 7, True, "a", text, True, "", 2, 0.25),
        (7, None, None, None, None, None, False, "no", 1, 0.0),
    ]
    assert table(files, recorded, first=6, stop=7)["_index"].to_pylist() == [6]


def test_rows_that_ran_as_one(files):
    outputs = OUTPUTS[:2] + OUTPUTS[3:4]
    packed = pack_columns({"n": [1.0, 2.0, 3.0], "i": [1, None, 3], "c": ["a", "b", None]})
    whole = pack_columns({"n": [1, 2], "i": [4, 5], "c": [None, None]})
    recorded = written(files, recording.columns(3, 0.3, packed), recording.columns(2, 0.2, whole), count=5)
    found = table(files, recorded, outputs=outputs)
    assert found["_index"].to_pylist() == [0, 1, 2, 3, 4]
    assert found["n"].to_pylist() == [1.0, 2.0, 3.0, 1.0, 2.0]
    assert found["i"].to_pylist() == [1, None, 3, 4, 5]
    assert found["c"].to_pylist() == ["a", "b", None, None, None]
    assert found["_seconds"].to_pylist() == pytest.approx([0.1] * 5)
    part = table(files, recorded, outputs=outputs, first=1, stop=4)
    assert (part["_index"].to_pylist(), part["n"].to_pylist()) == ([1, 2, 3], [2.0, 3.0, 1.0])


def test_no_rows_are_a_stream_too(files):
    assert table(files, []).num_rows == 0
