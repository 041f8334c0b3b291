"""Every block of code on `docs/realtime.md`, run in its order."""

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
    page = (ROOT / "docs" / "realtime.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) > 6
    printed = "".join(notebook.ok(block).out for block in blocks)
    assert "Parity: Pipeline of scikit-learn" in printed
    for told in re.findall(r"```text\n(.*?)```", page, re.DOTALL):
        assert told.strip() in printed
    notebook.ok("client.close()")
