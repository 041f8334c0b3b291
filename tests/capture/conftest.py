"""Namespaces like a notebook's, and a fresh Python that loads what was captured from them."""

from __future__ import annotations

import json
import linecache
import subprocess
import sys
import textwrap

import pytest

LOADER = """
import json, sys
from pathlib import Path

from jupyter_mlops.objects import load_objects

directory, expression = Path(sys.argv[1]), sys.argv[2]
globals().update(load_objects(str(directory / "stream"), tuple(map(str, sorted(directory.glob("buffer*"))))))
print(json.dumps(eval(expression)))
"""


@pytest.fixture
def notebook():
    def make(source, filename="/tmp/ipykernel_4711/123.py"):
        text = textwrap.dedent(source)
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        namespace = {"__name__": "__main__"}
        exec(compile(text, filename, "exec", dont_inherit=True), namespace)
        return namespace

    return make


@pytest.fixture
def in_fresh_python(tmp_path):
    def run(captured, expression):
        manifest = captured.manifest
        (tmp_path / "stream").write_bytes(captured.blobs[manifest.stream.digest])
        for number, blob in enumerate(manifest.buffers):
            (tmp_path / f"buffer{number:04}").write_bytes(captured.blobs[blob.digest])
        done = subprocess.run(
            [sys.executable, "-c", LOADER, tmp_path, expression], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def again(tmp_path):
    """Capture names, save them, and restore them into another namespace of this process."""
    from jupyter_mlops.capture import capture, restore, save

    def take(namespace, names=None, **options):
        wanted = [name for name in namespace if not name.startswith("__")] if names is None else names
        saved = save(capture(namespace, wanted, **options), tmp_path / "blobs")
        return restore(saved.path, {"__name__": "__main__"}, check=True)

    return take
