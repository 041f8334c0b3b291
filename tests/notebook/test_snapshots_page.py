"""Every block of code on `docs/snapshots.md`, run in its order."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_page_runs(notebook, tmp_path):
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "notebooks" / "data" / "mtcars.csv", tmp_path / "data")
    page = (ROOT / "docs" / "snapshots.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) > 7
    printed = ""
    for block in blocks[:-1]:
        printed += notebook.ok(block).out
    (proof,) = (text for text in re.findall(r"```text\n(.*?)```", page, re.DOTALL) if text.startswith("Proof"))
    assert [line.split() for line in proof.splitlines()[:2]] == [
        line.split() for line in printed[printed.index("Proof:") :].splitlines()[:2]
    ]
    assert "api_key: looks like a" in printed
    assert "revision 1" in printed
    assert notebook.shell.user_ns["picker"].selected == ["model", "probability"]
    ran = notebook.run(blocks[-1])
    assert type(ran.error) is ValueError, ran
    assert str(ran.error) == "a car weighs something, not 0.0"
    assert (tmp_path / "copy.zip").is_file()
