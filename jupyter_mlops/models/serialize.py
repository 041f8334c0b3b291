"""`serialize_model`: convert, compare, refuse or pack."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from jupyter_mlops.container import Header, pack, unpack
from jupyter_mlops.errors import InvalidRequest, PublishRefused
from jupyter_mlops.models.families import original_of
from jupyter_mlops.models.graph import Graph
from jupyter_mlops.models.missing import proven_inputs
from jupyter_mlops.models.original import Candidate, Original
from jupyter_mlops.models.parity import SHOWN_ROWS, ParityReport, compare

TOLERANCE = 1e-5
ROWS = 500
LEAST_ROWS = 50
"""Rows that a model must answer of those that were made, to be compared by them."""
ASKING_SECONDS = 5.0
"""How long is looked for them among rows that it refuses as a whole."""


class SerializedModel(bytes):
    """The bytes of a container, which also tell what they hold."""

    parity: ParityReport | None = None
    """How the converted model compares with the original; None when there was no original to run."""

    @property
    def header(self) -> Header:
        """The model's columns, library and class."""
        return unpack(self)[0]

    def __repr__(self) -> str:
        header = self.header
        taken = ", ".join(f"{column.name}: {column.type}" for column in header.inputs[:8])
        given = ", ".join(f"{column.name}: {column.type}" for column in header.outputs[:8])
        more = ", ..." if len(header.inputs) > 8 else ""  # noqa: PLR2004
        rest = ", ..." if len(header.outputs) > 8 else ""  # noqa: PLR2004
        return f"<{header.kind} of {header.library}, {len(self):,} bytes: ({taken}{more}) -> ({given}{rest})>"

    __str__ = __repr__


def serialize_model(
    model: Any,
    sample: Any = None,
    *,
    tolerance: float = TOLERANCE,
    description: str = "",
    quiet: bool = False,
) -> SerializedModel:
    """Convert a trained model for a realtime service, and prove that the converted model answers the same.

    Both answer the sample's rows and generated ones, which lie where the model decides: at the thresholds of
    trees and their neighbours, around the means of scalers, at the categories of encoders. The outcome is printed
    as a small table.

    Parameters
    ----------
    model:
        A fitted scikit-learn estimator or pipeline; an XGBoost, LightGBM or CatBoost model; the results of a
        statsmodels OLS or Logit; a PyTorch module or a Keras model; the path or bytes of an ONNX file.
    sample:
        Some rows of what the model takes: a DataFrame, an array or lists. It names the columns, and their types,
        where the model does not; PyTorch modules always need one. Columns of it that the model does not take may
        be sent to the service too, and change nothing.
    tolerance:
        How far two numbers may be apart: relatively; absolutely for numbers below 1.
    description:
        A sentence about the model, kept with it.
    quiet:
        Whether to print nothing.

    Raises
    ------
    PublishRefused
        When the model cannot be converted, or its converted form answers differently: which rows and columns, and
        what to do.
    InvalidRequest
        When the sample does not fit the model.
    """
    if not tolerance >= 0:
        raise InvalidRequest(f"tolerance is 0 or more, and {tolerance!r} came")
    original = original_of(model, sample)
    candidate, report = _proven(original, tolerance)
    header = Header(
        library=original.library,
        kind=original.kind,
        inputs=candidate.inputs,
        outputs=candidate.outputs,
        created=datetime.now(UTC),
        parity=report.wire() if report else None,
        description=description,
        ignored=_ignored(original, sample, {column.name for column in candidate.inputs}),
    )
    made = SerializedModel(pack(header, candidate.onnx))
    made.parity = report
    if not quiet:
        print(report or f"{original.kind}: no original to compare with")  # noqa: T201  # the table is the proof
    return made


def _ignored(original: Original, sample: Any, taken: set[str]) -> tuple[str, ...]:
    """Columns that came along with the model's own in its training data or in the sample."""
    names = [name for name in getattr(sample, "columns", ()) if isinstance(name, str)]
    beside = names if taken <= set(names) else []
    return tuple(name for name in dict.fromkeys([*original.others, *beside]) if name not in taken)


