"""Rows to compare a model with its converted form on: the sample's, and such as lie where the model decides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jupyter_mlops.container import CellType, InputColumn
from jupyter_mlops.models.structure import (
    categories,
    column_names,
    first_steps,
    holds_objects,
    is_text,
    parts_of,
    steps_of,
    strict,
)

SEED = 7
SOME = 400
"""Most places taken from one part of a model."""
WORDS = 12
"""Longest made text."""


def rows_for(model: Any, names: Sequence[str], types: Mapping[str, CellType], sample: Any, count: int) -> Any:
    """About `count` rows as a DataFrame, the sample's first.

    Parameters
    ----------
    model:
        A fitted scikit-learn model.
    names, types:
        Its columns.
    sample:
        A DataFrame of these columns, or None.
    count:
        How many rows to make; the sample's, up to as many, come on top.
    """
    import numpy as np
    import pandas as pd

    chance = np.random.default_rng(SEED)
    places = _places(model, names, chance)
    made = {name: _column(places.get(name, []), types[name], _given(sample, name), count, chance) for name in names}
    for steps, columns in first_steps(model, names):
        for name, known in categories(steps, columns).items():
            if types[name] == "double" and name in strict(steps, columns):
                made[name] = chance.choice(np.array(known, dtype=float), count)
    frames = [pd.DataFrame(made)]
    if sample is not None:
        frames.insert(0, sample[list(names)].dropna().iloc[:count])
    frames += [_like(frames, rows, names, types, chance) for rows in _at_once(model, names, count, chance)]
    return pd.concat(frames, ignore_index=True)


def rows_between(
    columns: Sequence[InputColumn], sample: Any, count: int, values: Mapping[str, Any] | None = None
) -> Any:
    """About `count` rows as a DataFrame for columns that tell what they take; the sample's come first.

    Parameters
    ----------
    columns:
        With their categories, if they have some.
    sample, count:
        As of `rows_for`.
    values:
        By column, what training saw.
    """
    import numpy as np
    import pandas as pd

    chance = np.random.default_rng(SEED)
    seen = values or {}
    made = pd.DataFrame({
        one.name: _column(
            [*one.categories, *list(seen.get(one.name, ()))[:SOME]],
            "integer" if one.type == "double" and one.categories else one.type,
            _given(sample, one.name), count, chance,
        )
        for one in columns
    })  # fmt: skip
    if sample is None:
        return made
    return pd.concat([sample[list(made.columns)].dropna().iloc[:count], made], ignore_index=True)


def _given(sample: Any, name: str) -> list[Any]:
    return [] if sample is None else sample[name].dropna().tolist()


def _column(places: list[Any], type_: CellType, given: list[Any], count: int, chance: Any) -> Any:
    import numpy as np

    if type_ == "string":
        known = [*places, *given] or ["a", "b"]
        return np.array(chance.choice(np.array(known, dtype=object), count), dtype=object)
    if type_ == "logical":
        return chance.random(count) < 0.5  # noqa: PLR2004
    values = np.array([*places, *given] or [-2.0, 2.0], dtype=float)
    values = values[np.isfinite(values)]
    if type_ == "integer":
        return chance.choice(values, count).astype("int64")
    low, high = values.min(), values.max()
    spread = (high - low) * 0.1 or max(abs(high), 1.0)
    made = chance.uniform(low - spread, high + spread, count)
    return np.where(chance.random(count) < 0.5, chance.choice(values, count), made)  # noqa: PLR2004


def _places(model: Any, names: Sequence[str], chance: Any) -> dict[str, list[Any]]:
    """By column, values at which the steps that stand there decide."""
    found: dict[str, list[Any]] = {}
    for steps, columns in first_steps(model, names):
        known = categories(steps, columns)
        for name, values in known.items():
            found.setdefault(name, []).extend(values)
        if is_text(steps[0]):
            found[columns[0]] = _texts(steps[0], chance)
        elif _takes_positive(steps[0]):
            found |= {name: [0.01, 0.5, 1.0, 3.0, 30.0] for name in columns}
        elif not known:
            for i, numbers in _interesting(steps).items():
                if i < len(columns):
                    found.setdefault(columns[i], []).extend(numbers)
    return found


def _takes_positive(step: Any) -> bool:
    import numpy as np

    return getattr(step, "func", None) in (np.log, np.log1p, np.log2, np.log10, np.sqrt)


def _interesting(steps: Sequence[Any]) -> dict[int, list[float]]:
    import numpy as np

    found: dict[int, list[float]] = {}
    for part in parts_of(steps[0]):
        for center, spread in _spreads(part):
            for i, (middle, width) in enumerate(zip(center, spread, strict=True)):
                found.setdefault(i, []).extend(float(middle + k * width) for k in (-2, -1, 0, 1, 2))
        for rows in _examples(part):
            for i, column in enumerate(np.asarray(rows, dtype=float).T):
                found.setdefault(i, []).extend(column[:SOME].tolist())
        for feature, threshold in list(thresholds(part))[:SOME]:
            found.setdefault(feature, []).append(threshold)
    return found


def _spreads(part: Any) -> Iterator[tuple[Any, Any]]:
    import numpy as np

    def of(name: str) -> Any:
        value = getattr(part, name, None)
        return None if value is None or np.ndim(value) != 1 or holds_objects(value) else value

    if of("data_min_") is not None:
        yield (part.data_min_ + part.data_max_) / 2, (part.data_max_ - part.data_min_) / 4
    for middle, width in (("mean_", "scale_"), ("center_", "scale_")):
        if of(middle) is not None and of(width) is not None:
            yield of(middle), of(width)
    if of("statistics_") is not None:
        yield part.statistics_, np.ones(len(part.statistics_))
    if hasattr(part, "theta_") and hasattr(part, "var_"):
        for middle, variance in zip(part.theta_, part.var_, strict=True):
            yield middle, np.sqrt(variance)


def _examples(part: Any) -> Iterator[Any]:
    import numpy as np

    for name in ("_fit_X", "support_vectors_", "X_train_", "means_", "cluster_centers_", "quantiles_"):
        value = getattr(part, name, None)
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind == "f":  # noqa: PLR2004
            yield value[:SOME]
    edges = getattr(part, "bin_edges_", None)
    if edges is not None:
        longest = max(len(one) for one in edges)
        yield np.column_stack([np.resize(one, longest) for one in edges])


def thresholds(part: Any) -> Iterator[tuple[int, float]]:
    """Feature and threshold of each split of a model's trees."""
    from jupyter_mlops.models import boosted  # it needs scikit-learn

    if boosted.is_boosted(part) and hasattr(part, "n_features_in_"):
        for one in boosted.read(part).trees:
            inner = [i for i, leaf in enumerate(one.leaf) if not leaf]
            yield from ((int(one.feature[i]), float(one.threshold[i])) for i in inner)
        return
    tree: Any = getattr(part, "tree_", None)
    if hasattr(tree, "threshold"):
        for feature, threshold in zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True):
            if feature >= 0:
                yield feature, threshold
    for predictor in _predictors(part):
        for node in predictor.nodes:
            if not node["is_leaf"] and not node["is_categorical"]:
                yield int(node["feature_idx"]), float(node["num_threshold"])


