"""How scikit-learn's trees become nodes of a graph that leave every row in the leaf where scikit-learn leaves it.

skl2onnx's own converters write trees for 32 bits; with them, models behind a scaler answer otherwise near thresholds.
scikit-learn rounds values to 32 bits before the trees of `tree_`, and compares them with thresholds of 64; its
histogram trees compare in 64 bits throughout.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from jupyter_mlops.models import boosted
from jupyter_mlops.models.forest import Tree, scalar_attributes, vector_attributes
from jupyter_mlops.models.structure import parts_of
from jupyter_mlops.models.writer import DOUBLE, FLOAT, INT64, ML, Writer

BINARY = 2

Converter = Callable[[Any, Any, Any], None]


def converters(model: Any) -> tuple[dict[type, Converter], dict[type, Callable[[Any], None]]]:
    """skl2onnx's `custom_conversion_functions` and `custom_shape_calculators` for the trees of a model."""
    from sklearn import ensemble, tree
    from sklearn.base import ClassifierMixin

    vectors = _vectors(model)
    classifiers = (
        tree.DecisionTreeClassifier, tree.ExtraTreeClassifier, ensemble.RandomForestClassifier,
        ensemble.ExtraTreesClassifier, ensemble.GradientBoostingClassifier, ensemble.HistGradientBoostingClassifier,
    )  # fmt: skip
    regressors = (
        tree.DecisionTreeRegressor, tree.ExtraTreeRegressor, ensemble.RandomForestRegressor,
        ensemble.ExtraTreesRegressor, ensemble.GradientBoostingRegressor, ensemble.HistGradientBoostingRegressor,
    )  # fmt: skip
    functions: dict[type, Converter] = {}
    shapes: dict[type, Callable[[Any], None]] = dict.fromkeys(classifiers, classes_shape)
    shapes |= dict.fromkeys(regressors, _values_shape)
    functions |= dict.fromkeys(classifiers, lambda *of: _classifier(_Writer(*of, vectors=vectors)))
    functions |= dict.fromkeys(regressors, lambda *of: _regressor(_Writer(*of, vectors=vectors)))
    for kind in _boosted_kinds():
        classifier = issubclass(kind, ClassifierMixin)
        functions[kind] = partial(_boosted_of_others, vectors=vectors, classifier=classifier)
        shapes[kind] = classes_shape if classifier else _values_shape
        _make_known(kind, shapes[kind], classifier=classifier)
    functions[ensemble.IsolationForest] = lambda *of: _isolation(_Writer(*of, vectors=vectors))
    shapes[ensemble.IsolationForest] = _isolation_shape
    return functions, shapes


def _boosted_kinds() -> list[type]:
    """The classes of libraries that are loaded; a model of theirs cannot be there otherwise."""
    kinds: list[type] = [boosted.BoostedClassifier, boosted.BoostedRegressor]
    for library, names in _BOOSTED.items():
        if library in sys.modules:
            kinds += [getattr(sys.modules[library], name) for name in names]
    return kinds


def _make_known(kind: type, shape: Callable[[Any], None], *, classifier: bool) -> None:
    """Tell skl2onnx a class: inside ensembles, and for its options, it only takes what is registered."""
    from skl2onnx import update_registered_converter

    options = {"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [True, False]}
    more = {"options": options} if classifier else {}
    update_registered_converter(kind, f"JupyterMLOps{kind.__name__}", shape, _never, overwrite=True, **more)


def _never(scope: Any, operator: Any, container: Any) -> None:  # noqa: ARG001  # skl2onnx looks at the names
    raise TypeError(f"{type(operator.raw_operator).__name__} is converted by serialize_model alone")


_BOOSTED = {
    "xgboost": ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor", "XGBRanker"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor", "LGBMRanker"),
}


def _vectors(model: Any) -> bool:
    return any(_has_vectors(part) for part in parts_of(model, everywhere=True))


def _has_vectors(part: Any) -> bool:
    """Whether the leaves of a tree have several numbers each that do not follow from one of them."""
    value = getattr(getattr(part, "tree_", None), "value", None)
    if value is None:
        return False
    return bool(value.shape[1] > 1 or value.shape[2] > (BINARY if hasattr(part, "classes_") else 1))


class _Writer(Writer):
    """Adds trees too."""

    def __init__(self, scope: Any, operator: Any, container: Any, *, vectors: bool) -> None:
        super().__init__(scope, operator, container)
        self.vectors = vectors

    def sum_of(
        self, trees: Sequence[Tree], targets: int, *, single: bool = True, comparison: str = "BRANCH_LEQ"
    ) -> str:
        """A [rows, targets] tensor of 64 bits: the sums of the leaves; `single` rounds values to 32 bits first."""
        values = self.input
        if single:
            values = self.cast(values, FLOAT)
        values = self.cast(values, DOUBLE)
        if self.vectors:
            made = self.node(
                "TreeEnsembleRegressor", [values], domain=ML, version=3, **vector_attributes(trees, targets, comparison)
            )
            return self.cast(made, DOUBLE)
        return self.newer("TreeEnsemble", values, **scalar_attributes(trees, targets, comparison))