def _proven(original: Original, tolerance: float) -> tuple[Candidate, ParityReport | None]:
    """The first form of the model that answers as the model does."""
    rows: Any = original.rows(ROWS)
    rows, answer = (None, {}) if rows is None else _own_answer(original, rows)
    if not answer:
        candidate = next(original.candidates())
        graph = Graph(candidate)
        if rows is not None:
            graph.answer(rows)
        return candidate, None
    nearest: ParityReport | None = None
    answers: dict[str, Any] = {}
    reasons = []
    for candidate in original.candidates():
        try:
            graph = Graph(candidate)
            converted = graph.answer(rows)
        except PublishRefused as error:
            reasons.append(str(error))
            continue
        title = f"{original.kind} of {original.library} and its ONNX form ({candidate.precision})"
        report = compare(title, answer, converted, tolerance)
        if report.holds:
            inputs = proven_inputs(original, graph, rows, tolerance)
            return Candidate(candidate.onnx, inputs, candidate.outputs, candidate.precision), report
        if nearest is None or len(report.differ) < len(nearest.differ):
            nearest, answers = report, converted
    if nearest is None:
        raise PublishRefused(f"{original.kind} of {original.library} does not convert: {reasons[0]}. {WAY_ON}")
    raise PublishRefused(_differences(nearest, rows, answer, answers))


def _own_answer(original: Original, rows: Any) -> tuple[Any, dict[str, Any]]:
    """What the model answers, and to which of the rows: those that it refuses are left out."""
    try:
        return rows, original.answer(rows)
    # The model is the user's and may raise anything; the answer is one message.
    except Exception as error:
        until = time.monotonic() + ASKING_SECONDS
        taken = rows.iloc[_taken(original, rows, 0, len(rows), until)].reset_index(drop=True)
        if len(taken) >= LEAST_ROWS:
            return taken, original.answer(taken)
        raise PublishRefused(
            f"{original.kind} of {original.library} raised on the rows to compare with: {type(error).__name__}: "
            f"{str(error).strip().partition(chr(10))[0]} If it takes only some values, give a sample of them: "
            f"serialize_model(model, sample). {WAY_ON}"
        ) from error


def _taken(original: Original, rows: Any, first: int, stop: int, until: float) -> list[int]:
    """Places of the rows that the model answers, between two, as far as time allows to ask."""
    if time.monotonic() > until:
        return []
    try:
        original.answer(rows.iloc[first:stop])
    except Exception:  # noqa: BLE001  # as above
        middle = (first + stop) // 2
        if middle == first:
            return []
        return [
            *_taken(original, rows, first, middle, until),
            *_taken(original, rows, middle, stop, until),
        ]
    return list(range(first, stop))


WAY_ON = "A standard service runs the model itself: %publish, or client.service(...)"


def _differences(report: ParityReport, rows: Any, original: dict[str, Any], converted: dict[str, Any]) -> str:
    import numpy as np

    differing = f"{len(report.differ)} of {report.rows} rows"
    lines = [f"the converted model answers {differing} otherwise, beyond the tolerance {report.tolerance:g}:"]
    for row in report.differ[:SHOWN_ROWS]:
        cells = ", ".join(f"{name}={value!r}" for name, value in list(rows.iloc[row].to_dict().items())[:8])
        columns = [one.name for one in report.columns if row in one.differ]
        differ = "; ".join(
            f"{name} is {original[name][row]} and converted {converted[name][row]}" for name in columns[:4]
        )
        lines.append(f"  row {row} ({cells}): {differ}")
    if len(report.differ) > SHOWN_ROWS:
        lines.append(f"  and {len(report.differ) - SHOWN_ROWS} more")
    largest = max((one.largest or 0.0 for one in report.columns), default=0.0)
    if all(np.asarray(original[one.name]).dtype.kind == "f" for one in report.columns if one.differ):
        lines.append(f"If that is near enough: serialize_model(..., tolerance={largest * 1.01:.2g}).")
    lines += [WAY_ON, repr(report)]
    return "\n".join(lines)
