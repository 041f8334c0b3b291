"""Batchable services and pools from a cell."""

import pytest
from IPython.core.error import UsageError

from jupyter_mlops.notebook.arguments import kernels_of

DATA = """
import numpy as np, pandas as pd
from sklearn.linear_model import LinearRegression
X = pd.DataFrame({"hp": np.arange(10.0), "wt": np.arange(10.0) ** 2})
model = LinearRegression().fit(X, X.hp + 2 * X.wt)
"""


def text_of(notebook, value):
    return notebook.shell.display_formatter.format(value)[0]["text/plain"]


def test_a_cell_with_columns(notebook):
    notebook.ok(DATA)
    cell = "%%publish {} --batchable --sample X.head(3)\ndef manual(cars):\n    return model.predict(cars)\n"
    service = notebook.ok(cell.format("grouped 1.0 --kernels 1:2 --memory 2GB")).value
    assert service.manual(1, 1).output("answer") == pytest.approx(3)
    assert service.manual(hp=[1, 2], wt=[1, 2]).output("answer") == pytest.approx([3, 6])
    settings = service.view.pool
    assert (settings.initial_pool_size, settings.max_pool_size, settings.memory_limit) == (1, 2, 2 * 10**9)
    text = text_of(notebook, service)
    for part in (
        "hp: numeric, wt: numeric", "answer: numeric", "calls that wait together run as one",
        "1 (0 busy); at least 1, at most 2", "2, 0 errors, p50 ", '\'{"hp": 0.0, "wt": 0.0}\'',
    ):  # fmt: skip
        assert part in text
    assert "last error" not in text
    assert notebook.ok(cell.format("grouped 1.0")).value.unchanged
    card = notebook.ok("%services grouped 1.0").value
    assert "at least 1, at most 2" in text_of(notebook, card)
    assert "at least 1, at most 2" in notebook.shell.display_formatter.format(card)[0]["text/html"]


def test_types_come_from_the_sample_or_hints_or_options(notebook):
    arrays = "%%publish {} --batchable --sample {}\ndef f(a, b):\n    return (a * 2, ['v' + t for t in b])\n"
    service = notebook.ok(arrays.format("typed 1", "[(1, 'x'), (2, 'y')]")).value
    assert [(one.name, one.type.value) for one in service.view.output_parameter_definitions] == [
        ("answer_1", "integer"), ("answer_2", "character"),
    ]  # fmt: skip
    assert service.f(3, "z").outputs == {"answer_1": 6, "answer_2": "vz"}
    hinted = "%%publish typed 2 --batchable --sample 1\ndef g(a: float) -> float:\n    return a / 2\n"
    assert notebook.ok(hinted).value.g(3).output("answer") == 1.5
    options = "--batchable --sample 1,2 --inputs a=float,b=float --outputs s=float"
    given = f"%%publish typed 3 {options}\ndef h(t):\n    return t.a + t.b\n"
    assert notebook.ok(given).value.h(3, 4).outputs == {"s": 7.0}


@pytest.mark.parametrize("fit", ["X", "X.to_numpy()"])
def test_an_estimator_of_many_rows(notebook, fit):
    notebook.ok(DATA)
    notebook.ok(f"model = LinearRegression().fit({fit}, X.hp + 2 * X.wt)")
    name = "named" if fit == "X" else "bare"
    service = notebook.ok(f"%publish model estimator-{name} 1 --batchable --sample X.head(2)").value
    assert service.predict(1, 1).output("answer") == pytest.approx(3)
    assert service.predict(notebook.shell.user_ns["X"]).output("answer")[2] == pytest.approx(10)


def test_refusals_are_readable(notebook):
    cell = "%%publish refused 1 {}\ndef f(x):\n    return x - x.mean()\n"
    assert "--sample X.head(3)" in notebook.refused(cell.format("--batchable"))
    assert "depends on which rows run together" in notebook.refused(cell.format("--batchable --sample 1.0"))
    assert "--kernels 1:4" in notebook.refused(cell.format("--batchable --sample 1.0 --kernels many"))
    assert "500MB, 2GB or 1.5GiB" in notebook.refused(cell.format("--batchable --sample 1.0 --memory much"))
    assert "$.initialPoolSize: expected 0 to 1, got 2" in notebook.refused(
        "%%publish refused 1 --sample 1.0 --kernels 2:1\ndef f(x):\n    return x\n"
    )
    notebook.ok("import pandas as pd\nX = pd.DataFrame({'x': []})")
    assert "holds no row" in notebook.refused(cell.format("--batchable --sample X"))


@pytest.mark.parametrize(
    ("text", "sizes"),
    [(None, (None, None)), ("1:4", (1, 4)), ("2", (2, 2)), ("1:", (1, 0)), (":4", (0, 4)), ("0:0", (0, 0))],
)
def test_kernels_as_they_are_written(text, sizes):
    assert kernels_of(text) == sizes


@pytest.mark.parametrize("text", ["", ":", "x", "1:x", "-1:2", "1.5", "1:2:3"])
def test_kernels_that_cannot_be_read(text):
    with pytest.raises(UsageError, match="--kernels wants MIN:MAX"):
        kernels_of(text)
