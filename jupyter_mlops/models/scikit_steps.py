"""Steps of scikit-learn that skl2onnx writes in 32 bits only, made to fit models that calculate in 64."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from jupyter_mlops.models.functions import applied
from jupyter_mlops.models.plain import products
from jupyter_mlops.models.structure import holds_objects, parts_of
from jupyter_mlops.models.writer import DOUBLE, FLOAT, Writer


def converters() -> tuple[dict[type, Callable[..., None]], dict[type, Callable[[Any], None]]]:
    """skl2onnx's `custom_conversion_functions` and `custom_shape_calculators` for steps that 32 bits hold exactly."""
    from sklearn import preprocessing

    kinds = (preprocessing.OneHotEncoder, preprocessing.KBinsDiscretizer)
    functions: dict[type, Callable[..., None]] = dict.fromkeys(kinds, _widened)
    shapes: dict[type, Callable[[Any], None]] = dict.fromkeys(kinds, _wide)
    return functions | {preprocessing.PolynomialFeatures: _polynomial}, shapes


def imputers() -> dict[type, Callable[..., None]]:
    """The same for imputers: onnxruntime has an Imputer of its own for 32 bits only, and none for texts."""
    from sklearn.impute import SimpleImputer

    return {SimpleImputer: _imputer}


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    """Put what the imputer learned where a value is missing; a missing text is, in a graph, the empty one."""
    import numpy as np
    from skl2onnx.common._registration import get_converter
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    model = operator.raw_operator
    texts = holds_objects(model.statistics_)
    numbers = all(isinstance(one.type, (DoubleTensorType, FloatTensorType)) for one in operator.inputs)
    empty = not texts and np.isnan(np.asarray(model.statistics_, dtype=float)).any()  # columns that are left out
    if empty or (model.add_indicator and texts) or not (texts or numbers):
        get_converter(operator.type)(scope, operator, container)
        return
    to = Writer(scope, operator, container)
    source = to.input
    if len(operator.inputs) > 1:
        source = to.node("Concat", [one.full_name for one in operator.inputs], axis=1)
    dtype = object if texts else np.float64 if isinstance(operator.inputs[0].type, DoubleTensorType) else np.float32
    if texts:
        missing = to.node("Equal", [source, to.constant(np.array([[""]], dtype=object))])
    elif model.missing_values is None or np.isnan(model.missing_values):
        missing = to.node("IsNaN", [source])
    else:
        missing = to.node("Equal", [source, to.constant(np.array([[model.missing_values]], dtype=dtype))])
    instead = to.constant(np.array([model.statistics_], dtype=dtype))
    filled = to.node("Where", [missing, instead, source])
    if model.add_indicator:
        places = to.constant(np.asarray(model.indicator_.features_, dtype="int64"))
        marks = to.node("Gather", [missing, places], axis=1)
        filled = to.node("Concat", [filled, to.cast(marks, DOUBLE if dtype is np.float64 else FLOAT)], axis=1)
    to.node("Identity", [filled], operator.outputs[0].full_name)


def functions() -> tuple[dict[type, Callable[..., None]], dict[type, Callable[[Any], None]]]:
    """The same for functions of numpy."""
    from sklearn.preprocessing import FunctionTransformer

    return {FunctionTransformer: _function}, {FunctionTransformer: _function_shape}


def _function(scope: Any, operator: Any, container: Any) -> None:
    import numpy as np
    from skl2onnx.common.data_types import DoubleTensorType

    to = Writer(scope, operator, container)
    model, source = to.model, to.input
    if model.func is not None and model.kw_args:
        raise ValueError("a FunctionTransformer with kw_args has no known form as a graph")
    if len(operator.inputs) > 1:
        source = to.node("Concat", [one.full_name for one in operator.inputs], axis=1)
    wide = isinstance(operator.inputs[0].type, DoubleTensorType)
    made = applied(to, model.func, source, np.float64 if wide else np.float32)
    to.node("Identity", [made], operator.outputs[0].full_name)


def _function_shape(operator: Any) -> None:
    first = operator.inputs[0]
    width = sum(one.get_second_dimension() or 1 for one in operator.inputs)
    operator.outputs[0].type = type(first.type)([first.get_first_dimension(), width])


def own_steps(model: Any) -> tuple[dict[type, Callable[..., None]], dict[type, Callable[[Any], None]]]:
    """The same for steps of a model that write themselves: classes with `write_graph(graph, tensor)` and `width_`."""
    kinds = {type(part) for part in parts_of(model, everywhere=True) if hasattr(part, "write_graph")}
    if kinds:
        from skl2onnx import update_registered_converter

        for kind in kinds:
            alias = f"JupyterMLOps{kind.__name__}"
            update_registered_converter(kind, alias, _own_shape, _own, overwrite=True)
    return dict.fromkeys(kinds, _own), dict.fromkeys(kinds, _own_shape)


def _own(scope: Any, operator: Any, container: Any) -> None:
    to = Writer(scope, operator, container)
    source = to.input
    if len(operator.inputs) > 1:
        source = to.node("Concat", [one.full_name for one in operator.inputs], axis=1)
    to.finish(operator.raw_operator.write_graph(to, source), 0)


def _own_shape(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    number = FloatTensorType if isinstance(operator.inputs[0].type, FloatTensorType) else DoubleTensorType
    operator.outputs[0].type = number([operator.inputs[0].get_first_dimension(), operator.raw_operator.width_])


def _widened(scope: Any, operator: Any, container: Any) -> None:
    """Let skl2onnx write the step as it does, and widen what it makes."""
    from skl2onnx.common._registration import get_converter
    from skl2onnx.common.data_types import FloatTensorType

    wanted = operator.outputs[0]
    narrow = scope.declare_local_variable("narrow", FloatTensorType(wanted.type.shape))
    get_converter(operator.type)(scope, _Redirected(operator, narrow), container)
    container.add_node(
        "Cast", [narrow.full_name], [wanted.full_name], name=scope.get_unique_operator_name("Cast"), to=DOUBLE
    )


class _Redirected:
    """An operator with another output."""

    def __init__(self, operator: Any, output: Any) -> None:
        self._operator = operator
        self.outputs = [output]
        self.output_full_names = [output.full_name]
        self.raw_operator = operator.raw_operator
        if getattr(self.raw_operator, "encode", "") == "onehot":
            # In a graph, what scikit-learn keeps sparse is dense.
            self.raw_operator = copy(self.raw_operator)
            self.raw_operator.encode = "onehot-dense"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)


def _wide(operator: Any) -> None:
    from skl2onnx.common._registration import get_shape_calculator
    from skl2onnx.common.data_types import DoubleTensorType

    get_shape_calculator(operator.type)(operator)
    operator.outputs[0].type = DoubleTensorType(operator.outputs[0].type.shape)


def _polynomial(scope: Any, operator: Any, container: Any) -> None:
    """Products of columns: each is the product of `degree` columns of the values and a column of ones."""
    import numpy as np

    to = Writer(scope, operator, container)
    model = operator.raw_operator
    width = model.n_features_in_
    powers = np.asarray(model.powers_)
    degree = max(int(powers.sum(axis=1).max()), 1)
    factors = np.full((len(powers), degree), width)
    for i, row in enumerate(powers):
        repeated = np.repeat(np.arange(width), row)
        factors[i, : len(repeated)] = repeated
    to.finish(products(to, to.cast(to.input, DOUBLE), factors), 0)
