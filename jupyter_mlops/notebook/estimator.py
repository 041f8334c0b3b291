"""Publish a fitted estimator as it is: a function that calls its `predict` with one row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from jupyter_mlops.client.batchable import describe_batchable, rows_of
from jupyter_mlops.client.declare import from_dtype, from_value, parameter
from jupyter_mlops.client.definition import remember_source
from jupyter_mlops.client.sample import arrange
from jupyter_mlops.client.signature import DEFAULT_OUTPUT, MISSING, Signature
from jupyter_mlops.codec import to_python, to_wire
from jupyter_mlops.errors import CaptureError
from jupyter_mlops.schema.types import Parameter, ValueType

FUNCTION = "predict"

_WITH_NAMES = '''\
def {function}(**inputs):
    """Predict for one row."""
    import numpy as np
    import pandas as pd

    row = pd.DataFrame([inputs], columns={names!r})
    return np.asarray({model}.predict(row))[0]
'''

_WITHOUT_NAMES = '''\
def {function}(**inputs):
    """Predict for one row."""
    import numpy as np

    row = np.array([[inputs[name] for name in {names!r}]])
    return np.asarray({model}.predict(row))[0]
'''


_ROWS_WITH_NAMES = '''\
def {function}(frame):
    """Predict for rows."""
    return {model}.predict(frame[{names!r}])
'''

_ROWS_WITHOUT_NAMES = '''\
def {function}(frame):
    """Predict for rows."""
    return {model}.predict(frame[{names!r}].to_numpy())
'''


@dataclass(frozen=True)
class Estimator:
    """A function made for an estimator, ready to be captured."""

    namespace: dict[str, Any]
    function: str
    source: str
    signature: Signature


def is_estimator(value: Any) -> bool:
    """Whether a value is published by its `predict`: anything that has one and is no class."""
    return not isinstance(value, type) and callable(getattr(value, "predict", None))


def load_file(path: Path) -> Any:
    """Load a pickle or joblib file in this kernel.

    Parameters
    ----------
    path:
        The file.

    Raises
    ------
    UsageError
        When it does not load, with the reason.
    """
    try:
        import joblib
    except ImportError:
        import pickle

        loader: Callable[[Any], Any] = pickle.load
    else:
        loader = joblib.load  # reads plain pickles too
    try:
        with path.open("rb") as file:
            return loader(file)
    # Loading runs the file's own code, which may raise anything; the answer is one line.
    except Exception as error:
        raise UsageError(f"{path} does not load: {type(error).__name__}: {error}") from error


def wrap(
    model: Any,
    name: str,
    *,
    inputs: Mapping[str, Parameter] | None,
    outputs: tuple[Parameter, ...] | None,
    sample: Any,
    sampled: bool,
    batchable: bool = False,
) -> Estimator:
    """Make the function for an estimator.

    Parameters
    ----------
    model:
        The fitted estimator.
    name:
        Its variable, or a file's stem.
    inputs:
        Declared inputs, if any.
    outputs:
        Declared outputs, if any.
    sample:
        One row, in any form.
    sampled:
        Whether there is a sample.
    batchable:
        Whether the function takes rows.
    """
    names, named = _names(model, inputs, sample if sampled else None)
    variable = _variable(name)
    template = _TEMPLATES[batchable, named]
    source = template.format(function=FUNCTION, names=names, model=variable)
    filename = f"<{FUNCTION} of {variable}>"
    remember_source(filename, source)
    namespace: dict[str, Any] = {"__name__": "__main__", variable: model}
    exec(compile(source, filename, "exec"), namespace)  # noqa: S102  # the template above, with the estimator's names
    if batchable:
        return Estimator(namespace, FUNCTION, source, _of_rows(namespace[FUNCTION], names, inputs, outputs, sample))
    values = arrange(sample, names, frozenset(), {}) if sampled else None
    declared = tuple(_input(one, inputs, values) for one in names)
    wire = None if values is None else {one.name: to_wire(values[one.name], one) for one in declared}
    if outputs is None:
        outputs = _outputs(model, namespace[FUNCTION], declared, wire)
    return Estimator(namespace, FUNCTION, source, Signature(declared, outputs, wire))


_TEMPLATES = {
    (False, True): _WITH_NAMES,
    (False, False): _WITHOUT_NAMES,
    (True, True): _ROWS_WITH_NAMES,
    (True, False): _ROWS_WITHOUT_NAMES,
}
"""By whether it is batchable, and whether the estimator knows its features' names."""


