"""Data files and modules of the user's own folder."""

from __future__ import annotations

import sys

import pytest

from jupyter_mlops.capture import capture
from jupyter_mlops.errors import CaptureError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = tmp_path / "work"
    (place / "data" / "deep").mkdir(parents=True)
    (place / "data" / "a.csv").write_text("a,b\n")
    (place / "data" / "b.csv").write_text("")
    (place / "data" / "deep" / "c.csv").write_text("c\n")
    (place / "config.json").write_text("{}")
    (tmp_path / "outside.txt").write_text("no")
    monkeypatch.chdir(place)
    return place


def paths(notebook, *files):
    captured = capture(notebook("def f(): return 1"), ["f"], files=files)
    found = {file.path: bytes(captured.blobs[file.blob.digest]) for file in captured.manifest.files}
    captured.manifest.check()
    return found


def test_paths_patterns_and_folders(folder, notebook):
    assert paths(notebook, "config.json") == {"config.json": b"{}"}
    assert paths(notebook, "data/*.csv") == {"data/a.csv": b"a,b\n", "data/b.csv": b""}
    assert set(paths(notebook, "**/*.csv")) == {"data/a.csv", "data/b.csv", "data/deep/c.csv"}
    assert set(paths(notebook, "data", "config.json")) == {"config.json", "data/a.csv", "data/b.csv", "data/deep/c.csv"}


@pytest.mark.parametrize("path", ["../outside.txt", "/etc/hosts", "~/x", "data/../../outside.txt", "C:\\x", "", "\\x"])
def test_paths_outside_are_refused(path, folder, notebook):
    with pytest.raises(CaptureError, match="paths inside the working directory"):
        paths(notebook, path)


@pytest.mark.parametrize("pattern", ["link.txt", "*.txt", "inside/x.txt", "inside"])
def test_links_are_refused(pattern, folder, notebook, tmp_path):
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.txt").write_text("x")
    (folder / "inside").symlink_to(tmp_path / "other")
    with pytest.raises(CaptureError, match="is a link"):
        paths(notebook, pattern)


@pytest.mark.parametrize("pattern", ["nope.csv", "data/*.parquet"])
def test_what_is_not_there_is_refused(pattern, folder, notebook):
    with pytest.raises(CaptureError, match="there is no such file"):
        paths(notebook, pattern)


def test_modules_of_the_folder_go_along_as_files(folder, notebook, monkeypatch):
    (folder / "helpers_of_mine.py").write_text("from other_of_mine import k\ndef go(x): return x + k\n")
    (folder / "other_of_mine.py").write_text("k = 2\n")
    monkeypatch.syspath_prepend(folder)
    captured = capture(notebook("from helpers_of_mine import *\ndef f(x): return go(x)"), ["f"])
    assert [file.path for file in captured.manifest.files] == ["helpers_of_mine.py", "other_of_mine.py"]
    assert [one.name for one in captured.manifest.names] == ["f", "go"]
    for name in ("helpers_of_mine", "other_of_mine"):
        sys.modules.pop(name)


def test_a_large_file_is_never_in_memory(folder, notebook):
    import tracemalloc

    with (folder / "large.bin").open("wb") as file:
        file.truncate(2**28)
    tracemalloc.start()
    captured = capture(notebook("def f(): return 1"), ["f"], files=["large.bin"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert captured.manifest.files[0].blob.size == 2**28
    assert peak < 2**24
