"""Estimators and pipelines of scikit-learn answer the same as graphs, on their data and where they decide."""

import numpy as np
import pandas as pd
import pytest
from scoring import score
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lars,
    Lasso,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from jupyter_mlops import serialize_model
from jupyter_mlops.models.rows import neighbours, thresholds
from jupyter_mlops.models.structure import parts_of, steps_of

TURNED_BACK = (StandardScaler, MinMaxScaler, RobustScaler, MaxAbsScaler)
SEED = {"random_state": 0}
FEW = {"n_estimators": 6, "random_state": 0}
SOFT = [("a", LogisticRegression(max_iter=500)), ("b", GaussianNB())]
TWO = [("a", LinearRegression()), ("b", DecisionTreeRegressor(max_depth=3, random_state=0))]

CLASSIFIERS = {
    "logistic": LogisticRegression(max_iter=500),
    "logistic-cv": LogisticRegressionCV(
        Cs=2, cv=2, max_iter=500, l1_ratios=(0,), scoring="accuracy", use_legacy_attributes=False
    ),
    "ridge": RidgeClassifier(),
    "sgd": SGDClassifier(**SEED),
    "perceptron": Perceptron(**SEED),
    "linear-svc": LinearSVC(**SEED),
    "svc": SVC(),
    "svc-poly": make_pipeline(StandardScaler(), SVC(kernel="poly")),
    "nu-svc": NuSVC(nu=0.2),
    "tree": DecisionTreeClassifier(**SEED),
    "extra-tree": ExtraTreeClassifier(**SEED),
    "forest": RandomForestClassifier(**FEW),
    "extra-trees": ExtraTreesClassifier(**FEW),
    "boosting": GradientBoostingClassifier(**FEW),
    "hist-boosting": HistGradientBoostingClassifier(max_iter=6, **SEED),
    "ada-boost": AdaBoostClassifier(**FEW),
    "bagging": BaggingClassifier(**FEW),
    "bagging-features": BaggingClassifier(LogisticRegression(max_iter=500), max_features=0.5, **FEW),
    "voting": VotingClassifier(SOFT, voting="soft", flatten_transform=False),
    "voting-as-it-comes": VotingClassifier(SOFT),
    "stacking": StackingClassifier(SOFT, cv=2),
    "one-vs-rest": OneVsRestClassifier(LogisticRegression()),
    "mlp": MLPClassifier((8,), max_iter=30, **SEED),
    "neighbors": KNeighborsClassifier(),
    "gaussian-nb": GaussianNB(),
    "bernoulli-nb": BernoulliNB(binarize=3.0),
    "multinomial-nb": MultinomialNB(),
    "complement-nb": ComplementNB(),
    "lda": LinearDiscriminantAnalysis(),
    "qda": QuadraticDiscriminantAnalysis(),
    "calibrated": CalibratedClassifierCV(LogisticRegression(max_iter=500), cv=2),
    "scaler-forest": make_pipeline(StandardScaler(), RandomForestClassifier(**FEW)),
    "imputer-scaler-forest": make_pipeline(SimpleImputer(), StandardScaler(), RandomForestClassifier(**FEW)),
    "scaler-linear-svc": make_pipeline(StandardScaler(), LinearSVC(**SEED)),
    "scaler-sgd-log": make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", **SEED)),
    "scaler-pca-logistic": make_pipeline(StandardScaler(), PCA(2), LogisticRegression()),
    "minmax-svc": make_pipeline(MinMaxScaler(), SVC()),
    "robust-boosting": make_pipeline(RobustScaler(), GradientBoostingClassifier(**FEW)),
    "maxabs-hist-boosting": make_pipeline(MaxAbsScaler(), HistGradientBoostingClassifier(max_iter=4, **SEED)),
    "select-tree": make_pipeline(SelectKBest(k=2), DecisionTreeClassifier(**SEED)),
    "variance-knn": make_pipeline(VarianceThreshold(0.01), KNeighborsClassifier()),
    "search": GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=2),
    "random-search": RandomizedSearchCV(RidgeClassifier(), {"alpha": [0.1, 1.0]}, n_iter=2, cv=2),
    "search-pipeline": GridSearchCV(
        Pipeline([("s", StandardScaler()), ("t", DecisionTreeClassifier(**SEED))]), {"t__max_depth": [2, 4]}, cv=2
    ),
}
REGRESSORS = {
    "linear": LinearRegression(),
    "ridge": Ridge(),
    "lasso": Lasso(),
    "elastic": ElasticNet(),
    "lars": Lars(),
    "huber": make_pipeline(StandardScaler(), HuberRegressor()),
    "bayesian": BayesianRidge(),
    "ard": ARDRegression(),
    "poisson": PoissonRegressor(max_iter=500),
    "gamma": GammaRegressor(max_iter=500),
    "tweedie": TweedieRegressor(power=1.5, max_iter=500),
    "quantile": QuantileRegressor(alpha=0.1),
    "theil-sen": TheilSenRegressor(max_subpopulation=50, **SEED),
    "sgd": make_pipeline(StandardScaler(), SGDRegressor(**SEED)),
    "svr": SVR(),
    "nu-svr": NuSVR(),
    "linear-svr": make_pipeline(StandardScaler(), LinearSVR(**SEED)),
    "tree": DecisionTreeRegressor(**SEED),
    "extra-tree": ExtraTreeRegressor(**SEED),
    "forest": RandomForestRegressor(**FEW),
    "extra-trees": ExtraTreesRegressor(**FEW),
    "boosting": GradientBoostingRegressor(**FEW),
    "hist-boosting": HistGradientBoostingRegressor(max_iter=6, **SEED),
    "hist-boosting-poisson": HistGradientBoostingRegressor(max_iter=6, loss="poisson", **SEED),
    "ada-boost": AdaBoostRegressor(**FEW),
    "bagging": BaggingRegressor(**FEW),
    "voting": VotingRegressor(TWO),
    "stacking": StackingRegressor(TWO, cv=2),
    "neighbors": KNeighborsRegressor(),
    "mlp": make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, **SEED)),
    "gaussian-process": GaussianProcessRegressor(alpha=1.0),
    "polynomial": make_pipeline(PolynomialFeatures(2), Ridge()),
    "power": make_pipeline(PowerTransformer(), Ridge()),
    "quantiles": make_pipeline(QuantileTransformer(n_quantiles=20), Ridge()),
    "bins": make_pipeline(KBinsDiscretizer(4, strategy="uniform"), Ridge()),
    "bins-ordinal": make_pipeline(KBinsDiscretizer(3, encode="ordinal", strategy="uniform"), Ridge()),
    "union": make_pipeline(FeatureUnion([("p", PCA(2)), ("s", StandardScaler())]), Ridge()),
    "imputer-forest": make_pipeline(SimpleImputer(), RandomForestRegressor(**FEW)),
    "scaler-tree": make_pipeline(StandardScaler(), DecisionTreeRegressor(**SEED)),
    "log-target": TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1),
    "scaled-target": TransformedTargetRegressor(RandomForestRegressor(**FEW), transformer=StandardScaler()),
    "target-of-steps": make_pipeline(
        StandardScaler(), TransformedTargetRegressor(Ridge(), func=np.sqrt, inverse_func=np.square)
    ),
    "log-columns": make_pipeline(FunctionTransformer(np.log), Ridge()),
}
OTHERS = {
    "isolation-forest": IsolationForest(**FEW),
    "isolation-forest-contamination": IsolationForest(contamination=0.1, max_samples=64, **FEW),
    "one-class-svm": make_pipeline(StandardScaler(), OneClassSVM(nu=0.1)),
    "outlier-factor": LocalOutlierFactor(novelty=True),
    "k-means": KMeans(3, n_init=1, **SEED),
    "mini-k-means": MiniBatchKMeans(3, n_init=1, **SEED),
    "scaler": StandardScaler(),
    "pca": PCA(2),
    "incremental-pca": IncrementalPCA(2),
    "svd": make_pipeline(StandardScaler(), TruncatedSVD(2)),
    "normalizer": Normalizer(),
}