def _classifier(to: _Writer) -> None:
    import numpy as np

    model = to.model
    count = len(model.classes_)
    if hasattr(model, "_predictors") or hasattr(model, "init_"):
        likely = _boosted_likelihood(to, count)
    else:
        trees, number = _members(model)
        if count == BINARY and not to.vectors:
            second = to.sum_of([_tree(one.tree_, one.tree_.value[:, 0, 1]) for one in trees], 1)
            second = to.node("Div", [second, to.constant(np.array([float(number)]))])
            first = to.node("Sub", [to.constant(np.array([1.0])), second])
            likely = to.node("Concat", [first, second], axis=1)
        else:
            total = to.sum_of([_tree(one.tree_, one.tree_.value[:, 0, :]) for one in trees], count)
            likely = to.node("Div", [total, to.constant(np.array([float(number)]))])
    decide(to, likely)


def decide(to: Writer, likely: str, scores: str = "") -> None:
    """Give the likelihoods of the classes, and the likeliest of them, or the one with the highest score."""
    import numpy as np

    to.finish(likely, 1)
    chosen = to.node("ArgMax", [scores or likely], axis=1, keepdims=0)
    classes = np.asarray(to.model.classes_)
    classes = classes.astype(object if classes.dtype.kind in "OUT" else "int64")
    to.node("Gather", [to.constant(classes), chosen], to.outputs[0].full_name, axis=0)


def _members(model: Any) -> tuple[list[Any], int]:
    members = list(model.estimators_) if hasattr(model, "estimators_") else [model]
    return members, len(members)


def _tree(tree: Any, value: Any, target: int = 0) -> Tree:
    missing = getattr(tree, "missing_go_to_left", None)
    return Tree(
        feature=tree.feature,
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        leaf=tree.children_left < 0,
        missing_left=tree.feature < 0 if missing is None else missing,
        value=value,
        target=target,
    )


def _boosted_likelihood(to: _Writer, count: int) -> str:
    import numpy as np

    raw = _boosted(to)
    if count > BINARY:
        return to.node("Softmax", [raw], axis=1)
    if getattr(to.model, "loss", "") == "exponential":
        raw = to.node("Mul", [raw, to.constant(np.array([2.0]))])
    second = to.node("Sigmoid", [raw])
    first = to.node("Sub", [to.constant(np.array([1.0])), second])
    return to.node("Concat", [first, second], axis=1)


def _boosted(to: _Writer) -> str:
    """What boosted trees add up to, before their link function."""
    import numpy as np

    model = to.model
    hidden = vars(model)
    if hasattr(model, "_predictors"):
        if getattr(model, "is_categorical_", None) is not None:
            raise ValueError(
                "categorical_features of histogram gradient boosting: encode them in a step before it (OrdinalEncoder) "
                "and leave categorical_features=None"
            )
        trees = [_histogram(one, target) for turn in hidden["_predictors"] for target, one in enumerate(turn)]
        targets, rate, single = len(hidden["_predictors"][0]), 1.0, False
        start = np.asarray(hidden["_baseline_prediction"], dtype=float).reshape(1, -1)
    else:
        if model.init not in (None, "zero"):
            raise ValueError("gradient boosting with an estimator as init: use init=None or init='zero'")
        targets, rate, single = model.estimators_.shape[1], float(model.learning_rate), True
        trees = [
            _tree(one.tree_, one.tree_.value[:, 0, 0], target)
            for turn in model.estimators_
            for target, one in enumerate(turn)
        ]
        nothing = np.zeros((1, model.n_features_in_))
        start = np.asarray(model._raw_predict_init(nothing), dtype=float).reshape(1, -1)  # noqa: SLF001  # said nowhere else
    total = to.sum_of(trees, targets, single=single)
    if rate != 1.0:
        total = to.node("Mul", [total, to.constant(np.array([rate]))])
    return to.node("Add", [total, to.constant(start)])


def _histogram(predictor: Any, target: int) -> Tree:
    nodes = predictor.nodes
    return Tree(
        feature=nodes["feature_idx"].astype(int),
        threshold=nodes["num_threshold"],
        left=nodes["left"].astype(int),
        right=nodes["right"].astype(int),
        leaf=nodes["is_leaf"].astype(bool),
        missing_left=nodes["missing_go_to_left"],
        value=nodes["value"],
        target=target,
    )


