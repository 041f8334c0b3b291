"""The cells of docs/migration.md, run from its top to its end, as a notebook would."""

from __future__ import annotations

import linecache
import re
from pathlib import Path

import pytest
from azsdk import azsdk_shim  # noqa: F401  # before the page's own import, whose warning is no concern of the page
from support import PASSWORD

from jupyter_mlops import DeployClient

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migration.md").read_text()


def cells():
    """The Python of the page with its line numbers, so that a traceback leads to the page."""
    for found in re.finditer(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        yield PAGE[: found.start(1)].count("\n"), found[1]


def test_the_page_has_both_ways():
    code = "".join(text for _, text in cells())
    assert "from azureml.deploy import DeployClient" in code
    assert "from jupyter_mlops import DeployClient" in code
    assert "| S1 |" in PAGE


@pytest.mark.slow
def test_the_page_runs(server, start_server, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    other = start_server()
    with DeployClient(other.url, auth=("admin", PASSWORD)) as another:
        namespace = {"__name__": "__main__", "another_server": another}
        try:
            for line, text in cells():
                run(line, text, namespace, server)
        finally:
            close(namespace)
    printed = capsys.readouterr().out
    assert printed.count("0.64181") == 5
    assert "['answer.csv']" in printed
    assert "['1.0', '2.0']" in printed


def run(line, text, namespace, server):
    """As a cell: `inspect` finds its functions' text."""
    text = text.replace("http://localhost:12800", server.url).replace("{{YOUR_PASSWORD}}", PASSWORD)
    name = f"<migration.md:{line}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), namespace)


def close(namespace):
    for name in ("client", "ours"):
        connected = namespace.get(name)
        if connected is not None:
            (connected if name == "ours" else connected._http_client).close()


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", PAGE))
def test_what_the_page_links_to_is_there(link):
    assert (ROOT / "docs" / link).exists()
