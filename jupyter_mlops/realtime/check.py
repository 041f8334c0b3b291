"""What a model is first read and run with: made-up rows, alone and together.

This runs in a process that has limits and is thrown away; see `nursery`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from jupyter_mlops import container
from jupyter_mlops.errors import InvalidInput, InvalidRequest, MLOpsError
from jupyter_mlops.realtime.graph import derive, read_graph
from jupyter_mlops.realtime.model import Model
from jupyter_mlops.realtime.writing import plain_list
from jupyter_mlops.schema.realtime import Verdict

_ROWS = 6
"""Made-up rows that are run."""
RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""How far an answer may move when it is computed together with others."""


def judge(path: Path) -> Verdict:
    """Read a model, run made-up rows through it, and say what it is.

    Parameters
    ----------
    path:
        A container, or a bare ONNX model.

    Raises
    ------
    InvalidRequest
        With the reason why it is refused.
    """
    with path.open("rb") as file:
        boxed = container.is_container(file.read(container.PREFIX_BYTES))
    header, offset = container.unpack(path) if boxed else (None, 0)
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read()
    graph = read_graph(content)
    header = header or derive(graph)
    del graph
    model = Model(content, header)
    if not boxed and (more := model.mapped(_made_up(header)[0])):
        header = msgspec.structs.replace(header, outputs=(*header.outputs, *more))
        model = Model(content, header)
    rows = _made_up(header)
    answers: list[dict[str, Any]] = []
    try:
        answers = [_run(model, {name: [value] for name, value in row.items()}, 1) for row in rows]
    except InvalidInput:  # a value that it does not take: we cannot know which it takes
        return Verdict(header=header, offset=offset)
    except MLOpsError as error:
        raise InvalidRequest(f"it does not answer a made-up row: {error.message}") from None
    sample = {name: [row[name] for row in rows[:2]] for name in rows[0]}
    answer = {name: [one[name][0] for one in answers[:2]] for name in answers[0]}
    return Verdict(
        header=header,
        offset=offset,
        grouped=_independent(model, rows, answers),
        sample=msgspec.json.encode({"inputData": sample}).decode(),
        answer=msgspec.json.encode({"outputData": answer}).decode(),
    )


def _run(model: Model, columns: dict[str, list[Any]], count: int) -> dict[str, list[Any]]:
    feeds = model.feeds(model.reader.checked(dict(columns)))
    found = model.columns(model.run(feeds, count))
    return {output.name: plain_list(found[output.name], output) for output in model.header.outputs}


def _made_up(header: container.Header) -> list[dict[str, Any]]:
    """Rows of values that differ, of the right types."""
    return [
        {column.name: _value(column, 7 * row + place) for place, column in enumerate(header.inputs)}
        for row in range(_ROWS)
    ]


def _value(column: container.InputColumn, number: int) -> Any:
    if column.categories:
        return column.categories[number % len(column.categories)]
    match column.type:
        case "string":
            return ("a", "good", "b c")[number % 3]
        case "logical":
            return number % 2 == 0
        case "integer":
            return number % 5
        case _:
            return ((number * 37) % 101 - 50) / 16


def _independent(model: Model, rows: list[dict[str, Any]], answers: list[dict[str, Any]]) -> bool:
    """Whether rows that run together, in any order, are answered as they are alone."""
    for order in (range(len(rows)), [*range(len(rows) - 1, -1, -1), 0, 0], [1, 1, 0]):
        columns = {name: [rows[index][name] for index in order] for name in rows[0]}
        try:
            together = _run(model, columns, len(list(order)))
        except MLOpsError:
            return False
        for place, index in enumerate(order):
            if not all(_near(together[name][place], answers[index][name][0]) for name in together):
                return False
    return True


def _near(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other) or abs(one - other) <= ABSOLUTE + RELATIVE * abs(other)  # noqa: PLR0124  # NaN
    return bool(one == other)
