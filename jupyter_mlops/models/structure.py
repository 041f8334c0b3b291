"""What a scikit-learn model is made of: its steps, and which of its columns each first step takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

from jupyter_mlops.container import CellType, Scalar


def steps_of(model: Any) -> list[Any]:
    """The steps of a pipeline that do something, in their order; any other model is its only step."""
    if not hasattr(model, "steps"):
        return [model]
    return [inner for _, step in model.steps if step not in (None, "passthrough") for inner in steps_of(step)]


def last_of(model: Any) -> Any:
    """The step that answers."""
    return steps_of(model)[-1]


def settled(model: Any) -> Any:
    """The same model with what a search found in place of the search, as far as pipelines reach."""
    if hasattr(model, "best_estimator_"):
        return settled(model.best_estimator_)
    if hasattr(model, "steps"):
        steps = [(name, settled(step)) for name, step in model.steps]
        if any(now is not before for (_, now), (_, before) in zip(steps, model.steps, strict=True)):
            model = copy(model)
            model.steps = steps
    if getattr(model, "flatten_transform", False) and hasattr(model, "predict"):
        model = copy(model)  # what a vote makes of rows as a step says nothing of what it answers
        model.flatten_transform = False
    return model


def without_target(model: Any) -> tuple[Any, Any]:
    """The same model, its last step answering in the transformed target, with what transformed that; else None."""
    if hasattr(model, "steps"):
        last, transformer = without_target(model.steps[-1][1])
        if transformer is not None:
            model = copy(model)
            model.steps = [*model.steps[:-1], (model.steps[-1][0], last)]
        return model, transformer
    if hasattr(model, "regressor_") and hasattr(model, "transformer_"):
        return settled(model.regressor_), model.transformer_
    return model, None


def names_of(model: Any) -> list[str] | None:
    """The columns that a fitted model takes; None when it did not note them."""
    for step in (model, *steps_of(model)[:1]):
        names = getattr(step, "feature_names_in_", None)
        if names is not None:
            return [str(name) for name in names]
    if is_text(steps_of(model)[0]):
        return ["text"]
    count = getattr(model, "n_features_in_", None) or getattr(steps_of(model)[0], "n_features_in_", None)
    return None if count is None else [f"x{i}" for i in range(count)]


def is_text(step: Any) -> bool:
    """Whether a step takes texts, one a row, rather than rows of columns."""
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

    return isinstance(step, (CountVectorizer, HashingVectorizer))


def first_steps(model: Any, names: Sequence[str]) -> Iterator[tuple[list[Any], list[str]]]:
    """Each chain of steps that stands at some of the model's columns, with those columns."""
    steps = steps_of(model)
    if not hasattr(steps[0], "transformers_"):
        yield steps, list(names)
        return
    for _, transformer, columns in steps[0].transformers_:
        if isinstance(transformer, str):
            continue
        yield from first_steps(transformer, column_names(columns, names))


def column_names(columns: Any, names: Sequence[str]) -> list[str]:
    """The names that a ColumnTransformer's choice of columns means."""
    import numpy as np

    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            begin = list(names).index(columns.start) if columns.start is not None else 0
            end = list(names).index(columns.stop) + 1 if columns.stop is not None else len(names)
            return list(names[begin:end])
        return list(names[columns])
    chosen = np.atleast_1d(np.asarray(columns))
    if chosen.dtype == bool:
        return [name for name, taken in zip(names, chosen, strict=True) if taken]
    return [names[int(one)] if chosen.dtype.kind in "iu" else str(one) for one in chosen]


def positioned(model: Any, names: Sequence[str]) -> Any:
    """The same model, with the columns of a ColumnTransformer at its beginning by place: one tensor holds them all."""
    if hasattr(model, "steps"):
        first = positioned(model.steps[0][1], names)
        if first is model.steps[0][1]:
            return model
        other = copy(model)
        other.steps = [(model.steps[0][0], first), *model.steps[1:]]
        return other
    if not hasattr(model, "transformers_"):
        return model
    other = copy(model)
    places = list(names)
    other.transformers_ = [
        (name, step, [places.index(one) for one in column_names(columns, names)])
        for name, step, columns in model.transformers_
    ]
    return other


def told_types(model: Any, names: Sequence[str]) -> dict[str, CellType]:
    """By column, the type that an encoder, an imputer or a vectorizer at it tells."""
    told: dict[str, CellType] = {}
    for steps, columns in first_steps(model, names):
        for name, values in categories(steps, columns).items():
            if all(isinstance(one, bool) for one in values):
                told[name] = "logical"
            elif all(isinstance(one, int) for one in values):
                told[name] = "integer"
            elif any(isinstance(one, str) for one in values):
                told[name] = "string"
        if is_text(steps[0]) or holds_objects(getattr(steps[0], "statistics_", None)):
            told |= dict.fromkeys(columns, "string")
    return told


def categories(steps: Sequence[Any], columns: Sequence[str]) -> dict[str, tuple[Scalar, ...]]:
    """By column, the categories that an encoder knows; imputers before it keep the columns."""
    for step in steps:
        found = getattr(step, "categories_", None)
        if found is not None and len(found) == len(columns):
            return {name: scalars(values) for name, values in zip(columns, found, strict=True)}
        if not (hasattr(step, "statistics_") and not getattr(step, "add_indicator", False)):
            return {}
    return {}


def strict(steps: Sequence[Any], columns: Sequence[str]) -> set[str]:
    """The columns of which the first step refuses categories that it does not know."""
    return set(columns) if getattr(steps[0], "handle_unknown", "") == "error" else set()


def holds_objects(array: Any) -> bool:
    """Whether this is an array of Python objects, as of texts."""
    return str(getattr(array, "dtype", "")) == "object"


def scalars(values: Any) -> tuple[Scalar, ...]:
    """Plain values of an array, without those that are missing."""
    plain = (one.item() if hasattr(one, "item") else one for one in values)
    return tuple(one for one in plain if one is not None and one == one)  # noqa: PLR0124  # NaN is not itself


def parts_of(model: Any, *, everywhere: bool = False) -> Iterator[Any]:
    """A model and the fitted estimators inside it that take the same columns; or all of them, `everywhere`."""
    from sklearn.base import BaseEstimator

    count = getattr(model, "n_features_in_", None)
    waiting, seen = [model], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, BaseEstimator) and (everywhere or getattr(one, "n_features_in_", count) == count):
            yield one
            first = hasattr(one, "steps") and not everywhere
            waiting += [steps_of(one)[0]] if first else list(vars(one).values())
        elif isinstance(one, (list, tuple)):
            waiting += one
        elif holds_objects(one):
            waiting += one.ravel().tolist()
