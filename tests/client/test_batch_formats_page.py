"""Every block of code on `docs/batch-formats.md`, run in its order; what a page says is printed is printed."""

from __future__ import annotations

import linecache
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "batch-formats.md").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


@pytest.fixture
def page(server, monkeypatch, tmp_path):
    """The names of the page's code, on a server of its own and in a folder of its own."""
    monkeypatch.setenv("JUPYTER_MLOPS_URL", server.url)
    monkeypatch.setenv("JUPYTER_MLOPS_TOKEN", server.token)
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    yield namespace
    namespace["client"].close()


def test_the_page_runs(page, capsys):
    blocks = BLOCK.findall(PAGE)
    assert len(blocks) > 6
    for number, (code, printed) in enumerate(blocks):
        name = f"<block {number} of the page>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)  # `inspect` looks there
        exec(compile(code, name, "exec"), page)  # the page's own
        out = capsys.readouterr().out
        if printed:
            assert out == printed
    frame = page["job"].to_frame()
    assert frame["name"].tolist() == ['Mazda, "RX4"', "Ghost"]
    assert page["table"].num_rows == 2
