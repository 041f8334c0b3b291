"""What a publish from a notebook proves, and what it tells of where the function came from."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_mlops.capture.redact import redacted
from jupyter_mlops.notebook.provenance import git_state, notebook_name


def latest(notebook, name):
    return notebook.ok(f"%services {name}").value.revisions()[-1]


def test_both_answers_are_shown(notebook):
    ran = notebook.ok(
        "%%publish shown 1 --sample 3\ndef f(x: float) -> float:\n    print('not shown')\n    return x / 2"
    )
    assert ran.out.startswith(
        "Proof: a fresh kernel's answer to the sample is this notebook's:\n"
        "          notebook  fresh kernel\n"
        "  answer  1.5       1.5\n"
    )
    assert "not shown" not in ran.out
    assert latest(notebook, "shown").answer == '{"answer":1.5}'
    assert "Proof" not in notebook.ok("%publish f shown 1 --sample 3").out, "unchanged: nothing was proved anew"


def test_rows_are_compared_each(notebook):
    cell = "%%publish rows 1 --batchable --sample [(1,2),(3,4)]\ndef f(a: float, b: float):\n    return a + b"
    assert "  answer[1]  7.0       7.0\n" in notebook.ok(cell).out


def test_another_answer_refuses_the_publish_unless_it_is_forced(notebook):
    notebook.ok("import os\nos.environ['HERE_ONLY'] = '1'")
    cell = (
        "%%publish other 1 --sample 1 {}\ndef f(x: float) -> float:\n"
        "    return x if 'HERE_ONLY' in os.environ else x * (1 + 1e-7)"
    )
    try:
        message = notebook.refused(cell.format(""))
        assert "! answer  1.0       1.0000001\n" in message
        assert "answer is 1.0 there and 1.0000001 here" in message
        assert "there is no service" in notebook.refused("%services other")
        assert notebook.ok(cell.format("--tolerance 1e-6")).value.version == "1"
        assert notebook.ok(cell.format("--force --update")).value.view.revision == 2
    finally:
        notebook.ok("del os.environ['HERE_ONLY']")


def test_chance_is_named(notebook):
    message = notebook.refused(
        "%%publish dice 1 --sample 1\ndef f(x: float) -> float:\n    import random\n    return random.random()"
    )
    assert "differently from call to call" in message


def test_a_function_that_raises_here_is_not_sent(notebook):
    cell = "%%publish raising 1 --sample 0 {}\ndef f(x: float) -> float:\n    return 1 / x"
    assert "raises on the sample here already: ZeroDivisionError" in notebook.refused(cell.format(""))
    assert "the sample raised in a fresh kernel" in notebook.refused(cell.format("--force"))


def test_what_init_makes_is_not_here(notebook):
    notebook.ok("def make():\n    global table\n    table = {1.0: 2.0}")
    ran = notebook.ok("%%publish inits 1 --init make --sample 1\ndef f(x: float) -> float:\n    return table[x]")
    assert "not compared with this notebook, because without --init the function raises NameError here" in ran.out


def test_an_async_function_is_compared(notebook):
    cell = "%%publish later 1 --sample 2\nimport asyncio\nasync def f(x: float) -> float:\n    await asyncio.sleep(0)\n    return x"  # noqa: E501
    assert "  answer  2.0       2.0\n" in notebook.ok(cell).out


def test_the_call_here_leaves_the_namespace_as_it_was(notebook):
    notebook.ok("count = 1")
    notebook.ok(
        "%%publish counting 1 --sample 1\ndef f(x: float) -> float:\n    global count, fresh\n    count = fresh = 5\n    return x"  # noqa: E501
    )
    assert notebook.ok("count").value == 1
    assert "fresh" not in notebook.shell.user_ns


def test_a_revision_knows_its_cells(notebook, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ann/work/cars.ipynb")
    notebook.ok("unrelated = 1")
    notebook.ok("import math\nweights = [1, 2]")
    notebook.ok("weights = [3]")
    notebook.ok("weights.append(4)")
    notebook.ok("def helper(x):\n    return math.fsum(weights) * x")
    notebook.ok("%%publish told 1 --sample 2\ndef f(x: float) -> float:\n    return helper(x)")
    found = latest(notebook, "told").provenance
    card = notebook.ok("%services told 1").value
    assert (
        "made from: cars.ipynb; cells 2, 3, 4, 5, 6" in notebook.shell.display_formatter.format(card)[0]["text/plain"]
    )
    assert found.notebook == "cars.ipynb"
    cells = [(one.execution_count, one.source) for one in found.cells]
    assert [count for count, _ in cells] == [2, 3, 4, 5, 6]
    assert cells[2] == (4, "weights.append(4)")
    assert cells[-1][1].startswith("%%publish told 1 --sample 2\ndef f(")


def test_secrets_written_in_a_cell_stay_here(notebook):
    cell = (
        "%%publish quiet 1 --sample 2\nimport os\n"
        "api_key = 'sk-live-4eC39HqLyjWDarjtT1zdp7dc'; settings = {'password': 'hunter2-Tr0ub4dor', 'name': 'hällo'}\n"
        "def f(x: float) -> float:\n    return x"
    )
    notebook.ok(cell)
    service = notebook.ok("%services quiet").value
    everything = b"".join(path.read_bytes() for path in Path(service.open(namespace={}).directory).rglob("*.*"))
    assert b"def f(x: float)" in everything
    assert b"4eC39" not in everything
    assert b"Tr0ub4dor" not in everything
    (kept,) = latest(notebook, "quiet").provenance.cells
    assert "4eC39" not in kept.source
    assert "Tr0ub4dor" not in kept.source
    assert "api_key = \"...\"; settings = {'password': \"...\", 'name': 'hällo'}\n" in kept.source


def test_redacting_keeps_the_lines():
    text = (
        'a = 1\nkey = """-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"""\nb = 2\n'
    )
    kept = redacted(text, ast.parse(text))
    assert "MIIE" not in kept
    assert kept.splitlines()[4] == "b = 2"
    for harmless in ("x = 'hello'", "name = f'{a} b'", "é = 'ü' * 3", "columns = ['password_length', 'tokens']"):
        assert redacted(harmless, ast.parse(harmless)) == harmless


def test_names_of_notebooks(notebook, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert notebook_name(notebook.shell) == ""
    monkeypatch.setenv("JPY_SESSION_NAME", "a/b.ipynb")
    assert notebook_name(notebook.shell) == "b.ipynb"
    notebook.ok(r"__vsc_ipynb_file__ = 'C:\\work\\cars.ipynb'")
    assert notebook_name(notebook.shell) == "cars.ipynb"


def test_the_commit_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == ("", False)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    assert git_state(tmp_path) == ("", False), "there is no commit yet"
    (tmp_path / "a").write_text("1")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "a"], check=True)
    commit, dirty = git_state(tmp_path)
    assert len(commit) == 40
    assert not dirty
    (tmp_path / "a").write_text("2")
    assert git_state(tmp_path) == (commit, True)


@pytest.mark.skipif(sys.platform == "win32", reason="the git that hangs is a shell script: NOT TESTED on Windows")
def test_a_git_that_hangs_does_not_hold_a_publish_up(tmp_path, monkeypatch):
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("jupyter_mlops.notebook.provenance.GIT_SECONDS", 0.2)
    assert git_state(tmp_path) == ("", False)
