"""XGBoost, LightGBM and CatBoost: their trees, read from what the libraries themselves write down.

XGBoost and CatBoost round values to 32 bits and compare them with thresholds of 32 bits; LightGBM compares in 64. So do
the graphs. `families` reads a model once; a class of this module stands for those whose classes scikit-learn's
conversion does not know.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from jupyter_mlops.errors import PublishRefused
from jupyter_mlops.models.forest import Tree

LEFT = "BRANCH_LEQ"
STRICTLY_LEFT = "BRANCH_LT"
_EXPONENTIAL = {"count:poisson", "reg:gamma", "reg:tweedie", "poisson", "gamma", "tweedie"}
_LOGISTIC = {"binary:logistic", "reg:logistic", "binary", "cross_entropy", "multiclassova", "Logloss", "CrossEntropy"}
_SOFTMAX = {"multi:softprob", "multi:softmax", "multiclass", "MultiClass"}


class Boosted(msgspec.Struct, frozen=True):
    """A model of trees that add up, as arrays."""

    trees: tuple[Tree, ...]
    targets: int
    start: Any
    """What the sums begin with, one number for each target."""
    link: str
    """What is done with the sums: identity, sigmoid, softmax or exp."""
    comparison: str = LEFT
    single: bool = True
    """Whether values are rounded to 32 bits first."""
    scale: float = 1.0
    """What the sums are multiplied with."""


class BoostedRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A model whose class skl2onnx does not know, as a regressor."""

    def __init__(self, model: Any = None) -> None:
        self.model = model
        self.n_features_in_ = len(_names(model))
        if not all(name == str(i) or name == f"Column_{i}" for i, name in enumerate(_names(model))):
            self.feature_names_in_ = np.array(_names(model), dtype=object)

    def fit(self, *_: Any) -> Any:
        """Stay as it is; what makes something an estimator for scikit-learn."""
        return self

    def __sklearn_is_fitted__(self) -> bool:  # scikit-learn's own protocol
        return True

    def predict(self, rows: Any) -> Any:
        """What the model itself predicts."""
        if not type(self.model).__module__.startswith("xgboost"):
            return self.model.predict(np.asarray(rows, dtype=float))
        import xgboost

        return self.model.predict(xgboost.DMatrix(rows))


class BoostedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A model whose class skl2onnx does not know, as a classifier."""

    def __init__(self, model: Any = None) -> None:
        self.model = model
        self.classes_ = np.asarray(model.classes_)
        self.n_features_in_ = len(_names(model))
        if not all(name == str(i) for i, name in enumerate(_names(model))):
            self.feature_names_in_ = np.array(_names(model), dtype=object)

    def fit(self, *_: Any) -> Any:
        """Stay as it is; what makes something an estimator for scikit-learn."""
        return self

    def __sklearn_is_fitted__(self) -> bool:  # scikit-learn's own protocol
        return True

    def predict(self, rows: Any) -> Any:
        """What the model itself predicts."""
        return np.asarray(self.model.predict(rows)).ravel()

    def predict_proba(self, rows: Any) -> Any:
        """What the model itself thinks of each class."""
        return self.model.predict_proba(rows)


def _names(model: Any) -> list[str]:
    for name in ("feature_names_", "feature_names", "feature_name"):
        value = getattr(model, name, None)
        value = value() if callable(value) else value
        if value:
            return [str(one) for one in value]
    count = model.num_features() if hasattr(model, "num_features") else model.num_feature()
    return [str(i) for i in range(count)]


def adapted(model: Any) -> Any:
    """The model in a form that scikit-learn's conversion takes; the last step of a pipeline too."""
    if hasattr(model, "steps"):
        last = adapted(model.steps[-1][1])
        if last is model.steps[-1][1]:
            return model
        from sklearn.pipeline import Pipeline

        return Pipeline([*model.steps[:-1], (model.steps[-1][0], last)])
    root = type(model).__module__.partition(".")[0]
    if root == "catboost":
        return BoostedClassifier(model) if _is_classifier(model) else BoostedRegressor(model)
    if root in {"xgboost", "lightgbm"} and type(model).__name__ == "Booster":
        return BoostedRegressor(model)
    return model


def _is_classifier(model: Any) -> bool:
    return bool(len(getattr(model, "classes_", ()))) and hasattr(model, "predict_proba")


def is_boosted(model: Any) -> bool:
    """Whether `read` knows the model."""
    root = type(model).__module__.partition(".")[0]
    return isinstance(model, (BoostedRegressor, BoostedClassifier)) or root in {"xgboost", "lightgbm", "catboost"}


