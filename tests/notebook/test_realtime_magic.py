"""`--realtime`: models of a notebook as realtime services, and whichever way answers as the model does."""

from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter

TRAIN = """
import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from sklearn.pipeline import make_pipeline
X = pd.DataFrame({"hp": [110.0, 93.0, 175.0, 245.0], "wt": [2.6, 2.3, 3.4, 3.6]})
y = [1, 1, 0, 0]
model = LogisticRegression().fit(X, y)
odd = make_pipeline(FunctionTransformer(lambda X: np.sqrt(X.to_numpy())), LinearRegression()).fit(X, y)
"""
OF = "{}.output('outputData')"


@pytest.fixture
def trained(notebook):
    notebook.ok(TRAIN)
    return notebook


def text_of(notebook, value):
    return notebook.shell.display_formatter.format(value)[0]["text/plain"]


def html_of(notebook, value):
    return notebook.shell.display_formatter.format(value)[0]["text/html"]


def test_a_cells_last_model_is_published_with_its_proof(notebook):
    ran = notebook.ok(f"%%publish made 1.0 --realtime --sample X --as service\n{TRAIN.replace('odd =', '_ =')}")
    assert "Parity: LogisticRegression of scikit-learn" in ran.out
    assert "probability_1" in ran.out
    assert ran.value is notebook.shell.user_ns["service"]
    frame = notebook.ok(OF.format("service(X)")).value
    assert frame["prediction"].tolist() == notebook.ok("model.predict(X).tolist()").value
    text = text_of(notebook, ran.value)
    for part in (
        "made 1.0  (answered made-up rows)", "Realtime: ONNX, scored without a kernel", "LogisticRegression of scikit-",
        "inputData: hp (double), wt (double)", "outputData: prediction (integer), probability_0",
        "rows answered as the model does",
        '{"inputData": {"hp": [110.0], "wt": [2.6]}}', ".consume({'hp': [110.0], 'wt': [2.6]})",
    ):  # fmt: skip
        assert part in text
    line = text.rpartition("Python:")[2].strip().partition("; ")[2]
    notebook.ok("from jupyter_mlops import DeployClient")
    assert notebook.ok(OF.format(line)).value["prediction"].tolist() == [1]
    assert "hp (double)" in html_of(notebook, ran.value)
    table = repr(notebook.ok("%services").value)
    assert "made  1.0      Realtime  hp (double), wt (double)" in table


def test_the_model_may_be_named(trained):
    service = trained.ok("%%publish named 1 --realtime model --alias score --description 'the cars'\nz = 1").value
    assert (service.alias, service.view.description) == ("score", "the cars")
    assert trained.ok("z").value == 1
    assert trained.ok("%publish model line --realtime").value.version == "1"
    assert trained.ok("models = {'a': model}\n%publish models['a'] line --realtime").value.unchanged
    message = trained.refused(
        "models['a'] = LogisticRegression(C=9.0).fit(X, y)\n%publish models['a'] line 1 --realtime"
    )
    assert "version 1 exists and differs in: model" in message
    assert "--update" in message
    changed = trained.ok("%publish models['a'] line 1 --realtime --update").value
    assert (changed.version, changed.view.revision) == ("1", 2)


def test_a_saved_model_and_an_onnx_file_are_published(trained):
    trained.ok(
        "import joblib, pathlib\nfrom jupyter_mlops import serialize_model\n"
        "from jupyter_mlops.container import unpack\n"
        "joblib.dump(model, 'cars.joblib')\nbox = serialize_model(model, quiet=True)\n"
        "pathlib.Path('cars.onnx').write_bytes(box[unpack(box)[1]:])"
    )
    for what in ("cars.joblib", "cars.onnx"):
        trained.ok(f"service = %publish {what} saved-{what.partition('.')[2]} --realtime")
        frame = trained.ok(OF.format("service(X.to_numpy())")).value
        assert len(frame) == 4


def test_auto_serves_onnx_when_it_answers_the_same(trained):
    ran = trained.ok("%publish model auto-onnx 1.0 --realtime auto --sample X")
    assert ran.value.view.runtime_type == "Realtime"
    assert "ONNX serves it, in a realtime worker: it answered all " in ran.out
    ran = trained.ok("%%publish auto-cell --realtime auto\nanother = LinearRegression().fit(X, y)")
    assert ran.value.view.runtime_type == "Realtime"


def test_auto_lets_a_kernel_score_otherwise_and_says_why(trained):
    ran = trained.ok("%publish odd auto-kernel 1.0 --realtime auto --sample X --timeout 9 --as by_kernel")
    assert ran.value.view.runtime_type == "Python"
    assert ran.value.view.timeout == 9.0
    assert "A scoring kernel serves it, not ONNX: " in ran.out
    assert "FunctionTransformer" in ran.out
    assert trained.ok("by_kernel.predict(110.0, 2.6).output('answer') - odd.predict(X)[0]").value == pytest.approx(0)
    assert "FunctionTransformer" in trained.refused("%publish odd only-onnx 1.0 --realtime --sample X")
    assert "has no known form as a graph" in trained.refused("%publish odd no 1.0 --realtime")


REFUSED = [
    ("%%publish a 1 --realtime\nx = 1", "the cell makes no model"),
    ("%%publish a 1 --realtime nope\nx = 1", "there is no 'nope' here"),
    ("%%publish a 1 --realtime X\nx = 1", "no way is known to convert"),
    ("%publish model a --realtime 1.0", "'1.0' goes before it: %publish model a 1.0 --realtime"),
    ("%publish model a 1 --realtime --kernels 1:2", "--kernels is for services that a kernel scores"),
    ("%publish model a 1 --realtime --sample X.drop(columns='hp')", "other columns than the model"),
    ("%publish model a latest --realtime", "version 'latest' is reserved"),
]


@pytest.mark.parametrize(("cell", "message"), REFUSED)
def test_a_refusal_is_one_readable_message(trained, cell, message):
    assert message in trained.refused(cell)


def test_it_is_completed_and_helped_with(trained):
    with provisionalcompleter():
        for line, wanted in (
            ("%%publish cars 1.0 --realtime ", {"auto", "model"}),
            ("%publish model cars --realtime ", {"auto"}),
            ("%publish model cars --r", {"--realtime"}),
        ):
            found = {one.text for one in trained.shell.Completer.completions(line, len(line))}
            assert wanted <= found, line
    assert "%publish model cars 2.0 --realtime auto" in trained.shell.find_line_magic("publish").__doc__
    assert "%%publish cars 2.0 --realtime" in trained.shell.find_cell_magic("publish").__doc__
    assert "--realtime [MODEL|auto]" in trained.shell.find_cell_magic("publish").__doc__
