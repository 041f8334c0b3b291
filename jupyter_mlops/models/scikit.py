"""Estimators and pipelines of scikit-learn, through skl2onnx."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jupyter_mlops.container import CellType, InputColumn, OutputColumn, Scalar
from jupyter_mlops.errors import InvalidRequest, PublishRefused
from jupyter_mlops.models import boosted, scikit_classifiers, scikit_steps, scikit_trees
from jupyter_mlops.models.functions import Added, inverted
from jupyter_mlops.models.graph import OPSET, mended, numbered
from jupyter_mlops.models.missing import REFUSALS
from jupyter_mlops.models.original import Candidate, Original, need
from jupyter_mlops.models.rows import rows_for
from jupyter_mlops.models.sample import cell_types, frame_of
from jupyter_mlops.models.structure import (
    categories,
    first_steps,
    is_text,
    last_of,
    names_of,
    parts_of,
    positioned,
    scalars,
    settled,
    steps_of,
    told_types,
    without_target,
)

_LIBRARIES = {"sklearn": "scikit-learn", "xgboost": "XGBoost", "lightgbm": "LightGBM", "catboost": "CatBoost"}
WORDS = r"(?u)\b\w\w+\b"
"""What scikit-learn takes for a word."""
LETTERS = r"[\p{L}\p{N}_]{2,}"
"""The same for onnxruntime, whose \\w knows English letters only."""

_UNKNOWN = re.compile(r"Unable to find a (?:shape calculator|converter) for type '<class '[\w.]*?(\w+)'>'")

TENSOR = "X"
"""The name of the tensor that numeric columns share."""


def original_of(model: Any, sample: Any) -> Original:
    """A scikit-learn model, ready to be converted."""
    return Scikit(settled(boosted.adapted(model)), sample)


class Scikit(Original):
    """A fitted scikit-learn model.

    Parameters
    ----------
    model:
        The estimator or pipeline.
    sample:
        Rows that it takes, or None.

    Raises
    ------
    InvalidRequest
        When it is not fitted, or the sample does not fit it.
    PublishRefused
        When it predicts several classes at once.
    """

    def __init__(self, model: Any, sample: Any) -> None:
        import sklearn
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        try:
            check_is_fitted(model)
        except NotFittedError:
            raise InvalidRequest(f"the {type(model).__name__} is not fitted: call its fit(...) first") from None
        own = getattr(model, "model", model) if boosted.is_boosted(model) else model
        library = sys.modules[type(own).__module__.partition(".")[0]] if boosted.is_boosted(model) else sklearn
        self.library = f"{_LIBRARIES.get(library.__name__, library.__name__)} {library.__version__}"
        self.kind = type(own).__name__
        self._model = model
        self._last = last_of(model)
        if not (hasattr(model, "predict") or hasattr(model, "transform")):
            raise PublishRefused(f"{self.kind} neither predicts nor transforms rows that it was not fitted on")
        model, self._target = without_target(model)
        self._inner = model
        self._named = getattr(steps_of(model)[0], "feature_names_in_", None) is not None
        self._text = is_text(steps_of(model)[0])
        told = names_of(model)
        self._sample = frame_of(sample, told)
        if told is None and self._sample is None:
            raise InvalidRequest(
                f"{self.kind} does not tell its columns: give some rows, serialize_model(model, sample)"
            )
        self._names = told or list(self._sample.columns)
        if self._sample is not None and all(name == f"x{i}" for i, name in enumerate(self._names)):
            self._names = _sample_names(sample) or self._names
            self._sample = self._sample.set_axis(self._names, axis=1)
        if isinstance(getattr(self._last, "classes_", None), list):
            raise PublishRefused(
                f"{self.kind} predicts several classes at once, and the conversion knows one: serialize one model each"
            )
        self._types = self._column_types()
        self._outputs: tuple[OutputColumn, ...] | None = None

    def _column_types(self) -> dict[str, CellType]:
        types: dict[str, CellType] = dict.fromkeys(self._names, "double")
        if self._sample is not None:
            found = cell_types(self._sample)
            types |= {name: kind for name, kind in found.items() if kind in {"string", "logical"}}
        return types | told_types(self._inner, self._names)

    def known(self) -> dict[str, tuple[Scalar, ...]]:
        """By column, the categories of its encoders."""
        return {
            name: values
            for steps, columns in first_steps(self._inner, self._names)
            for name, values in categories(steps, columns).items()
        }

    def rows(self, count: int) -> Any:
        """The sample's rows and generated ones."""
        return rows_for(self._inner, self._names, self._types, self._sample, count)

    def answer(self, rows: Any) -> dict[str, Any]:
        """What the model predicts, or what it makes of the rows when it only transforms."""
        import numpy as np

        taken = self._taken(rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not hasattr(self._model, "predict"):
                made = self._model.transform(taken)
                made = made.toarray() if hasattr(made, "toarray") else np.asarray(made)
                made = made.reshape(len(rows), -1)
                return {f"feature_{i}": made[:, i] for i in range(made.shape[1])}
            predicted = np.asarray(self._model.predict(taken)).reshape(len(rows), -1)
            answers = {"prediction": predicted[:, 0]}
            if predicted.shape[1] > 1:
                answers = {f"prediction_{i}": predicted[:, i] for i in range(predicted.shape[1])}
            if self._probabilities():
                made = self._model.predict_proba(taken)
                answers |= {f"probability_{one}": made[:, i] for i, one in enumerate(scalars(self._last.classes_))}
            if self._scores():
                answers["score"] = np.asarray(self._model.decision_function(taken)).reshape(-1)
        return answers

    def _taken(self, rows: Any) -> Any:
        if self._text:
            return rows[self._names[0]].astype(object).tolist()
        if self._named:
            return rows[self._names]
        return rows[self._names].to_numpy(dtype=None if "string" in self._types.values() else float)

    def _probabilities(self) -> bool:
        return hasattr(self._model, "predict_proba") and hasattr(self._last, "classes_")

    def _scores(self) -> bool:
        from sklearn.base import is_outlier_detector

        return bool(is_outlier_detector(self._last)) and hasattr(self._model, "decision_function")

    def candidates(self) -> Iterator[Candidate]:
        """In double precision, then in single."""
        reasons: list[str] = []
        found = False
        for precision in ("double", "float"):
            try:
                onnx = self._convert(precision)
            except (*REFUSALS, NameError, AssertionError) as error:
                unknown = _UNKNOWN.match(str(error))
                said = f"{type(error).__name__}: {str(error).strip()[:300]}"
                reasons.append(f"no form of {unknown[1]} as a graph is known" if unknown else said)
                continue
            found = True
            yield Candidate(onnx.SerializeToString(), self._inputs(onnx, precision), self._columns(onnx), precision)
        if not found:
            raise PublishRefused(
                f"{self.kind} does not convert to ONNX: {reasons[0]}. A standard service runs the model itself: "
                "%publish, or client.service(...)"
            )

    def _shared(self) -> bool:
        """Whether all columns are numbers that one tensor holds."""
        return set(self._types.values()) <= {"double", "logical"}

    def _convert(self, precision: str) -> Any:
        skl2onnx = need("skl2onnx")
        types = need("skl2onnx.common.data_types")
        number = types.DoubleTensorType if precision == "double" else types.FloatTensorType
        kinds = {"string": types.StringTensorType, "integer": types.Int64TensorType}
        model = self._inner
        if self._shared():
            model = positioned(model, self._names)
            initial = [(TENSOR, number([None, len(self._names)]))]
        else:
            initial = [(name, kinds.get(self._types[name], number)([None, 1])) for name in self._names]
        with warnings.catch_warnings():
            # What converters tell of their own libraries is not the user's business.
            warnings.simplefilter("ignore")
            functions, shapes = scikit_trees.converters(self._inner)
            for theirs, their_shapes in (
                scikit_steps.own_steps(self._inner), scikit_steps.functions(), scikit_classifiers.converters()
            ):  # fmt: skip
                functions, shapes = functions | theirs, shapes | their_shapes
            functions |= scikit_steps.imputers()
            if precision == "double":
                wider, their_shapes = scikit_steps.converters()
                functions, shapes = functions | wider, shapes | their_shapes
            settings = {
                "initial_types": initial, "target_opset": OPSET,
                "custom_conversion_functions": functions, "custom_shape_calculators": shapes,
            }  # fmt: skip
            try:
                onnx = skl2onnx.convert_sklearn(model, options=self._options(model), **settings)
            except NameError:  # some classifiers have no such option, and no options at all would mean the default
                options = self._options(model) | {id(model): {}, id(last_of(model)): {}}
                onnx = skl2onnx.convert_sklearn(model, options=options, **settings)
        onnx = mended(onnx)
        if self._target is not None:
            to = Added(onnx)
            to.finish(inverted(to, self._target, to.source, to.number))
        return onnx

    def _options(self, model: Any) -> dict[int, dict[str, Any]]:
        from sklearn.base import is_classifier

        options: dict[int, dict[str, Any]] = {id(model): {"zipmap": False}} if is_classifier(self._last) else {}
        for part in parts_of(model, everywhere=True):
            if is_text(part) and getattr(part, "token_pattern", "") == WORDS and part.analyzer == "word":
                options[id(part)] = {"tokenexp": LETTERS}
        return options

    def _inputs(self, onnx: Any, precision: str) -> tuple[InputColumn, ...]:
        number: CellType = "double" if precision == "double" else "float"
        if self._shared():
            return numbered(self._names, number, TENSOR)
        tensors = {one.name for one in onnx.graph.input}
        return tuple(
            InputColumn(name=name, type=number if self._types[name] == "double" else self._types[name], onnx_input=name)
            for name in self._names
            if name in tensors
        )

    def _columns(self, onnx: Any) -> tuple[OutputColumn, ...]:
        tensors = [one.name for one in onnx.graph.output]
        if not hasattr(self._model, "predict"):
            width = self._width()
            return tuple(
                OutputColumn(name=f"feature_{i}", type="double", onnx_output=tensors[0], position=i)
                for i in range(width)
            )
        columns = list(self._predictions(tensors[0]))
        if self._probabilities():
            columns += [
                OutputColumn(name=f"probability_{one}", type="double", onnx_output=tensors[1], position=i)
                for i, one in enumerate(scalars(self._last.classes_))
            ]
        if self._scores():
            columns.append(OutputColumn(name="score", type="double", onnx_output=tensors[1]))
        wanted = {column.onnx_output for column in columns}
        for one in [one for one in onnx.graph.output if one.name not in wanted]:
            onnx.graph.output.remove(one)
        return tuple(columns)

    def _predictions(self, tensor: str) -> Iterator[OutputColumn]:
        from sklearn.base import is_clusterer

        classes = getattr(self._last, "classes_", None)
        if classes is not None:
            values = scalars(classes)
            yield OutputColumn(name="prediction", type=_type_of(values), onnx_output=tensor, classes=values)
            return
        whole = self._scores() or is_clusterer(self._last)
        count = self._width()
        for i in range(count):
            name = "prediction" if count == 1 else f"prediction_{i}"
            yield OutputColumn(name=name, type="integer" if whole else "double", onnx_output=tensor, position=i)

    def _width(self) -> int:
        answers = self.answer(self.rows(1).iloc[:2])
        return len([name for name in answers if not name.startswith(("probability_", "score"))])


def _type_of(values: Sequence[Scalar]) -> CellType:
    if all(isinstance(one, bool) for one in values):
        return "logical"
    if all(isinstance(one, int) for one in values):
        return "integer"
    return "double" if all(isinstance(one, (int, float)) for one in values) else "string"


def _sample_names(sample: Any) -> list[str]:
    columns = list(sample) if isinstance(sample, Mapping) else getattr(sample, "columns", None)
    return [] if columns is None or not all(isinstance(name, str) for name in columns) else list(columns)