def read(model: Any) -> Boosted:
    """The trees of a model.

    Raises
    ------
    PublishRefused
        When it has parts that are no such trees: which.
    """
    model = getattr(model, "model", model)
    root = type(model).__module__.partition(".")[0]
    if root == "xgboost":
        return _xgboost(model)
    if root == "lightgbm":
        return _lightgbm(model if type(model).__name__ == "Booster" else model.booster_)
    return _catboost(model)


def _xgboost(model: Any) -> Boosted:
    booster = model if type(model).__name__ == "Booster" else model.get_booster()
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    dart = learner["gradient_booster"]["name"] == "dart"
    forest = learner["gradient_booster"]["gbtree"] if dart else learner["gradient_booster"]
    if forest.get("name", "gbtree") != "gbtree":
        raise PublishRefused(f"XGBoost's booster {forest['name']} has no trees: train it with booster='gbtree'")
    drops = learner["gradient_booster"]["weight_drop"] if dart else [1.0] * len(forest["model"]["trees"])
    made = [
        _xgboost_tree(tree, target, weight)
        for tree, target, weight in zip(forest["model"]["trees"], forest["model"]["tree_info"], drops, strict=True)
    ]
    best = getattr(model, "best_iteration", None) if model is not booster else None
    borders = forest["model"].get("iteration_indptr")
    if isinstance(best, int) and borders:
        made = made[: borders[best + 1]]
    targets = max(int(learner["learner_model_param"]["num_class"]), 1)
    return Boosted(
        trees=tuple(made),
        targets=targets,
        start=_xgboost_start(model, booster, made, targets),
        link=_link(learner["objective"]["name"], "XGBoost"),
        comparison=STRICTLY_LEFT,
    )


def _xgboost_start(model: Any, booster: Any, trees: list[Tree], targets: int) -> Any:
    """What the sums begin with: what the model says of a row, without its trees; versions write it otherwise."""
    row = np.zeros((1, booster.num_features()))
    limit = {} if model is booster else {"iteration_range": (0, (getattr(model, "best_iteration", None) or -1) + 1)}
    said = booster.inplace_predict(row, predict_type="margin", validate_features=False, **limit).reshape(targets)
    sums = np.zeros(targets)
    for tree in trees:
        sums[tree.target] += _leaf(tree, row[0])
    return (said.astype(float) - sums).astype("float32").astype(float)


def _leaf(tree: Tree, row: Any) -> float:
    node = 0
    while not tree.leaf[node]:
        node = tree.left[node] if row[tree.feature[node]] < tree.threshold[node] else tree.right[node]
    return float(tree.value[node])


def _xgboost_tree(tree: dict[str, Any], target: int, weight: float) -> Tree:
    if any(tree["split_type"]):
        raise PublishRefused("XGBoost's categorical splits: encode the categories in a step before it (OneHotEncoder)")
    left = np.array(tree["left_children"])
    conditions = np.array(tree["split_conditions"], dtype="float32").astype(float)
    return Tree(
        feature=np.array(tree["split_indices"]),
        threshold=conditions,
        left=left,
        right=np.array(tree["right_children"]),
        leaf=left < 0,
        missing_left=np.array(tree["default_left"]),
        value=conditions * weight,
        target=target,
    )


def _lightgbm(booster: Any) -> Boosted:
    dumped = booster.dump_model()
    per_turn = dumped["num_tree_per_iteration"]
    trees = tuple(_lightgbm_tree(one["tree_structure"], one["tree_index"] % per_turn) for one in dumped["tree_info"])
    objective, *settings = dumped.get("objective", "regression").split()
    if "sqrt" in settings:
        raise PublishRefused("LightGBM's reg_sqrt: train on the square root of the target, and square in what calls")
    told = dict(one.split(":") for one in settings if ":" in one)
    turns = len(trees) // per_turn
    return Boosted(
        trees=trees,
        targets=per_turn,
        start=np.zeros(per_turn),
        link=_link(objective, "LightGBM"),
        single=False,
        scale=(1.0 / turns if dumped["average_output"] else 1.0) * float(told.get("sigmoid", 1.0)),
    )


