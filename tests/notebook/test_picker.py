"""The table of checkboxes, driven from the kernel's side; `tests/ui/test_widget.py` drives it in a browser."""

from __future__ import annotations

import pytest

SET_UP = """
import numpy as np
big = np.arange(100_000, dtype=float)
rate = 2
token = 'ghp_0123456789abcdefghijABCDEFGHIJ012345'
def score(x: float) -> float:
    return x * rate
def other(x: float) -> float:
    return x + big[0]
"""


@pytest.fixture
def picker(notebook):
    notebook.ok(SET_UP)
    return notebook.ok("from jupyter_mlops import snapshot_widget\nsnapshot_widget('score', name='picked')").value


def boxes(picker):
    return picker._boxes


def test_rows_follow_the_survey(picker):
    assert picker.selected == ["rate", "score"]
    assert {"big", "token", "other"} < set(boxes(picker))
    assert not boxes(picker)["token"].disabled
    assert "2 of" in picker._total.value
    assert "score -&gt; rate" in picker._rows.children[1].children[1].value


def test_ticking_changes_the_total_and_tells_what_would_be_missing(picker):
    before = picker._total.value
    boxes(picker)["big"].value = True
    assert "3 of" in picker._total.value
    assert "781." in picker._total.value
    boxes(picker)["big"].value = False
    assert picker._total.value == before
    boxes(picker)["rate"].value = False
    assert "score reads rate, which is left out" in picker._total.value
    picker._reset.click()
    assert picker._total.value == before


def test_the_snapshot_holds_what_is_ticked(picker):
    boxes(picker)["big"].value = boxes(picker)["token"].value = True
    picker._snapshot.click()
    assert set(picker.snapshot.objects) == {"big", "rate", "token", "score"}
    assert "Snapshot picked is kept" in picker._message.value
    assert not picker._snapshot.disabled


def test_publishing(picker):
    picker._sample.value = "21"
    picker._publish.click()
    assert "picked 1 is published" in picker._message.value
    assert picker.service.score(4).output("answer") == 8
    assert "answer" in picker._result.value
    boxes(picker)["rate"].value = False
    picker._publish.click()
    assert "score reads rate, which --drop leaves out" in picker._message.value


def test_publishing_in_private_and_locked(picker):
    picker._name.value = "hidden"
    picker._private.value = True
    picker._publish.click()
    assert "hidden 1 is published" in picker._message.value
    picker._private.value = False
    picker._version.value = "1"
    picker._publish.click()
    assert "private" in picker._message.value, "the same again, but not private, is another service"
    picker._locked.value = True
    assert "--environment=locked" in picker._arguments("score", "hidden")


def test_another_function(picker):
    picker._function.value = "other"
    assert picker.selected == ["big", "other"]
    picker._function.value = "(everything)"
    assert "big" in picker.selected
    picker._publish.click()
    assert "choose the function" in picker._message.value
    picker._function.value = "score"
    picker._name.value = ""
    picker._publish.click()
    assert "give the service a name" in picker._message.value


def test_what_a_user_wrote_is_escaped(notebook):
    notebook.ok("class A: pass\nA.__name__ = A.__qualname__ = '<img src=x onerror=alert(1)>'\na = A()")
    notebook.ok("vars_ = globals(); vars_['<script>alert(2)</script>'] = 1")
    picker = notebook.ok("%snapshot '<b>name</b>' --pick").value
    html = "".join(row.children[1].value for row in picker._rows.children) + picker._total.value
    assert "<img" not in html
    assert not any(box.description_allow_html for box in boxes(picker).values())
    picker._tick(["a"])
    picker._version.value = "<i>"
    picker._snapshot.click()
    assert "<b>" not in picker._message.value + picker._result.value


def test_without_widgets_it_is_a_table_of_text(picker, notebook):
    text = notebook.shell.display_formatter.format(picker)[0]["text/plain"]
    assert text == repr(picker)
    assert "x  score" in text
    boxes(picker)["score"].value = False
    assert "x  score" not in repr(picker)
