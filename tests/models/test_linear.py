"""statsmodels' linear models, with plain columns and with formulas, answer the same as graphs."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scoring import score

from jupyter_mlops import serialize_model
from jupyter_mlops.errors import PublishRefused


@pytest.fixture(scope="module")
def cars():
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({
        "hp": chance.uniform(50, 300, 120), "wt": chance.uniform(1, 5, 120),
        "gear": np.resize([3, 4, 5], 120), "maker": np.resize(["a", "b", "c", "d", "e"], 120),
    })  # fmt: skip
    frame["mpg"] = 40 - frame.hp / 15 - frame.wt * 2 + frame.gear + chance.normal(0, 1, 120)
    frame["am"] = (frame.wt + chance.normal(0, 1, 120) < 3).astype(int)
    return frame


def test_plain_columns_with_a_constant_that_is_not_asked_for(cars):
    model = sm.OLS(cars.mpg, sm.add_constant(cars[["hp", "wt"]])).fit()
    container = serialize_model(model, quiet=True)
    assert [one.name for one in container.header.inputs] == ["hp", "wt"]
    np.testing.assert_allclose(score(container, cars)["prediction"], model.fittedvalues, rtol=1e-12)
    logit = sm.Logit(cars.am, cars[["hp", "wt"]]).fit(disp=0)
    container = serialize_model(logit, cars[["hp", "wt"]], quiet=True)
    np.testing.assert_allclose(score(container, cars)["prediction"], logit.predict(), rtol=1e-10)
    assert container.header.kind == "Logit"


@pytest.mark.parametrize(
    "formula",
    [
        "mpg ~ hp + wt", "mpg ~ hp + C(gear)", "mpg ~ maker * wt", "mpg ~ C(gear) * maker + np.log(hp)",
        "mpg ~ hp:maker",
        "mpg ~ 0 + maker + I(hp ** 2) + hp / wt",
    ],
)  # fmt: skip
def test_formulas(formula, cars):
    model = smf.ols(formula, cars).fit()
    container = serialize_model(model, quiet=True)
    np.testing.assert_allclose(score(container, cars)["prediction"], model.fittedvalues, rtol=1e-9)
    assert container.parity.holds


def test_a_formula_for_odds_and_its_unknown_levels(cars):
    model = smf.logit("am ~ wt + C(gear)", cars).fit(disp=0)
    container = serialize_model(model, quiet=True)
    np.testing.assert_allclose(score(container, cars)["prediction"], model.predict(), rtol=1e-9)
    (gear,) = (one for one in container.header.inputs if one.name == "gear")
    assert gear.type == "integer"
    assert gear.categories == (3, 4, 5)


def test_what_has_no_form_as_a_graph_is_refused_by_its_name(cars):
    with pytest.raises(PublishRefused, match="GLM has no known form"):
        serialize_model(smf.glm("mpg ~ hp", cars).fit(), quiet=True)
    with pytest.raises(PublishRefused, match=r"center\(hp\)|made other columns"):
        serialize_model(smf.ols("mpg ~ center(hp)", cars).fit(), quiet=True)
    with pytest.raises(PublishRefused, match=r"OLS, WLS, GLS and Logit"):
        serialize_model(smf.ols("mpg ~ hp", cars), quiet=True)
