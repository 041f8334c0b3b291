"""What is one stays one: objects, views, cells, blocks, globals."""

# ruff: noqa: E501  (cells are read by the line)

from __future__ import annotations

import numpy as np
import pytest

from jupyter_mlops.capture import capture


def test_views_of_one_array_share_it_again(notebook, again):
    back = again(
        notebook("""
        import numpy as np
        whole = np.arange(60_000.0)
        half, backwards, table, one = whole[:30_000], whole[::-1], whole.reshape(200, 300).T, whole[5:6]
        """)
    )
    back["whole"][5] = -1
    assert back["half"][5] == back["backwards"][-6] == back["table"][5, 0] == back["one"][0] == -1
    back["half"][6] = -2
    assert back["whole"][6] == -2


def test_views_whose_base_is_no_name_share_memory_and_bring_only_what_they_cover(notebook, again):
    namespace = notebook(
        "import numpy as np\nbase = np.zeros(1_000_000)\na, b, alone = base[:20_000], base[10_000:30_000], base[900_000:]\ndel base"
    )
    captured = capture(namespace, ["a", "b", "alone"])
    assert sorted(blob.size for blob in captured.manifest.buffers) == [240_000, 800_000]
    back = again(namespace, ["a", "b", "alone"])
    back["a"][10_000] = 7
    assert back["b"][0] == 7


def test_small_views_share_too(notebook, again):
    back = again(notebook("import numpy as np\na = np.arange(6)\nb = a[::2]\nholder = {'a': a, 'rest': [a[1:]]}"))
    back["a"][2] = 9
    assert back["b"][1] == back["holder"]["rest"][0][1] == 9
    assert back["holder"]["a"] is back["a"]


def test_a_read_only_view_stays_read_only(notebook, again):
    back = again(notebook("import numpy as np\na = np.arange(6)\nb = a[:]\nb.flags.writeable = False"))
    with pytest.raises(ValueError, match="read-only"):
        back["b"][0] = 1
    back["a"][0] = 5
    assert back["b"][0] == 5


@pytest.mark.parametrize(
    "made",
    [
        "np.arange(20_000).astype('M8[s]')",
        "np.zeros(20_000, [('a', 'f8'), ('b', 'M8[ns]')])",
        "np.asmatrix(np.arange(40_000.0).reshape(200, 200))",
        "np.rec.fromarrays([np.arange(20_000), np.arange(20_000.0)], names='a,b')",
        "np.arange(80_000.0)[::2]",
        "np.arange(800_000.0)[::9]",
        "np.asfortranarray(np.arange(40_000.0).reshape(200, 200))",
        "np.array(['a', 'bcd'] * 9000)",
        "np.array([{}, [1], None], dtype=object)",
        "np.zeros((0, 5))",
        "np.float32(3)",
        "np.ma.masked_array(np.arange(30_000.0), mask=[True, False] * 15_000)",
        "np.broadcast_to(np.arange(5.0), (3000, 5))",
    ],
)
def test_arrays_of_every_kind_come_back(made, notebook, again):
    namespace = notebook(f"import numpy as np\na = {made}")
    back = again(namespace, ["a"])["a"]
    assert type(back) is type(namespace["a"])
    assert back.dtype == namespace["a"].dtype
    assert back.shape == namespace["a"].shape
    assert np.array_equal(back, namespace["a"]) or made.startswith("np.ma")


def test_a_memmap_goes_along_without_being_read_into_memory(notebook, again, tmp_path):
    np.arange(50_000.0).tofile(tmp_path / "data")
    namespace = notebook(f"import numpy as np\na = np.memmap({str(tmp_path / 'data')!r}, float, 'r')\npart = a[10:]")
    captured = capture(namespace, ["a", "part"])
    assert [blob.size for blob in captured.manifest.buffers] == [400_000]
    assert captured.manifest.stream.size < 2_000
    back = again(namespace, ["a", "part"])
    assert type(back["a"]) is np.memmap
    assert np.shares_memory(back["a"], back["part"])
    assert back["a"][49_999] == 49_999


