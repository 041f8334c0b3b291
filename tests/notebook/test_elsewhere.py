"""What was captured somewhere else: differences are told, another Python is refused; failed calls are repeated here."""

from __future__ import annotations

import re

import msgspec
import pytest

from jupyter_mlops.environments import environment

CELL = """%%publish {line}
def quotient(x: float) -> float:
    return whole / x
"""


@pytest.fixture
def elsewhere(monkeypatch):
    """Captures say that they were made where packages are of other versions."""

    def forge(**changes):
        def forged(*args, **kwargs):
            return msgspec.structs.replace(environment(*args, **kwargs), **changes)

        monkeypatch.setattr("jupyter_mlops.capture.snapshot.environment", forged)

    return forge


def test_differences_are_told_in_one_table(notebook, elsewhere):
    elsewhere(packages={"numpy": "1.0", "gone-from-here": "7"}, executable="/elsewhere/bin/python")
    notebook.ok("whole = 6.0")
    card = notebook.ok(CELL.format(line="differs 1 --sample 2 --as service")).value
    text = notebook.shell.display_formatter.format(card)[0]["text/plain"]
    assert re.search(r"differs: +numpy: captured with 1\.0, \S+ here", text)
    assert "gone-from-here: captured with 7, not installed here" in text
    notebook.ok("%snapshot differs")
    table = (
        r"This Python differs:\n +captured with +here\n"
        r"numpy +1\.0 +\d\S+ +pip install numpy==1\.0\ngone-from-here +7 +not installed +pip install gone-from-here==7"
    )
    assert re.search(table, repr(notebook.ok("%snapshot load differs").value))
    ran = notebook.ok("opened = service.open(overwrite=True)")
    assert re.search(table, ran.out)
    assert "This Python differs" not in repr(notebook.ok("opened").value), "it was told in the cell already"


def test_what_does_not_load_says_what_differs(notebook, elsewhere, tmp_path, monkeypatch):
    (tmp_path / "passing.py").write_text("def made():\n    raise RuntimeError('not any more')\n")
    monkeypatch.syspath_prepend(tmp_path)
    elsewhere(packages={"numpy": "1.0"})
    notebook.ok("import passing\nclass Odd:\n    def __reduce__(self):\n        return passing.made, ()\nodd = Odd()")
    notebook.ok("%snapshot odd")
    message = notebook.refused("%snapshot load odd --overwrite")
    assert "snapshot odd does not load here: RuntimeError: not any more. This Python differs:" in message
    assert "pip install numpy==1.0" in message


def test_functions_of_another_python_are_refused_with_that_reason(notebook, elsewhere, monkeypatch):
    elsewhere(python="3.99.1", bytecode="3.99")
    monkeypatch.setattr("jupyter_mlops.capture.pickler.PYTHON", "3.99")
    notebook.ok("whole = 6.0\ndef f(x: float) -> float:\n    return x * whole")
    notebook.ok("%snapshot compiled")
    notebook.ok("whole = 7.0")
    message = notebook.refused("%snapshot load compiled --overwrite")
    assert re.match(
        r"snapshot compiled needs Python 3\.99\.1, and this is Python 3\.\d+\.\d+: it holds functions", message
    )
    assert notebook.ok("whole").value == 7.0, "nothing was changed"
    assert "compiled by Python 3.99" in notebook.refused("%publish f compiled 1")


def test_a_failed_call_is_repeated_in_the_notebook(notebook):
    notebook.ok("whole = 6.0")
    notebook.ok(CELL.format(line="divided 1 --sample 2 --as service"))
    number = notebook.shell.execution_count - 1
    notebook.ok("whole = 'another by now'")
    response = notebook.ok("response = service.quotient(0)\nresponse").value
    assert f'service.debug("{response.request_id}") repeats it here' in repr(response)
    opened = notebook.ok("service.debug(response.request_id)").value
    assert opened.inputs == {"x": 0.0}
    following = notebook.shell.rl_next_input
    assert following.startswith("failed.run()")
    ran = notebook.run(following)
    assert type(ran.error) is ZeroDivisionError
    assert re.search(rf"<cell {number}>:2", ran.out), ran.out
    assert re.search(r"-+> 2 +return whole / x", ran.out), ran.out
    assert "whole / x" in notebook.ok("service.open({}).code").value
    notebook.ok("service.open(overwrite=True)")
    assert notebook.shell.rl_next_input.startswith("def quotient")
    assert notebook.ok("whole").value == 6.0
