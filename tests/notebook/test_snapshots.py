"""`%snapshot` in a real shell on a real server."""

from __future__ import annotations

import builtins
import re
import zipfile

import pytest
from IPython.core.completer import provisionalcompleter

SET_UP = """
import numpy as np
big = np.arange(100_000, dtype=float)
view = big[:10]
rate = 2
github = 'ghp_0123456789abcdefghijABCDEFGHIJ012345'
handle = open('a.txt', 'w')
class Scaler:
    def __init__(self, by): self.by = by
scaler = Scaler(3)
def score(x: float) -> float:
    return x * rate * scaler.by
"""


@pytest.fixture
def kernel(notebook):
    """A notebook with variables of all sorts."""
    notebook.ok(SET_UP)
    yield notebook
    notebook.ok("handle.close()")


def keep(notebook, line):
    return notebook.ok(f"%snapshot {line}").value.snapshot


def test_the_table_tells_what_goes_along(kernel):
    ran = kernel.ok("%snapshot everything")
    lines = {line.split()[1]: line for line in ran.out.splitlines() if line[:1] in "x!" and line[1:3] == "  "}
    assert lines["big"].split() == ["x", "big", "numpy.ndarray", "100,000", "781.4", "KiB"]
    assert lines["github"].startswith("!")
    assert lines["handle"].startswith("!")
    assert "github: looks like a GitHub token" in ran.out
    assert "--keep github" in ran.out
    assert "ghp_" not in ran.out + repr(ran.value)
    assert set(ran.value.snapshot.objects) == {"big", "view", "rate", "Scaler", "scaler", "score"}
    assert ran.value.snapshot.size < 900_000, "what two variables share is kept once"


def test_a_function_and_what_it_reaches(kernel):
    ran = kernel.ok("%snapshot reached --function score")
    assert "score -> rate" in ran.out
    assert set(ran.value.snapshot.objects) == {"score", "rate", "scaler"}, "the class is in scaler"


def test_dropping_and_keeping(kernel):
    ran = kernel.ok("%snapshot pruned --drop big,view,rate --keep github")
    assert "score reads rate, which is left out" in ran.out
    assert set(ran.value.snapshot.objects) == {"Scaler", "github", "scaler", "score"}
    assert "there is no 'nothing'" in kernel.refused("%snapshot x --drop nothing")
    assert "cannot be pickled" in kernel.refused("%snapshot x --keep handle")