def _lightgbm_tree(root: dict[str, Any], target: int) -> Tree:
    nodes = list(_flattened(root))
    place = {id(node): i for i, node in enumerate(nodes)}
    leaf = ["leaf_value" in node for node in nodes]
    if any("leaf_coeff" in node for node in nodes):
        raise PublishRefused("LightGBM's linear trees: train without linear_tree")
    for node in nodes:
        if node.get("decision_type", "<=") != "<=":
            raise PublishRefused(
                "LightGBM's categorical splits: encode the categories in a step before it (OneHotEncoder)"
            )
        if node.get("missing_type") == "Zero":
            raise PublishRefused("LightGBM's zero_as_missing: train without it, with NaN where values are missing")
    return Tree(
        feature=np.array([node.get("split_feature", 0) for node in nodes]),
        threshold=np.array([node.get("threshold", 0.0) for node in nodes], dtype=float),
        left=np.array([place[id(node["left_child"])] if "left_child" in node else -1 for node in nodes]),
        right=np.array([place[id(node["right_child"])] if "right_child" in node else -1 for node in nodes]),
        leaf=np.array(leaf),
        missing_left=np.array([_goes_left(node) for node in nodes]),
        value=np.array([node.get("leaf_value", 0.0) for node in nodes], dtype=float),
        target=target,
    )


def _flattened(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for side in ("left_child", "right_child"):
        if side in node:
            yield from _flattened(node[side])


def _goes_left(node: dict[str, Any]) -> bool:
    if node.get("missing_type") == "NaN":
        return bool(node["default_left"])
    threshold: float = node.get("threshold", 0.0)
    return threshold >= 0.0  # a missing value counts as 0 where training saw none


def _catboost(model: Any) -> Boosted:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        dumped = json.loads(path.read_text())
    if dumped["features_info"].get("categorical_features") or dumped["features_info"].get("text_features"):
        raise PublishRefused("CatBoost's own categories and texts: encode them in a step before it (OneHotEncoder)")
    if "oblivious_trees" not in dumped:
        raise PublishRefused("CatBoost's trees of another shape: train with grow_policy='SymmetricTree'")
    features = {one["feature_index"]: one for one in dumped["features_info"]["float_features"]}
    factor, start = dumped["scale_and_bias"]
    targets = max(len(start), 1)
    objective = model.get_all_params().get("loss_function", "RMSE").partition(":")[0]
    link = _link(objective, "CatBoost")
    if not _is_classifier(model):
        link = "exp" if objective in {"Poisson", "Tweedie"} else "identity"
    return Boosted(
        trees=tuple(tree for one in dumped["oblivious_trees"] for tree in _catboost_trees(one, features, targets)),
        targets=targets,
        start=np.array(start, dtype=float),
        link=link,
        scale=float(factor),
    )


def _catboost_trees(tree: dict[str, Any], features: dict[int, Any], targets: int) -> Iterator[Tree]:
    """An oblivious tree as a full binary one for each target; its first split is a leaf place's last bit."""
    splits = tree.get("splits") or []
    depth = len(splits)
    inner = 2**depth - 1
    values = np.array(tree["leaf_values"], dtype=float).reshape(-1, targets)
    order = [sum(((leaf >> (depth - 1 - i)) & 1) << i for i in range(depth)) for leaf in range(2**depth)]
    level = np.array([int(i + 1).bit_length() - 1 for i in range(inner)], dtype=int)
    of_node = [splits[i] for i in level]
    chosen = [features[one["float_feature_index"]] for one in of_node]
    pad = np.zeros(2**depth)
    for target in range(targets):
        yield Tree(
            feature=np.concatenate([[one["flat_feature_index"] for one in chosen], pad]).astype(int),
            threshold=np.concatenate([np.array([one["border"] for one in of_node], dtype="float32"), pad]),
            left=np.concatenate([2 * np.arange(inner) + 1, pad - 1]).astype(int),
            right=np.concatenate([2 * np.arange(inner) + 2, pad - 1]).astype(int),
            leaf=np.concatenate([np.zeros(inner, dtype=bool), np.ones(2**depth, dtype=bool)]),
            missing_left=np.concatenate([[one["nan_value_treatment"] != "AsTrue" for one in chosen], pad]).astype(bool),
            value=np.concatenate([np.zeros(inner), values[order, target]]),
            target=target,
        )


def _link(objective: str, library: str) -> str:
    if objective in _EXPONENTIAL:
        return "exp"
    if objective in _LOGISTIC:
        return "sigmoid"
    if objective in _SOFTMAX:
        return "softmax"
    if objective.startswith(("reg:", "rank:", "regression", "lambdarank", "huber", "fair", "quantile", "mape")):
        return "identity"
    if library == "CatBoost":
        return "identity"
    raise PublishRefused(f"{library}'s objective {objective} has no known form as a graph")
