"""XGBoost, LightGBM and CatBoost answer the same as graphs, at their thresholds too."""

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from scoring import score
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jupyter_mlops import serialize_model
from jupyter_mlops.errors import PublishRefused
from jupyter_mlops.models.rows import neighbours, thresholds

XGB = {"n_estimators": 5, "max_depth": 3, "n_jobs": 1}
LGB = {"n_estimators": 5, "num_leaves": 7, "n_jobs": 1, "verbose": -1}
CAT = {"iterations": 5, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}

CLASSIFIERS = {
    "xgboost": xgboost.XGBClassifier(**XGB),
    "xgboost-dart": xgboost.XGBClassifier(booster="dart", rate_drop=0.5, **XGB),
    "xgboost-forest": xgboost.XGBRFClassifier(**XGB),
    "lightgbm": lightgbm.LGBMClassifier(**LGB),
    "lightgbm-ova": lightgbm.LGBMClassifier(objective="multiclassova", **LGB),
    "lightgbm-forest": lightgbm.LGBMClassifier(boosting_type="rf", subsample=0.5, subsample_freq=1, **LGB),
    "catboost": catboost.CatBoostClassifier(**CAT),
    "scaler-xgboost": make_pipeline(StandardScaler(), xgboost.XGBClassifier(**XGB)),
    "scaler-lightgbm": make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(**LGB)),
    "scaler-catboost": make_pipeline(StandardScaler(), catboost.CatBoostClassifier(**CAT)),
    "voting": VotingClassifier(
        [("x", xgboost.XGBClassifier(**XGB)), ("l", LogisticRegression(max_iter=500))],
        voting="soft", flatten_transform=False,
    ),
}  # fmt: skip
REGRESSORS = {
    "xgboost": xgboost.XGBRegressor(**XGB),
    "xgboost-poisson": xgboost.XGBRegressor(objective="count:poisson", **XGB),
    "lightgbm": lightgbm.LGBMRegressor(**LGB),
    "lightgbm-tweedie": lightgbm.LGBMRegressor(objective="tweedie", **LGB),
    "catboost": catboost.CatBoostRegressor(**CAT),
    "imputer-lightgbm": make_pipeline(SimpleImputer(), lightgbm.LGBMRegressor(**LGB)),
}


def _rows(model, frame):
    rows = [frame.to_numpy(dtype=float)]
    for feature, threshold in sorted(set(thresholds(model)))[:40]:
        at = frame.to_numpy(dtype=float)[:6].copy()
        at[:, feature] = neighbours(threshold)
        rows.append(at)
    return pd.DataFrame(np.vstack(rows), columns=frame.columns)


@pytest.fixture(scope="module")
def iris():
    frame, kinds = load_iris(return_X_y=True, as_frame=True)
    frame.columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    return frame, kinds


@pytest.fixture(scope="module")
def diabetes():
    frame, progress = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    return frame.iloc[:150], progress.iloc[:150]


QUICK = {("xgboost", 3), ("lightgbm", 2), ("catboost", 3), ("scaler-lightgbm", 3), ("xgboost-dart", 2)}
CASES = [
    pytest.param(name, classes, marks=[] if (name, classes) in QUICK else pytest.mark.slow)
    for name in CLASSIFIERS
    for classes in (2, 3)
    if (name, classes) != ("lightgbm-ova", 2)  # it takes several classes only
]


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_classifiers(name, classes, iris):
    frame, kinds = iris
    chosen = kinds < classes if classes == 3 else kinds > 0
    frame, kinds = frame[chosen], kinds[chosen].map({0: "setosa", 1: "versicolor", 2: "virginica"}.get)
    if name.startswith(("xgboost", "scaler-xgboost", "voting")):
        kinds = kinds.astype("category").cat.codes.astype(int)
    model = CLASSIFIERS[name].fit(frame, kinds)
    container = serialize_model(model, quiet=True)
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    rows = _rows(last, frame) if not name.startswith(("scaler", "voting")) else frame
    answers = score(container, rows)
    likely = model.predict_proba(rows)
    for i, one in enumerate(model.classes_):
        np.testing.assert_allclose(answers[f"probability_{one}"], likely[:, i], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(answers["prediction"], np.ravel(model.predict(rows)))
    assert container.header.library.split()[0] in {"XGBoost", "LightGBM", "CatBoost", "scikit-learn"}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(name, diabetes):
    frame, progress = diabetes
    model = REGRESSORS[name].fit(frame, progress)
    container = serialize_model(model, quiet=True)
    rows = frame if hasattr(model, "steps") else _rows(model, frame)
    np.testing.assert_allclose(score(container, rows)["prediction"], model.predict(rows), rtol=1e-5)


def test_boosters_of_the_libraries_own_interfaces(diabetes):
    frame, progress = diabetes
    booster = xgboost.train({"max_depth": 3, "nthread": 1}, xgboost.DMatrix(frame, progress), 4)
    container = serialize_model(booster, quiet=True)
    assert [one.name for one in container.header.inputs] == list(frame.columns)
    expected = booster.predict(xgboost.DMatrix(frame))
    np.testing.assert_allclose(score(container, frame)["prediction"], expected, rtol=1e-5)
    booster = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(frame, progress), 4)
    container = serialize_model(booster, quiet=True)
    np.testing.assert_allclose(score(container, frame)["prediction"], booster.predict(frame), rtol=1e-5)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost"])
def test_missing_values_go_where_the_library_sends_them(name, diabetes):
    frame, progress = diabetes
    holes = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.2)
    model = REGRESSORS[name].fit(holes, progress)
    container = serialize_model(model, quiet=True)
    assert all(column.nullable for column in container.header.inputs)
    np.testing.assert_allclose(score(container, holes)["prediction"], model.predict(holes), rtol=1e-5)


def test_early_stopping_is_minded(iris):
    frame, kinds = iris
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, n_jobs=1)
    model.fit(frame[::2], kinds[::2], eval_set=[(frame[1::2], kinds[1::2])], verbose=False)
    assert model.best_iteration < 50
    answers = score(serialize_model(model, quiet=True), frame)
    np.testing.assert_allclose(answers["probability_1"], model.predict_proba(frame)[:, 1], atol=1e-6)


def test_categories_of_the_libraries_own_are_refused_with_the_way_on(iris):
    frame, kinds = iris
    frame = frame.assign(colour=pd.Categorical(np.resize(["red", "green"], len(frame)))).iloc[:, -3:]
    model = lightgbm.LGBMClassifier(min_child_samples=2, **LGB).fit(frame, kinds)
    with pytest.raises(PublishRefused, match=r"OneHotEncoder|sample"):
        serialize_model(model, quiet=True)
