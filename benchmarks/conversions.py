"""Whether converted scikit-learn estimators answer as before, on data that they have not seen.

python benchmarks/conversions.py    # every estimator that scikit-learn has, and pipelines of them
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn import (
    compose,
    ensemble,
    impute,
    linear_model,
    model_selection,
    naive_bayes,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.utils import all_estimators

from jupyter_mlops import serialize_model
from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.models import SerializedModel

TOLERANCE = 1e-4
LEFT_OUT = {
    "HashingVectorizer",
    "QuantileTransformer",
    "GaussianProcessClassifier",
    "RadiusNeighborsClassifier",
    "OneHotEncoder",
    "OrdinalEncoder",
    "TargetEncoder",
    "CategoricalNB",
}
"""The first four take as long as all others together, the last take categories, of which these data have none."""

_step = pipeline.make_pipeline
_PIPELINES = {
    "classifier": (
        _step(preprocessing.StandardScaler(), ensemble.RandomForestClassifier(50)),
        _step(impute.SimpleImputer(), preprocessing.StandardScaler(), ensemble.GradientBoostingClassifier()),
        _step(preprocessing.MinMaxScaler(), svm.SVC()),
        ensemble.VotingClassifier(
            [("a", naive_bayes.GaussianNB()), ("b", tree.DecisionTreeClassifier())], voting="soft"
        ),
        model_selection.GridSearchCV(ensemble.ExtraTreesClassifier(20), {"max_depth": [2, 4]}),
    ),
    "regressor": (
        _step(preprocessing.PolynomialFeatures(2), preprocessing.StandardScaler(), linear_model.Ridge()),
        _step(preprocessing.RobustScaler(), ensemble.HistGradientBoostingRegressor()),
        compose.TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1),
        ensemble.StackingRegressor([("a", linear_model.Ridge()), ("b", ensemble.RandomForestRegressor(20))]),
    ),
}  # fmt: skip
_DATA = {
    "classifier": (load_wine, load_breast_cancer),
    "regressor": (load_diabetes,),
    "cluster": (load_wine,),
    "transformer": (load_wine,),
}


@functools.cache
def conversions() -> dict[str, float]:
    """Train on half of a data set, convert, and compare on the other half, whatever the conversion said of itself.

    Returns
    -------
    dict
        Models that were `converted` and `refused`, `rows` that were compared, and those that `agreed`.
    """
    found = dict.fromkeys(("converted", "refused", "rows", "agreed"), 0.0)
    for kind, sets in _DATA.items():
        for load in sets:
            data = load()
            for name, estimator in _fitted(kind, data):
                try:
                    box = serialize_model(estimator, quiet=True)
                except MLOpsError as refusal:
                    found["refused"] += 1
                    print(f"{name} is refused: {str(refusal).partition(chr(10))[0][:140]}")
                    continue
                same = _same(box, estimator, data.data[1::2])
                found["converted"] += 1
                found["rows"] += len(same)
                found["agreed"] += same.sum()
                if not same.all():
                    print(f"{name} DIFFERS in {(~same).sum()} of {len(same)} rows")
    return found


def _fitted(kind: str, data: Any) -> Iterator[tuple[str, Any]]:
    """The estimators of a kind that can be made without arguments, and that such data suits."""
    for name, make in all_estimators(type_filter=kind):
        if name in LEFT_OUT:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                estimator = make().fit(data.data[::2], data.target[::2])
        except (TypeError, ValueError, AttributeError):
            continue
        yield name, estimator
    for estimator in _PIPELINES.get(kind, ()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.fit(data.data[::2], data.target[::2])
        yield str(estimator).partition("\n")[0], estimator


def _same(box: SerializedModel, estimator: Any, given: np.ndarray) -> np.ndarray:
    """Which rows have the same answers, likelihoods included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = _answers(box, given)
        name = "prediction" if hasattr(estimator, "predict") else "feature"
        wanted = estimator.predict(given) if name == "prediction" else estimator.transform(given)
        same = _near(answers, name, wanted)
        if any(one.startswith("probability_") for one in answers):
            same &= _near(answers, "probability_", estimator.predict_proba(given))
    return same


def _near(answers: dict[str, np.ndarray], name: str, wanted: Any) -> np.ndarray:
    found = np.column_stack([np.asarray(one, float) for key, one in answers.items() if key.startswith(name)])
    wanted = wanted.toarray() if hasattr(wanted, "toarray") else np.asarray(wanted, float)
    return np.isclose(found, wanted.reshape(found.shape), rtol=TOLERANCE, atol=TOLERANCE).all(axis=1)


def _answers(box: SerializedModel, given: np.ndarray) -> dict[str, np.ndarray]:
    from jupyter_mlops.container import unpack
    from jupyter_mlops.realtime.model import Model
    from jupyter_mlops.realtime.reading import Frame

    header, offset = unpack(box)
    model = Model(bytes(box[offset:]), header, 1)
    frame = Frame({column.name: given[:, place] for place, column in enumerate(header.inputs)}, len(given))
    found: dict[str, np.ndarray] = model.columns(model.run(model.feeds(frame), len(given)))
    return found


if __name__ == "__main__":
    counted = conversions()
    share = 100 * counted["agreed"] / counted["rows"]
    print(
        f"\n{counted['converted']:.0f} models converted, {counted['refused']:.0f} refused; of {counted['rows']:.0f} "
        f"unseen rows {share:g} % within {TOLERANCE:g}"
    )