QUICK = {
    "logistic", "svc", "linear-svc", "tree", "forest", "boosting", "hist-boosting", "mlp", "neighbors", "gaussian-nb",
    "calibrated", "bagging", "scaler-forest", "scaler-pca-logistic", "search-pipeline", "linear", "svr", "stacking",
    "hist-boosting-poisson", "polynomial", "bins", "scaler-tree", "isolation-forest-contamination", "one-class-svm",
    "k-means", "scaler", "pca", "qda", "voting-as-it-comes", "scaler-linear-svc", "log-target", "log-columns",
}  # fmt: skip


def _named(models):
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in models]


def _rows(model, frame):
    """The data, and rows at the thresholds of trees and right beside them, brought back through a scaler."""
    rows = [frame.to_numpy()]
    steps = steps_of(getattr(model, "best_estimator_", model))
    before = steps[0] if len(steps) > 1 and isinstance(steps[0], TURNED_BACK) else None
    base = frame.to_numpy()[:6]
    inner = before.transform(frame.iloc[:6]) if before is not None else base
    for feature, threshold in list({one for part in parts_of(steps[-1]) for one in thresholds(part)})[:40]:
        at = np.array(inner, dtype=float)
        if feature < at.shape[1]:
            at[:, feature] = neighbours(threshold)
            rows.append(before.inverse_transform(at) if before is not None else at)
    return pd.DataFrame(np.vstack(rows), columns=frame.columns)