def _boosted_of_others(scope: Any, operator: Any, container: Any, *, vectors: bool, classifier: bool) -> None:
    """XGBoost's, LightGBM's and CatBoost's models."""
    import numpy as np

    to = _Writer(scope, operator, container, vectors=vectors)
    read = boosted.read(to.model)
    raw = to.sum_of(read.trees, read.targets, single=read.single, comparison=read.comparison)
    if read.scale != 1.0:
        raw = to.node("Mul", [raw, to.constant(np.array([read.scale]))])
    raw = to.node("Add", [raw, to.constant(np.asarray(read.start, dtype=float).reshape(1, -1))])
    if read.link == "softmax":
        raw = to.node("Softmax", [raw], axis=1)
    elif read.link != "identity":
        raw = to.node({"sigmoid": "Sigmoid", "exp": "Exp"}[read.link], [raw])
    if not classifier:
        to.finish(raw, 0)
        return
    if read.targets == 1:
        raw = to.node("Concat", [to.node("Sub", [to.constant(np.array([1.0])), raw]), raw], axis=1)
    decide(to, raw)


def _regressor(to: _Writer) -> None:
    import numpy as np

    model = to.model
    if hasattr(model, "_predictors"):
        raw = _boosted(to)
        to.finish(to.node("Exp", [raw]) if model.loss in {"poisson", "gamma"} else raw, 0)
        return
    if hasattr(model, "init_"):
        to.finish(_boosted(to), 0)
        return
    members, number = _members(model)
    width = model.n_outputs_
    trees = [_tree(one.tree_, one.tree_.value[:, 0, 0] if width == 1 else one.tree_.value[:, :, 0]) for one in members]
    to.finish(to.node("Div", [to.sum_of(trees, width), to.constant(np.array([float(number)]))]), 0)


def _isolation(to: _Writer) -> None:
    import numpy as np

    model = to.model
    trees = []
    for one, features in zip(model.estimators_, model.estimators_features_, strict=True):
        tree = one.tree_
        made = _tree(tree, _depths(tree) + _path_length(tree.n_node_samples) - 1.0)
        trees.append(msgspec.structs.replace(made, feature=np.asarray(features)[np.maximum(tree.feature, 0)]))
    depth = to.sum_of(trees, 1)
    scale = len(trees) * _path_length(np.array([vars(model)["_max_samples"]]))
    # 2 ** -x, written with the natural exponent: onnxruntime has no Pow of a constant that is as exact.
    scaled = to.node("Mul", [depth, to.constant(-np.log(2.0) / scale)])
    likely = to.node("Neg", [to.node("Exp", [scaled])])
    score = to.node("Sub", [likely, to.constant(np.array([float(model.offset_)]))])
    to.finish(score, 1)
    outside = to.cast(to.node("Less", [score, to.constant(np.array([0.0]))]), INT64)
    twice = to.node("Mul", [outside, to.constant(np.array([-2], dtype="int64"))])
    to.node("Add", [twice, to.constant(np.array([1], dtype="int64"))], to.outputs[0].full_name)


def _depths(tree: Any) -> Any:
    """By node, the number of nodes from the root to it."""
    import numpy as np

    depths = np.ones(len(tree.feature))
    for node in range(len(tree.feature)):  # parents come before their children
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depths[child] = depths[node] + 1
    return depths


def _path_length(samples: Any) -> Any:
    """The mean length of a path in a tree of so many samples, as isolation forests reckon it."""
    import numpy as np

    samples = np.asarray(samples, dtype=float)
    many = np.maximum(samples, 3.0)
    lengths = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(samples <= 1, 0.0, np.where(samples == BINARY, 1.0, lengths))


def _like_input(operator: Any, shape: list[Any]) -> Any:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    double = isinstance(operator.inputs[0].type, DoubleTensorType)
    return (DoubleTensorType if double else FloatTensorType)(shape)


def classes_shape(operator: Any) -> None:
    """The shapes of a classifier's two outputs, as skl2onnx asks for them."""
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    calculate_linear_classifier_output_shapes(operator)
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[1].type = _like_input(operator, [rows, len(operator.raw_operator.classes_)])


def _values_shape(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    model = operator.raw_operator
    width = boosted.read(model).targets if boosted.is_boosted(model) else getattr(model, "n_outputs_", 1)
    operator.outputs[0].type = _like_input(operator, [rows, width])


def _isolation_shape(operator: Any) -> None:
    from skl2onnx.common.data_types import Int64TensorType

    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = Int64TensorType([rows, 1])
    operator.outputs[1].type = _like_input(operator, [rows, 1])
