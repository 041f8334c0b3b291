"""What a model does with missing values and unknown categories, found by asking it."""

from __future__ import annotations

from typing import Any

import msgspec

from jupyter_mlops.container import InputColumn, Scalar
from jupyter_mlops.errors import PublishRefused
from jupyter_mlops.models.graph import Graph
from jupyter_mlops.models.original import Original
from jupyter_mlops.models.parity import compare

ASKED_ROWS = 40
ASKED_COLUMNS = 60
"""Of more columns, none is asked alone."""
HOLES = 0.3
UNKNOWN = "\N{SNOWMAN} no such category"

REFUSALS = (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError, RuntimeError)
"""What models raise for values that they do not take."""


def proven_inputs(original: Original, graph: Graph, rows: Any, tolerance: float) -> tuple[InputColumn, ...]:
    """The columns, with what was found: whether values may be missing, and which categories alone are taken.

    A column is nullable when the model answers rows without its value, and its converted form answers the same.
    """
    known = original.known()
    some = rows.iloc[:ASKED_ROWS].reset_index(drop=True)
    found = _all_nullable(original, graph, some, tolerance)
    if found is None and len(graph.inputs) <= ASKED_COLUMNS:
        found = tuple(_nullable(column, original, graph, some, tolerance) for column in graph.inputs)
    return tuple(_categories(one, original, some, known.get(one.name, ())) for one in found or graph.inputs)


def _all_nullable(original: Original, graph: Graph, rows: Any, tolerance: float) -> tuple[InputColumn, ...] | None:
    """The columns as nullable, if they are numbers and all of them may be missing; None when each is to be asked."""
    import numpy as np

    if not all(column.type in {"double", "float"} for column in graph.inputs):
        return None
    holes = np.random.default_rng(0).random(rows.shape) < HOLES
    asked = rows.mask(holes)
    try:
        answer = original.answer(asked)
        converted = graph.answer(asked)
    except (*REFUSALS, PublishRefused):
        return None
    if not compare("", answer, converted, tolerance).holds:
        return None
    return tuple(msgspec.structs.replace(column, nullable=True) for column in graph.inputs)


def _nullable(column: InputColumn, original: Original, graph: Graph, rows: Any, tolerance: float) -> InputColumn:
    import numpy as np

    if column.type in {"integer", "logical"} or column.nullable or column.categories:
        return column
    asked = rows.copy()
    asked[column.name] = np.nan if column.type in {"double", "float"} else _nothing(len(rows))
    try:
        answer = original.answer(asked)
    except REFUSALS:
        return column
    for default in (None,) if column.type in {"double", "float"} else ("", "nan", "None"):
        found = msgspec.structs.replace(column, nullable=True, default=default)
        try:
            converted = graph.with_inputs(found).answer(asked)
        except PublishRefused:
            continue
        if compare("", answer, converted, tolerance).holds:
            return found
    return column


def _nothing(count: int) -> Any:
    import pandas as pd

    return pd.Series([float("nan")] * count, dtype=object)


def _categories(column: InputColumn, original: Original, rows: Any, known: tuple[Scalar, ...]) -> InputColumn:
    if not known or column.categories:
        return column
    asked = rows.iloc[:1].copy()
    unknown: Any = UNKNOWN
    if not isinstance(known[0], str):
        unknown = max(float(one) for one in known) + 1
    asked[column.name] = unknown if isinstance(unknown, str) or column.type != "integer" else int(unknown)
    try:
        original.answer(asked)
    except REFUSALS:
        return msgspec.structs.replace(column, categories=known)
    return column