def test_frames_that_share_blocks_share_them_and_copy_on_write(notebook, again):
    back = again(
        notebook("""
        import numpy as np, pandas as pd
        frame = pd.DataFrame({'a': np.arange(20_000.0), 'b': np.arange(20_000.0)})
        same, column, rows = frame.copy(deep=False), frame['a'], frame[5_000:]
        """)
    )
    for name in ("same", "column", "rows"):
        assert np.shares_memory(back[name]._mgr.blocks[0].values, back["frame"]._mgr.blocks[0].values)
    back["same"].iloc[0, 0] = 99.0
    back["column"].iloc[1] = 99.0
    back["rows"].iloc[0, 0] = 99.0
    assert back["frame"]["a"].tolist() == list(range(20_000))


def test_functions_that_share_a_cell_share_it_again(notebook, again):
    back = again(
        notebook("""
        def make():
            n = 0
            def up():
                nonlocal n
                n += 1
                return n
            def read(): return n
            def other(k): return 1 if k < 1 else k * other(k - 1) + n
            return up, read, other
        up, read, other = make()
        """)
    )
    assert back["up"]() == 1
    assert back["read"]() == 1
    assert back["other"](2) == 5


def test_a_cell_that_is_still_empty(notebook, again):
    back = again(
        notebook("def make():\n    def f(): return later\n    if False: later = 1\n    return f\nf = make()"), ["f"]
    )
    with pytest.raises(NameError):
        back["f"]()


def test_functions_of_another_module_like_dict_share_its_globals(notebook, again):
    source = "other = {'k': 1}\nexec('def put(v):\\n    global k\\n    k = v\\ndef get(): return k', other)\nput, get = other['put'], other['get']"
    back = again(notebook(source), ["put", "get"])
    back["put"](42)
    assert back["get"]() == 42


def test_cycles_through_two_names(notebook, again):
    back = again(
        notebook("""
        class Node:
            __slots__ = ("to", "__weakref__")
        a, b = Node(), Node()
        a.to, b.to = b, a
        c = []; d = {"c": c}; c.append(d)
        t = ([],); t[0].append(t)
        """)
    )
    assert back["a"].to is back["b"]
    assert back["b"].to is back["a"]
    assert back["c"][0] is back["d"]
    assert back["d"]["c"] is back["c"]
    assert back["t"][0][0] is back["t"]


def test_large_bytes_are_one_object_and_leave_the_stream(notebook, again):
    namespace = notebook("a = b'x' * 100_000\nb = a\nc = bytearray(a)\nd = [a, c]")
    captured = capture(namespace, ["a", "b", "c", "d"])
    assert captured.manifest.stream.size < 1_000
    assert len({blob.digest for blob in captured.manifest.buffers}) == 1
    back = again(namespace)
    assert back["a"] is back["b"] is back["d"][0]
    assert back["c"] is back["d"][1]
    back["c"][0] = 65
    assert back["a"][:1] == b"x"


def test_the_order_of_the_namespace_survives(notebook, again):
    namespace = notebook("z = 1\na = [2]\ndef m(): return a, z\nk = {}")
    assert list(again(namespace, ["k", "m", "a", "z"])) == ["z", "a", "m", "k"]


def test_a_change_in_place_is_seen(notebook, tmp_path):
    from jupyter_mlops.capture import restore, save

    namespace = notebook("import numpy as np\na = np.zeros(1_000_000)\nb = np.ones(1_000_000)")
    first = save(capture(namespace, ["a", "b"]), tmp_path, "first")
    namespace["a"][777_777] = 5
    second = save(capture(namespace, ["a", "b"]), tmp_path, "second")
    assert 8_000_000 < second.written < 8_010_000
    assert restore(second.path, {})["a"][777_777] == 5
    assert restore(first.path, {})["a"][777_777] == 0
    assert save(capture(namespace, ["a", "b"]), tmp_path, "third").written < 10_000


def test_each_buffer_is_hashed_once(notebook, monkeypatch):
    from jupyter_mlops.capture import hashing

    hashed = []
    plain = hashing.Digests._hash
    monkeypatch.setattr(
        hashing.Digests, "_hash", lambda own, content: hashed.append(content.nbytes) or plain(own, content)
    )
    namespace = notebook("import numpy as np\na = np.zeros(100_000)\nb = a\nc = {'a': a}\nd = np.ones(50_000)")
    capture(namespace, ["a", "b", "c", "d"])
    assert sorted(hashed) == [400_000, 800_000]