def _predictors(part: Any) -> Iterator[Any]:
    for of_iteration in getattr(part, "_predictors", None) or ():
        yield from of_iteration


def neighbours(value: float) -> list[float]:
    """A threshold, and the numbers right beside it in 64 and in 32 bits."""
    import numpy as np

    with np.errstate(over="ignore"):  # beside the largest number there is infinity
        single = np.float32(value)
        return [
            value, np.nextafter(value, np.inf), np.nextafter(value, -np.inf), float(single),
            float(np.nextafter(single, np.float32(np.inf))), float(np.nextafter(single, np.float32(-np.inf))),
        ]  # fmt: skip


def _at_once(model: Any, names: Sequence[str], count: int, chance: Any) -> Iterator[dict[str, Any]]:
    """Columns of whole rows at and beside the thresholds of trees, brought back through the steps before these."""
    import numpy as np

    before: list[Any] = []
    for step in steps_of(model):
        found = [one for part in parts_of(step) for one in thresholds(part)]
        if found:
            chosen = [found[i] for i in chance.permutation(len(found))[: max(count // 6, 1)]]
            inner = getattr(step, "n_features_in_", len(names))
            rows = np.zeros((len(chosen) * 6, inner))
            for place, (feature, middle) in enumerate(chosen):
                rows[place * 6 : place * 6 + 6] = _typical(found, inner, chance)
                rows[place * 6 : place * 6 + 6, feature] = neighbours(middle)
            yield dict(_brought_back(rows, before, names))
        if not hasattr(step, "transform"):
            return
        before.append(step)


def _brought_back(rows: Any, steps: Sequence[Any], names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The columns that the steps make such rows of, as far as they can be told."""
    if not steps:
        yield from zip(names, rows.T, strict=True)
        return
    last = steps[-1]
    if hasattr(last, "output_indices_"):
        for name, step, columns in last.transformers_:
            if not (isinstance(step, str) and step == "drop"):
                inside = [] if isinstance(step, str) else steps_of(step)
                taken = column_names(columns, names)
                part = rows[:, last.output_indices_[name]]
                if inside or part.shape[1] == len(taken):
                    yield from _brought_back(part, inside, taken)
    elif hasattr(last, "statistics_"):  # an imputer leaves what is there as it is
        if rows.shape[1] == last.n_features_in_:
            yield from _brought_back(rows, steps[:-1], names)
    elif hasattr(last, "inverse_transform") and not (hasattr(last, "categories_") or is_text(last)):
        with contextlib.suppress(ValueError):  # some transformers only say so when they are asked
            yield from _brought_back(last.inverse_transform(rows), steps[:-1], names)


def _like(
    frames: Sequence[Any], columns: Mapping[str, Any], names: Sequence[str], types: Mapping[str, CellType], chance: Any
) -> Any:
    """Rows with these numbers in their columns, and in the others what other rows have."""
    import numpy as np
    import pandas as pd

    count = max((len(values) for values in columns.values()), default=0)
    others = pd.concat(frames, ignore_index=True)
    made = others.iloc[chance.integers(0, len(others), count)].reset_index(drop=True)
    for name in names:
        if name in columns and types[name] == "double":
            made[name] = np.asarray(columns[name], dtype=float)
    return made


def _typical(found: Sequence[tuple[int, float]], width: int, chance: Any) -> Any:
    import numpy as np

    row = chance.normal(size=width)
    for i in chance.permutation(len(found))[: 4 * width]:
        row[found[i][0]] = found[i][1]
    return np.asarray(row)


def _texts(vectorizer: Any, chance: Any) -> list[str]:
    vocabulary = getattr(vectorizer, "vocabulary_", None)
    words = sorted({word for term in vocabulary for word in term.split()}) if vocabulary else []
    words = (words or ["some", "words", "of", "a", "text"])[: 10 * SOME]
    words += sorted(vectorizer.get_stop_words() or ())[:SOME]
    strange = ["", "Unknown!", "ÉTÉ café", "x", "1,234.5", "don't stop-word's", "\N{SNOWMAN}"]
    texts = list(strange)
    for i in range(200):
        chosen = [str(one) for one in chance.choice(words, int(chance.integers(1, WORDS)))]
        if i % 4 == 0:
            chosen.insert(0, strange[i // 4 % len(strange)])
        if i % 3 == 0:
            chosen = [one.capitalize() for one in chosen]
        texts.append((", " if i % 5 == 0 else " ").join(chosen))
    return texts
