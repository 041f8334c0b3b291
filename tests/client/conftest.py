"""Namespaces like a notebook's, and a fresh Python that loads what was captured from them."""

from __future__ import annotations

import json
import linecache
import subprocess
import sys
import textwrap

import pytest

LOADER = """
import json, pickle, sys

class Unpickler(pickle.Unpickler):
    def persistent_load(self, pid):
        assert pid == ("main",)
        return sys.modules["__main__"].__dict__

directory, expression = sys.argv[1:]
buffers = pickle.load(open(directory + "/buffers", "rb"))
objects = Unpickler(open(directory + "/stream", "rb"), buffers=buffers).load()
globals().update(objects)
print(json.dumps(eval(expression)))
"""


@pytest.fixture
def notebook():
    def make(source, filename="/tmp/ipykernel_4711/123.py"):
        text = textwrap.dedent(source)
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        namespace = {"__name__": "__main__"}
        exec(compile(text, filename, "exec"), namespace)
        return namespace

    return make


@pytest.fixture
def in_fresh_python(tmp_path):
    import pickle

    def run(captured, expression):
        manifest = captured.manifest
        (tmp_path / "stream").write_bytes(captured.blobs[manifest.stream.digest])
        buffers = [bytearray(captured.blobs[blob.digest]) for blob in manifest.buffers]
        (tmp_path / "buffers").write_bytes(pickle.dumps(buffers))
        done = subprocess.run(
            [sys.executable, "-c", LOADER, tmp_path, expression], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
