"""Every block of code on `docs/realtime-models.md`, in its order; each model answers as its serialized form does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scoring import score

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "realtime-models.md").read_text()
FUNCTIONS = [
    "rx_lin_mod", "rx_logit", "rx_dtree", "rx_dforest", "rx_btrees", "rx_fast_trees", "rx_fast_forest",
    "rx_logistic_regression", "rx_oneclass_svm", "rx_neural_network", "rx_fast_linear", "featurize_text", "concat",
    "categorical", "categorical_hash", "select_columns", "drop_columns", "featurize_image", "load_image",
    "resize_image",
    "extract_pixels", "get_sentiment",
]  # fmt: skip


def _blocks(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


class Page:
    """Runs the sections in their order, up to the one that is asked for, and keeps what each left behind."""

    def __init__(self, folder):
        self._folder = folder
        self._names = {}
        self._left = {}
        self._sections = iter(re.split(r"\n##+ ", PAGE))

    def __getitem__(self, title):
        while title not in self._left:
            section = next(self._sections)
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(self._folder)
                for block in _blocks(section):
                    exec(block, self._names)
            self._left[section.partition("\n")[0]] = dict(self._names)
        return self._left[title]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(ROOT / "notebooks" / "data", folder / "data")
    return Page(folder)


def _local(model, rows):
    """What the model itself answers, by the names of the service's columns."""
    if hasattr(model, "design"):
        return {model.output: model.predict(rows)[model.output].to_numpy()}
    taken = rows.get("text", rows)
    answers = {"prediction": model.predict(taken)}
    if hasattr(model, "predict_proba"):
        likely = model.predict_proba(taken)
        answers |= {f"probability_{one}": likely[:, i] for i, one in enumerate(model.classes_)}
    return answers


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_counterpart_of_each_function_is_trained_serialized_and_answers_as_it_does_here(function, page):
    left = page[function]
    answers = score(left["serialized"], left["rows"])
    for name, expected in _local(left["model"], left["rows"]).items():
        if np.asarray(expected).dtype.kind == "f":
            np.testing.assert_allclose(answers[name], expected, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(answers[name], expected)
    assert left["serialized"].parity.holds
    assert left["serialized"].parity.rows >= 50


def test_the_table_names_every_function():
    table = PAGE.partition("## The functions")[2].partition("### ")[0]
    assert [one for one in FUNCTIONS if f"`{one}`" not in table] == []


def test_the_models_of_the_page_are_good_for_something(page):
    sentiment = score(page["get_sentiment"]["serialized"], page["get_sentiment"]["rows"])["probability_1"]
    assert sentiment[0] > 0.8
    assert sentiment[1] < 0.2
    assert score(page["load_image"]["serialized"], page["load_image"]["rows"])["prediction"] == [0]
    digits = page["resize_image"]
    assert (digits["model"].predict(digits["rows"]) == digits["digits"].target[:20]).mean() > 0.9