def _agree(model, frame, container):
    rows = _rows(model, frame)
    answers = score(container, rows)
    assert container.parity.holds
    if hasattr(model, "predict_proba"):
        likely = model.predict_proba(rows)
        for i, one in enumerate(model.classes_):
            np.testing.assert_allclose(answers[f"probability_{one}"], likely[:, i], rtol=1e-5, atol=1e-5)
    if not hasattr(model, "predict"):
        for i, column in enumerate(np.asarray(model.transform(rows)).T):
            np.testing.assert_allclose(answers[f"feature_{i}"], column, rtol=1e-5, atol=1e-5)
    elif "score" in answers:
        np.testing.assert_array_equal(answers["prediction"], model.predict(rows))
        np.testing.assert_allclose(answers["score"], model.decision_function(rows), rtol=1e-5, atol=1e-5)
    else:
        predicted = model.predict(rows)
        if predicted.dtype.kind == "f":
            np.testing.assert_allclose(answers["prediction"], predicted, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(answers["prediction"], predicted)


@pytest.fixture(scope="module")
def iris():
    frame, kinds = load_iris(return_X_y=True, as_frame=True)
    frame.columns = ["sepal length", "sepal width", "petal length", "petal width"]
    return frame + np.random.default_rng(0).normal(0, 0.03, frame.shape), kinds


@pytest.fixture(scope="module")
def diabetes():
    frame, progress = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    return frame.iloc[:150], progress.iloc[:150]


@pytest.mark.parametrize("name", _named(CLASSIFIERS))
def test_classifiers(name, iris):
    frame, kinds = iris
    model = CLASSIFIERS[name].fit(frame, kinds)
    container = serialize_model(model, quiet=True)
    _agree(model, frame, container)
    assert [column.name for column in container.header.inputs] == list(frame.columns)
    assert container.header.outputs[0].classes == (0, 1, 2)


@pytest.mark.parametrize("name", _named(REGRESSORS))
def test_regressors(name, diabetes):
    frame, progress = diabetes
    model = REGRESSORS[name].fit(frame, progress)
    _agree(model, frame, serialize_model(model, quiet=True))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names, but LocalOutlierFactor")  # its own doing
@pytest.mark.parametrize("name", _named(OTHERS))
def test_outlier_detectors_clusters_and_transformers(name, iris):
    frame, _ = iris
    model = OTHERS[name].fit(frame)
    _agree(model, frame, serialize_model(model, quiet=True))


@pytest.mark.parametrize("model", [LinearDiscriminantAnalysis(), QuadraticDiscriminantAnalysis()], ids=["lda", "qda"])
def test_discriminants_of_two_classes(model, iris):
    frame, kinds = iris
    model.fit(frame, kinds > 0)
    answers = score(serialize_model(model, quiet=True), frame)
    np.testing.assert_allclose(answers["probability_True"], model.predict_proba(frame)[:, 1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("function", [np.log1p, np.exp, np.sqrt, np.square, np.log2, np.log10, np.tanh, np.abs])
def test_functions_of_numpy(function, iris):
    frame, _ = iris
    model = FunctionTransformer(function).fit(frame)
    answers = score(serialize_model(model, quiet=True), frame)
    np.testing.assert_allclose(answers["feature_1"], function(frame["sepal width"]), rtol=1e-9)


def test_a_marked_imputation_of_some_other_value(iris):
    frame, kinds = iris
    holes = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.2, -1.0)
    imputer = SimpleImputer(missing_values=-1.0, strategy="median", add_indicator=True)
    model = make_pipeline(imputer, RandomForestClassifier(**FEW)).fit(holes, kinds)
    container = serialize_model(model, holes, quiet=True)
    np.testing.assert_array_equal(score(container, holes)["prediction"], model.predict(holes))


def test_encoders_alone_are_asked_for_what_they_know():
    frame = pd.DataFrame({"size": [1.0, 2.0, 40.0] * 9, "rooms": [1.0, 2.0, 7.0] * 9})
    for encoder in (OneHotEncoder(), OrdinalEncoder()):
        model = make_pipeline(encoder, Ridge()).fit(frame, frame["size"])
        answers = score(serialize_model(model, quiet=True), frame)
        np.testing.assert_allclose(answers["prediction"], model.predict(frame), rtol=1e-6)
