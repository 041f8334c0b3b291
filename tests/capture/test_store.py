"""A folder of blobs: complete or not at all, each content once, damage told."""

from __future__ import annotations

import msgspec
import pytest

from jupyter_mlops.capture import capture, restore, save
from jupyter_mlops.errors import CaptureError
from jupyter_mlops.objects import PYTHON


@pytest.fixture
def saved(notebook, tmp_path):
    namespace = notebook("import numpy as np\na = np.arange(100_000.0)\ndef f(): return float(a.sum())")
    return save(capture(namespace, ["f"]), tmp_path / "blobs")


def test_it_comes_back(saved):
    back = restore(saved.path, namespace := {}, check=True)
    assert "a" in namespace
    assert back["f"]() == 4999950000.0


def test_arrays_are_mapped_not_read(saved):
    import mmap

    array = restore(saved.path, {})["a"]
    while getattr(array, "base", None) is not None:
        array = array.base
    assert isinstance(array, mmap.mmap) or isinstance(getattr(array, "obj", array), mmap.mmap)


def test_what_is_written_to_a_restored_array_does_not_reach_the_folder(saved):
    restore(saved.path, {})["a"][0] = 77
    assert restore(saved.path, {}, check=True)["a"][0] == 0


def test_damage_is_told(saved):
    document = msgspec.json.decode(saved.path.read_bytes())
    blob = saved.path.parent / document["buffers"][0]["digest"]
    content = bytearray(blob.read_bytes())
    content[5] ^= 1
    blob.write_bytes(content)
    with pytest.raises(CaptureError, match="damaged"):
        restore(saved.path, {}, check=True)
    blob.write_bytes(content[:-1])
    with pytest.raises(CaptureError, match="damaged"):
        restore(saved.path, {})
    blob.unlink()
    with pytest.raises(CaptureError, match="damaged"):
        restore(saved.path, {})
    saved.path.write_bytes(b"{}")
    with pytest.raises(CaptureError, match="not a snapshot's manifest"):
        restore(saved.path, {})


def test_another_python_is_refused_with_the_reason(saved):
    document = msgspec.json.decode(saved.path.read_bytes())
    assert document["environment"]["bytecode"] == PYTHON
    document["environment"] |= {"bytecode": "3.99", "python": "3.99.1"}
    saved.path.write_bytes(msgspec.json.encode(document))
    with pytest.raises(CaptureError, match=r"needs Python 3\.99\.1.*functions compiled"):
        restore(saved.path, {})


def test_the_stream_itself_refuses_another_python(notebook, monkeypatch, tmp_path):
    from jupyter_mlops import objects
    from jupyter_mlops.capture import pickler

    namespace = notebook("def f(): return 1\ndata = [1]")
    monkeypatch.setattr(pickler, "PYTHON", "3.99")
    captured = capture(namespace, ["f"])
    plain = capture(namespace, ["data"])
    for name, one in (("code", captured), ("data", plain)):
        (tmp_path / name).write_bytes(one.blobs[one.manifest.stream.digest])
    with pytest.raises(objects.OtherPython, match=r"functions compiled by Python 3\.99"):
        objects.read_objects(str(tmp_path / "code"), (), {})
    assert objects.read_objects(str(tmp_path / "data"), (), {}) == {"data": [1]}
    assert plain.manifest.environment.bytecode == ""


def test_a_crash_leaves_no_half_blob(notebook, tmp_path, monkeypatch):
    captured = capture(notebook("import numpy as np\na = np.zeros(100_000)"), ["a"])
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        save(captured, tmp_path / "blobs")
    assert list((tmp_path / "blobs").iterdir()) == []
