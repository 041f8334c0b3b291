"""Classifiers of scikit-learn that skl2onnx writes otherwise than scikit-learn answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_mlops.models.scikit_trees import classes_shape, decide
from jupyter_mlops.models.writer import DOUBLE, Writer


def converters() -> tuple[dict[type, Callable[..., None]], dict[type, Callable[[Any], None]]]:
    """skl2onnx's `custom_conversion_functions` and `custom_shape_calculators` for them."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
    from sklearn.linear_model import SGDClassifier

    functions: dict[type, Callable[..., None]] = {
        LinearDiscriminantAnalysis: _linear,
        QuadraticDiscriminantAnalysis: _quadratic,
        SGDClassifier: _sgd,
    }
    return functions, dict.fromkeys((LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis), classes_shape)


def _linear(scope: Any, operator: Any, container: Any) -> None:
    to = Writer(scope, operator, container)
    scores = _scores(to)
    likely = _of_two(to, scores) if len(to.model.classes_) == 2 else to.node("Softmax", [scores], axis=1)  # noqa: PLR2004
    decide(to, likely)


def _sgd(scope: Any, operator: Any, container: Any) -> None:
    """Of several classes each is asked by itself, and the answers are made to add up to one."""
    import numpy as np
    from skl2onnx.common._registration import get_converter

    model = operator.raw_operator
    if model.loss != "log_loss" or len(model.classes_) == 2:  # noqa: PLR2004
        get_converter(operator.type)(scope, operator, container)
        return
    to = Writer(scope, operator, container)
    scores = _scores(to)
    alone = _logistic(to, scores)
    total = to.node("ReduceSum", [alone, to.constant(np.array([1]))], keepdims=1)
    decide(to, to.node("Div", [alone, total]), scores)


def _scores(to: Writer) -> str:
    import numpy as np

    values = to.cast(to.input, DOUBLE)
    factors = to.constant(np.asarray(to.model.coef_, dtype=float).T)
    return to.node("Add", [to.node("MatMul", [values, factors]), to.constant(np.asarray(to.model.intercept_, float))])


def _of_two(to: Writer, score: str) -> str:
    import numpy as np

    second = _logistic(to, score)
    return to.node("Concat", [to.node("Sub", [to.constant(np.array([1.0])), second]), second], axis=1)


def _logistic(to: Writer, score: str) -> str:
    """1 / (1 + exp(-x)): onnxruntime's own Sigmoid gives up beyond 18."""
    import numpy as np

    one = to.constant(np.array([1.0]))
    return to.node("Div", [one, to.node("Add", [one, to.node("Exp", [to.node("Neg", [score])])])])


def _quadratic(scope: Any, operator: Any, container: Any) -> None:
    """The distance from each class's mean in its own scale, as a likelihood."""
    import numpy as np

    to = Writer(scope, operator, container)
    model, values = to.model, to.cast(to.input, DOUBLE)
    scores = []
    for mean, rotation, scaling, prior in zip(
        model.means_, model.rotations_, model.scalings_, model.priors_, strict=True
    ):
        turned = to.node("Sub", [values, to.constant(np.asarray(mean, dtype=float))])
        turned = to.node("MatMul", [turned, to.constant(np.asarray(rotation * scaling**-0.5, dtype=float))])
        distance = to.node("ReduceSumSquare", [turned, to.constant(np.array([1]))], keepdims=1)
        rest = np.array([np.log(prior) - 0.5 * np.log(scaling).sum()])
        halved = to.node("Mul", [distance, to.constant(np.array([-0.5]))])
        scores.append(to.node("Add", [halved, to.constant(rest)]))
    decide(to, to.node("Softmax", [to.node("Concat", scores, axis=1)], axis=1))
