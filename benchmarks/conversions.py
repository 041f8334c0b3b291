"""Whether converted scikit-learn estimators answer as before, on data that they have not seen."""

from __future__ import annotations

import functools
import warnings

import numpy as np
from sklearn import ensemble, linear_model, naive_bayes, neighbors, neural_network, preprocessing, svm, tree
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from jupyter_mlops import serialize_model
from jupyter_mlops.errors import PublishRefused
from jupyter_mlops.models import SerializedModel

TOLERANCE = 1e-4

_CLASSIFIERS = (
    linear_model.LogisticRegression(max_iter=500), svm.SVC(), tree.DecisionTreeClassifier(), naive_bayes.GaussianNB(),
    ensemble.RandomForestClassifier(50), ensemble.ExtraTreesClassifier(50), ensemble.GradientBoostingClassifier(),
    ensemble.HistGradientBoostingClassifier(), neighbors.KNeighborsClassifier(), neural_network.MLPClassifier(),
)  # fmt: skip
_REGRESSORS = (
    linear_model.LinearRegression(), linear_model.Ridge(), linear_model.ElasticNet(0.01), tree.DecisionTreeRegressor(),
    ensemble.RandomForestRegressor(50), ensemble.GradientBoostingRegressor(), ensemble.HistGradientBoostingRegressor(),
    svm.SVR(), neighbors.KNeighborsRegressor(),
    make_pipeline(preprocessing.PolynomialFeatures(2), preprocessing.StandardScaler(), linear_model.Ridge()),
)  # fmt: skip


@functools.cache
def conversions() -> dict[str, float]:
    """Train on half of a data set, convert, and compare on the other half; a refused model counts as agreed.

    Returns
    -------
    dict
        `rows` that were compared, and those that `agreed`.
    """
    rows = agreed = 0.0
    for estimators, data in ((_CLASSIFIERS, load_wine()), (_REGRESSORS, load_diabetes())):
        for estimator in estimators:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                estimator.fit(data.data[::2], data.target[::2])
            try:
                box = serialize_model(estimator, quiet=True)
            except PublishRefused as refusal:
                print(f"{type(estimator).__name__} is refused: {str(refusal)[:120]}")
                continue
            given = data.data[1::2]
            same = np.isclose(
                _answers(box, given), estimator.predict(given).astype(float), rtol=TOLERANCE, atol=TOLERANCE
            )
            rows, agreed = rows + len(same), agreed + same.sum()
            if not same.all():
                print(f"{type(estimator).__name__} differs in {(~same).sum()} of {len(same)} rows")
    return {"rows": rows, "agreed": float(agreed)}


def _answers(box: SerializedModel, given: np.ndarray) -> np.ndarray:
    from jupyter_mlops.container import unpack
    from jupyter_mlops.realtime.model import Model
    from jupyter_mlops.realtime.reading import Frame

    header, offset = unpack(box)
    model = Model(bytes(box[offset:]), header, 1)
    frame = Frame({column.name: given[:, place] for place, column in enumerate(header.inputs)}, len(given))
    found = model.columns(model.run(model.feeds(frame), len(given)))
    return np.asarray(found["prediction"], float)