def test_loading_brings_it_back(kernel, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cars.csv").write_text("hp\n1\n")
    made = keep(kernel, "whole --files data/*.csv")
    assert made.files == ["data/cars.csv"]
    kernel.ok("del big, view, rate, scaler, score, Scaler")
    (tmp_path / "data" / "cars.csv").unlink()
    ran = kernel.ok("%snapshot load whole")
    assert repr(ran.value).startswith("Loaded big, view, rate, Scaler, scaler, score from snapshot whole.")
    assert (tmp_path / "data" / "cars.csv").read_text() == "hp\n1\n"
    assert kernel.ok("score(5)").value == 30
    kernel.ok("rate = 3")
    assert kernel.ok("score(5)").value == 45, "its globals are the notebook's"
    assert kernel.ok("view[0] = 7; big[0]").value == 7, "what shared memory shares it again"
    assert kernel.ok("type(scaler) is Scaler").value


def test_loading_asks_before_it_replaces(kernel, tmp_path, monkeypatch):
    (tmp_path / "note.txt").write_text("then")
    made = keep(kernel, "asked --files note.txt")
    assert kernel.ok(f"%snapshot load {made.id}").error is None, "the same values are no reason to ask"
    kernel.ok("rate = 5; big[3] = 0")
    (tmp_path / "note.txt").write_text("now")
    message = kernel.refused("%snapshot load asked")
    assert "other content: big, view, rate, file note.txt; nothing was loaded" in message
    assert "--overwrite" in message
    assert kernel.ok("rate").value == 5
    asked = []
    for answer in ("n", "y"):
        monkeypatch.setattr(builtins, "input", lambda text, said=answer: asked.append(text) or said)
        if answer == "n":
            assert "nothing was loaded" in kernel.refused("%snapshot load asked")
        else:
            kernel.ok("%snapshot load asked")
    assert "rate" in asked[0]
    assert kernel.ok("rate, big[3]").value == (2, 3.0)
    assert (tmp_path / "note.txt").read_text() == "then"
    kernel.ok("rate = 5")
    monkeypatch.undo()
    kernel.ok("%snapshot load asked --overwrite")
    assert kernel.ok("rate").value == 2


def test_listing_showing_downloading_and_deleting(kernel, tmp_path):
    first, second = keep(kernel, "twice"), keep(kernel, "twice --drop big,view")
    table = kernel.ok("%snapshot list").value
    assert repr(table).count("twice") == 2
    assert "<td" in table._repr_html_()
    assert second.id in repr(kernel.ok("%snapshot show twice").value), "the last of a name"
    shown = kernel.ok(f"%snapshot show {first.id[:13]}").value
    assert first.id in repr(shown)
    assert re.search(r"\nbig +ndarray +100,000 +781\.\d KiB\n", repr(shown))
    assert re.search(r"made with: Python \S+, .*numpy \d", repr(shown))
    assert "This Python differs" not in repr(shown)
    assert "<td" in shown._repr_html_()
    kernel.ok(f"%snapshot download {first.id} {tmp_path}/kept.zip")
    assert "objects.pickle" in zipfile.ZipFile(tmp_path / "kept.zip").namelist()
    assert "Deleted snapshot twice" in kernel.ok(f"%snapshot delete {second.id}").out
    assert repr(kernel.ok("%snapshot list").value).count("twice") == 1


def test_what_a_user_wrote_is_escaped(kernel):
    kernel.ok("class Evil: pass\nEvil.__name__ = Evil.__qualname__ = '<img src=x onerror=alert(1)>'\nevil = Evil()")
    from jupyter_mlops.capture import survey
    from jupyter_mlops.notebook.survey_table import SurveyTable

    html = SurveyTable(survey(kernel.shell.user_ns))._repr_html_()
    assert "<img" not in html
    kernel.ok("%snapshot '<b>bold</b>' --drop evil,Evil")
    assert "<b>" not in kernel.ok("%snapshot list").value._repr_html_()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("show", "write %snapshot show ID; %snapshot list shows yours"),
        ("load never", "you have no snapshot 'never'"),
        ("two words", "'two words' is neither"),
        ("x --function nothing", "there is no 'nothing'"),
        ("x --files never.csv", "--files never.csv: there is no such file"),
        ("x --files ../a", "inside the working directory"),
        ("list --odd", "unrecognized arguments: --odd"),
    ],
)
def test_a_refusal_is_one_readable_message(kernel, line, message):
    assert message in kernel.refused(f"%snapshot {line}")


def test_an_empty_kernel_has_nothing_to_keep(notebook):
    assert "there is nothing to keep" in notebook.refused("%snapshot nothing")


def test_help_and_completion(kernel):
    text = kernel.ok("%snapshot?").out
    assert "Example" in text or "Example" in (kernel.shell.find_line_magic("snapshot").__doc__ or "")
    keep(kernel, "completed")

    def complete(text):
        with provisionalcompleter():
            return {one.text for one in kernel.shell.Completer.completions(text, len(text))}

    assert "load" in complete("%snapshot lo")
    assert "completed" in complete("%snapshot load comp")
    assert "scaler" in complete("%snapshot x --drop sc")


def test_files_go_along_with_a_service(notebook, tmp_path):
    (tmp_path / "factors.txt").write_text("3")
    notebook.ok("import pathlib\ndef factor():\n    return int(pathlib.Path('factors.txt').read_text())")
    cell = "%%publish reading 1 --files factors.txt --sample 2\ndef f(x: float) -> float:\n    return x * factor()"
    assert notebook.ok(cell).value.f(5).output("answer") == 15.0
    assert notebook.ok("%services reading 1").value.revisions()[0].files == ("factors.txt",)
    assert "there is no such file" in notebook.refused(cell.replace("factors.txt --", "gone.txt --"))


def test_files_with_secrets_go_along_by_name_only(notebook, tmp_path):
    (tmp_path / "app.ini").write_text("[db]\npassword = hunter2-Tr0ub4dor\n")
    notebook.ok("def f(x: float) -> float:\n    return x")
    for line in ("%snapshot ini --files app.ini", "%publish f ini 1 --files app.ini"):
        assert "app.ini, line 2, looks like a password, by its name" in notebook.refused(line)
        notebook.ok(f"{line} --keep app.ini")
    picker = notebook.ok("%snapshot ini --files app.ini --pick").value
    picker._snapshot.click()
    assert "--keep app.ini" in picker._message.value
    picker = notebook.ok("%snapshot ini --files app.ini --keep app.ini --pick").value
    picker._snapshot.click()
    assert picker.snapshot.files == ["app.ini"]
