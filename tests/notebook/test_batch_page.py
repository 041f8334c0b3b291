"""Every block of code on `docs/batch.md`, run in its order in a notebook; what it says is printed is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "batch.md").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_page_runs(notebook):
    blocks = BLOCK.findall(PAGE)
    assert len(blocks) > 8
    for code, printed in blocks:
        ran = notebook.ok(code)
        if printed:
            assert ran.out == printed
    assert notebook.shell.user_ns["job"].progress().total == 100
