"""`%batch` in a real shell on a real server: starting, watching in text, finding again."""

from __future__ import annotations

import re

import pytest
from IPython.core.completer import provisionalcompleter
from support import eventually

from jupyter_mlops.notebook.magics import MLOpsMagics

ADDER = """%%publish adder 1.0
def add(x: float, y: float) -> float:
    if x < 0:
        raise ValueError(f'{x} is negative')
    return x + y"""
RECORDS = "records = [{'x': n, 'y': 1} for n in range(20)]"


@pytest.fixture
def adder(notebook):
    notebook.ok(ADDER)
    notebook.ok(RECORDS)
    return notebook


def started(ran):
    """The batch that a cell gave, at its end."""
    assert ran.value.state() == "Complete", ran
    return ran.value


def test_records_become_a_batch_with_a_bar_and_a_line(adder):
    ran = adder.ok("%batch adder records --parallel 2 --priority low --as job")
    job = started(ran)
    assert adder.shell.user_ns["job"] is job
    assert [row.output("answer") for row in job.in_order()] == [n + 1.0 for n in range(20)]
    assert job.progress().priority == "low"
    assert "20/20" in ran.err, "a bar"
    assert f"adder 1.0, batch {job.execution_id}: Complete, 20 of 20 rows, " in ran.out
    assert adder.ok("job").out.endswith(f"<Batch of /api/adder/1.0: batch {job.execution_id}>\n")


def test_what_records_can_be(adder, tmp_path):
    (tmp_path / "some.csv").write_text("x,y\n0,1\n1,1\n2,1\n")
    adder.ok("import pandas as pd\nfrom jupyter_mlops import DeployClient")
    adder.ok("service = DeployClient().get_service('adder')")
    for line in (
        "adder/1.0 records[:3]",
        "service [{'x': n, 'y': 1} for n in range(3)]",
        "adder {'x': [0, 1, 2], 'y': [1, 1, 1]} --engine local",
        "adder list( record for record in records if record['x'] < 3 )",
        "adder some.csv",
        "adder 'some.csv'",
        "adder pd.read_csv('some.csv')",
    ):
        assert started(adder.ok(f"%batch {line}")).to_frame()["answer"].tolist() == [1, 2, 3], line
    adder.ok("service._transport.close()")


@pytest.mark.slow
def test_a_variable_goes_before_a_file_of_its_name(adder, tmp_path):
    (tmp_path / "records").write_text("x,y\n")
    assert started(adder.ok("%batch adder records")).progress().total == 20


def test_refusals_are_one_message(adder, tmp_path):
    (tmp_path / "bad.csv").write_text("x,y\n1,2\n1,many\n")
    assert "No service found for 'nothing'" in adder.refused("%batch nothing records")
    assert "service 'adder' has no version '9'" in adder.refused("%batch adder/9 records")
    assert "%batch adder wants records: a DataFrame" in adder.refused("%batch adder")
    assert "RECORDS recrods raises NameError" in adder.refused("%batch adder recrods")
    assert "neither a file nor an expression" in adder.refused("%batch adder some file")
    assert "$[1].y" in adder.refused("%batch adder bad.csv")
    assert "no input 'z'" in adder.refused("%batch adder [{'x':1,'y':2,'z':3}]")
    assert "--parallel" in adder.refused("%batch adder records --parallel many")
    assert "parallelCount" in adder.refused("%batch adder records --parallel 0")
    assert "--priority" in adder.refused("%batch adder records --priority urgent")
    assert "no Dask scheduler" in adder.refused("%batch adder records --engine dask")
    assert "no name of a variable" in adder.refused("%batch adder records --as 1a")
    assert "no such batch" in adder.refused("%batch attach 123")
    assert "%batch attach ID" in adder.refused("%batch attach")
    assert "%batch list" in adder.refused("%batch list all")


def test_listing_and_finding_again(adder):
    job = started(adder.ok("%batch adder records"))
    table = adder.ok("%batch list").value
    first, second = repr(table).splitlines()[:2]
    assert first.split() == ["id", "service", "state", "done", "rows", "failed", "by", "submitted"]
    assert second.split()[:6] == [job.execution_id, "adder/1.0", "Complete", "20", "20", "0"]
    assert job.execution_id in table._repr_html_()
    ran = adder.ok(f"%batch attach {job.execution_id} --as again")
    assert ran.value.execution_id == job.execution_id
    assert "Complete" in ran.out
    assert adder.shell.user_ns["again"] is ran.value


def test_failed_rows_are_counted(adder):
    ran = adder.ok("%batch adder [{'x': x, 'y': 1} for x in (-1, 2, -3)]")
    assert "3 of 3 rows, 2 failed" in ran.out


def test_an_interrupt_ends_the_bar_and_not_the_batch(adder, monkeypatch):
    from jupyter_mlops.client.batch import Batch

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Batch, "wait", interrupted)
    ran = adder.ok("%batch adder records --as job")
    job = ran.value
    assert f"The batch goes on; %batch attach {job.execution_id} shows it again." in ran.out
    eventually(lambda: job.state() == "Complete")


def test_completion(adder, tmp_path):
    job = started(adder.ok("%batch adder records"))
    (tmp_path / "cars.parquet").write_bytes(b"")

    def complete(text):
        with provisionalcompleter():
            return {one.text for one in adder.shell.Completer.completions(text, len(text))}

    assert {"attach", "list", "adder", "adder/1.0"} <= complete("%batch ")
    assert {"low", "normal", "high"} <= complete("%batch adder --priority ")
    assert "--engine" in complete("%batch adder records --eng")
    assert job.execution_id in complete("%batch attach ")
    assert {"records", "cars.parquet"} <= complete("%batch adder ")


def test_the_example_of_its_help_runs(adder):
    text = MLOpsMagics.batch.__doc__
    examples = re.findall(r"^    (%batch .*)$", text, re.MULTILINE)
    assert len(examples) == 2
    for line in examples:
        adder.ok(line)
    assert adder.shell.user_ns["job"].to_frame()["answer"].tolist() == [3, 7]
    for option in ("--parallel N", "--as VAR", "--priority P", "--engine E", "RECORDS"):
        assert option in text
