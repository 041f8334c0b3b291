"""Old notebooks' rx_ functions: the same coefficients as statsmodels, and realtime services of their models."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scoring import score

from jupyter_mlops.compat.revoscalepy import (
    rx_btrees,
    rx_dforest,
    rx_dtree,
    rx_lin_mod,
    rx_logit,
    rx_predict,
    rx_serialize_model,
)
from jupyter_mlops.errors import InvalidRequest, PublishRefused

FORMULAS = [
    "y ~ hp + wt", "y ~ hp + F(gear)", "y ~ C(gear) * hp", "y ~ maker", "y ~ maker:hp + wt", "y ~ hp * wt - 1",
    "y ~ maker + hp - 1", "y ~ log(hp) + I(wt ** 2)", "y ~ C(gear):maker + hp", "y ~ hp / wt",
    "y ~ maker * wt + C(gear) * hp",
]  # fmt: skip


@pytest.fixture(scope="module")
def cars():
    chance = np.random.default_rng(1)
    frame = pd.DataFrame({
        "hp": chance.uniform(50, 300, 200), "wt": chance.uniform(1, 5, 200),
        "gear": np.resize([3, 4, 5], 200), "maker": np.resize(["ford", "fiat", "opel", "audi"], 200),
    })  # fmt: skip
    frame["y"] = 40 - frame.hp / 15 - frame.wt * 2 + frame.gear + chance.normal(0, 1, 200)
    frame["am"] = (frame.wt + frame.hp / 200 + chance.normal(0, 1.5, 200) < 4).astype(int)
    frame["gearbox"] = frame.am.map({0: "automatic", 1: "manual"})
    return frame


def _statsmodels(formula):
    return formula.replace("F(", "C(").replace("log(", "np.log(")


@pytest.mark.parametrize("formula", FORMULAS)
def test_linear_models_are_statsmodels_own(formula, cars):
    model = rx_lin_mod(formula, cars)
    other = smf.ols(_statsmodels(formula), cars).fit()
    predicted = rx_predict(model, cars)["y_Pred"]
    np.testing.assert_allclose(predicted, other.fittedvalues, rtol=1e-6)
    for name, value in model.coefficients.items():
        own = [v for n, v in other.params.items() if n.replace("np.", "") == name.replace("(Intercept)", "Intercept")]
        swapped = [v for n, v in other.params.items() if set(n.replace("np.", "").split(":")) == set(name.split(":"))]
        assert value == pytest.approx((own or swapped)[0], rel=1e-6, abs=1e-9), name
    packed = rx_serialize_model(model, realtime_scoring_only=True)
    assert packed.startswith(b"blob")
    np.testing.assert_allclose(score(packed, cars)["y_Pred"], predicted, rtol=1e-9)


@pytest.mark.parametrize("formula", [one.replace("y ~", "am ~") for one in FORMULAS[:6]])
def test_logistic_models_are_statsmodels_own_without_penalty(formula, cars):
    model = rx_logit(formula, cars, max_iterations=50, report_progress=0)
    other = smf.logit(_statsmodels(formula), cars).fit(disp=0, maxiter=100, tol=1e-10)
    predicted = rx_predict(model, cars)["am_Pred"]
    np.testing.assert_allclose(predicted, other.predict(), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(sorted(model.coefficients), sorted(other.params), rtol=1e-6, atol=1e-8)
    packed = rx_serialize_model(model, realtime_scoring_only=True)
    np.testing.assert_allclose(score(packed, cars)["am_Pred"], predicted, rtol=1e-9)


@pytest.mark.parametrize("train", [rx_dtree, rx_dforest, rx_btrees])
@pytest.mark.parametrize("formula", ["gearbox ~ hp + wt + maker", "y ~ hp + log(wt) + F(gear)"])
def test_trees(train, formula, cars):
    model = train(formula, cars, max_depth=3, seed=1)
    target = formula.split(" ")[0]
    packed = rx_serialize_model(model, realtime_scoring_only=True)
    answers = score(packed, cars)
    predicted = rx_predict(model, cars)[f"{target}_Pred"]
    if target == "y":
        np.testing.assert_allclose(answers["y_Pred"], predicted, rtol=1e-9)
        assert np.corrcoef(predicted, cars.y)[0, 1] > 0.6
    else:
        np.testing.assert_array_equal(answers["gearbox_Pred"], predicted)
        likely = rx_predict(model, cars, type="prob")
        np.testing.assert_allclose(answers["probability_manual"], likely["manual_prob"], rtol=1e-9)
    factor = next(one for one in packed.header.inputs if one.categories)
    assert factor.categories in {("audi", "fiat", "ford", "opel"), (3, 4, 5)}


def test_the_method_chooses_classes_of_numbers(cars):
    model = rx_dforest("am ~ hp + wt", cars, method="class", n_tree=5, m_try=1)
    assert model.classes == [0, 1]
    assert set(rx_predict(model, cars)["am_Pred"]) <= {0, 1}
    assert len(model.estimator.estimators_) == 5
    assert rx_btrees("am ~ hp", cars, loss_function="bernoulli", n_tree=3).classes == [0, 1]


def test_predictions_with_columns_of_the_data(cars):
    model = rx_logit("gearbox ~ hp + maker", cars)
    made = rx_predict(model, cars.head(3), write_model_vars=True, extra_vars_to_write=["wt"])
    assert list(made.columns) == ["gearbox_Pred", "wt", "hp", "maker", "gearbox"]
    link = rx_predict(model, cars.head(3), type="link")["gearbox_Pred"]
    np.testing.assert_allclose(1 / (1 + np.exp(-link)), made["gearbox_Pred"])
    assert list(rx_predict(model, cars, predict_var_names=["p"]).columns) == ["p"]


def test_rows_with_missing_values_and_weights(cars):
    holes = cars.assign(hp=cars.hp.mask(cars.index % 7 == 0), w=1.0 + cars.index % 3)
    model = rx_lin_mod("y ~ hp", holes)
    assert model.results.nobs == cars.hp[cars.index % 7 != 0].size
    weighted = rx_lin_mod("y ~ hp", holes, pweights="w")
    expected = smf.wls("y ~ hp", holes, weights=holes.w).fit()
    np.testing.assert_allclose(weighted.coefficients, expected.params, rtol=1e-9)


def test_a_dot_means_all_other_columns(cars):
    model = rx_lin_mod("y ~ .", cars[["y", "hp", "wt"]])
    assert list(model.coefficients.index) == ["(Intercept)", "hp", "wt"]
    assert "rx_lin_mod: y ~ ." in repr(model)
    assert "std err" in str(model.summary())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda d: rx_lin_mod("y ~ hp", d, blocks=3), "rx_lin_mod has no argument 'blocks'"),
        (lambda d: rx_lin_mod("nothing ~ hp", d), "no column 'nothing'"),
        (lambda d: rx_lin_mod("y ~ nothing", d), "does not fit the data"),
        (lambda d: rx_lin_mod("y", d), "a formula is a text such as"),
        (lambda d: rx_lin_mod("gearbox ~ hp", d), "explains numbers, and gearbox holds"),
        (lambda d: rx_lin_mod("y ~ hp", str(len(d))), "data is a pandas DataFrame, and str came"),
        (lambda d: rx_lin_mod("y ~ hp", d, transforms={"a": "b"}), "transforms is not offered here; calculate"),
        (lambda d: rx_logit("maker ~ hp", d), "two classes, and maker has 4"),
        (lambda d: rx_dtree("y ~ hp", d, method="poisson"), "method is 'class' or 'anova'"),
        (lambda d: rx_btrees("y ~ hp", d, loss_function="cauchy"), "loss_function is bernoulli"),
        (lambda d: rx_predict(rx_lin_mod("y ~ hp + maker", d), d.assign(maker="saab")), "maker: 'saab' was not in"),
        (lambda d: rx_predict(rx_lin_mod("y ~ hp", d), d[["wt"]]), "the data has no hp"),
        (lambda d: rx_predict(rx_lin_mod("y ~ hp", d), d, output_data="x.xdf"), "rx_predict returns the predictions"),
        (lambda d: rx_serialize_model(rx_lin_mod("y ~ hp", d)), "realtime_scoring_only=True"),
    ],
)
def test_refusals_say_what_to_do(call, said, cars):
    with pytest.raises(InvalidRequest, match=said):
        call(cars)


def test_a_formula_that_no_graph_expresses_is_refused_by_its_part(cars):
    model = rx_lin_mod("y ~ poly(hp, degree=2)", cars)
    with pytest.raises(PublishRefused, match=r"poly\(hp, degree=2\).*no form as a graph"):
        rx_serialize_model(model, realtime_scoring_only=True)


def test_a_service_refuses_levels_that_training_did_not_see(cars):
    packed = rx_serialize_model(rx_lin_mod("y ~ hp + maker + F(gear)", cars), realtime_scoring_only=True)
    by_name = {one.name: one for one in packed.header.inputs}
    assert by_name["maker"].categories == ("audi", "fiat", "ford", "opel")
    assert by_name["gear"].type == "integer"
    assert by_name["hp"].categories == ()
    assert [one.name for one in packed.header.outputs] == ["y_Pred"]