def _of_rows(
    function: Callable[..., Any],
    names: list[str],
    inputs: Mapping[str, Parameter] | None,
    outputs: tuple[Parameter, ...] | None,
    sample: Any,
) -> Signature:
    if sample is MISSING:
        return describe_batchable(function)  # which says that there must be one
    rows = rows_of(sample, names)
    values = rows[0] if rows else None
    declared = {name: _input(name, inputs, values) for name in names}
    given = None if outputs is None else {one.name: one for one in outputs}
    return describe_batchable(function, inputs=declared, outputs=given, sample=rows)


def _names(model: Any, inputs: Mapping[str, Parameter] | None, sample: Any) -> tuple[list[str], bool]:
    """Names of the inputs, and whether the estimator was fitted with names."""
    fitted = getattr(model, "feature_names_in_", None)
    if fitted is not None:
        return [str(name) for name in fitted], True
    count = getattr(model, "n_features_in_", None)
    if inputs:
        return list(inputs), False
    columns = getattr(sample, "columns", None)
    if columns is not None and (count is None or len(columns) == count):
        return [str(name) for name in columns], False
    if isinstance(sample, Mapping):
        return [str(name) for name in sample], False
    if count is None:
        raise UsageError(
            f"the inputs of this {type(model).__name__} are not known: it is not fitted, or does not say how many "
            "features it takes; name them with --inputs a=float,b=float, or give a sample with columns"
        )
    return [f"x{index}" for index in range(count)], False


def _input(name: str, inputs: Mapping[str, Parameter] | None, values: Mapping[str, Any] | None) -> Parameter:
    if inputs and name in inputs:
        return inputs[name]
    if values is not None and isinstance(values[name], str):
        return parameter(name, (ValueType.CHARACTER, ""))
    if values is not None and getattr(getattr(values[name], "dtype", None), "kind", "") == "b":
        return parameter(name, (ValueType.LOGICAL, ""))
    return parameter(name, (ValueType.NUMERIC, ""))


def _outputs(
    model: Any, function: Callable[..., Any], inputs: tuple[Parameter, ...], wire: Mapping[str, Any] | None
) -> tuple[Parameter, ...]:
    if wire is not None:
        try:
            answer = function(**{one.name: to_python(wire[one.name], one) for one in inputs})
        # The estimator is the user's and may raise anything; the answer is one message.
        except Exception as error:
            raise CaptureError(
                f"{type(model).__name__}.predict raised on the sample: {type(error).__name__}: {error}"
            ) from error
        found = from_value(answer)
        if found is not None:
            return (parameter(DEFAULT_OUTPUT, found),)
    classes = getattr(model, "classes_", None)
    found = from_dtype(getattr(classes if classes is not None else getattr(model, "labels_", None), "dtype", None))
    if found is None and getattr(model, "_estimator_type", "") != "regressor" and not _is_regressor(model):
        raise UsageError(
            f"what {type(model).__name__}.predict answers is not known; give a sample (--sample X.head(1)), "
            f"or declare it (--outputs {DEFAULT_OUTPUT}=float)"
        )
    return (parameter(DEFAULT_OUTPUT, found or (ValueType.NUMERIC, "")),)


def _is_regressor(model: Any) -> bool:
    try:
        from sklearn.base import is_regressor
    except ImportError:
        return False
    return bool(is_regressor(model))


def _variable(name: str) -> str:
    variable = re.sub(r"\W", "_", name)
    if not variable.isidentifier() or variable == FUNCTION:
        variable = f"model_{variable}"
    return variable
