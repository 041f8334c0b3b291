"""What `pip install` put in place."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", [("jupyter_server", "extension"), ("jupyterlab", "labextension")])
def test_jupyter_lists_the_extension_as_enabled_and_ok(command, tmp_path):
    module, kind = command
    program = {"jupyter_server": "server extension", "jupyterlab": "labextension"}[module]
    shown = subprocess.run(
        [sys.executable, "-m", "jupyter", *program.split(), "list"],
        capture_output=True, text=True, check=True, env={"PATH": _path(), "HOME": str(tmp_path), "NO_COLOR": "1"},
    )  # fmt: skip
    text = (shown.stdout + shown.stderr).replace("\x1b[32m", "").replace("\x1b[0m", "")
    expected = {"extension": "jupyter_mlops enabled\n", "labextension": "jupyter-mlops v0.1.0 enabled OK"}[kind]
    assert expected in text, text
    assert "X" not in text.split("mlops", 1)[1].split("\n", 1)[0]
    if kind == "extension":
        assert "jupyter_mlops 0.1.0 OK" in text


def _path() -> str:
    from pathlib import Path

    return f"{Path(sys.executable).parent}:/usr/bin:/bin"
