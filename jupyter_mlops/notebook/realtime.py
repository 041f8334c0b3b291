"""`--realtime`: publish a model as a realtime service, or, with `auto`, whichever way answers as the model does."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError

from jupyter_mlops.client.publish import Target
from jupyter_mlops.client.realtime import publish_model
from jupyter_mlops.client.service import Service
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.codec import json_of
from jupyter_mlops.errors import PublishRefused, Unavailable
from jupyter_mlops.models import SerializedModel, serialize_model
from jupyter_mlops.notebook.arguments import AUTO
from jupyter_mlops.notebook.cell import bound_names
from jupyter_mlops.notebook.progress import interruptible
from jupyter_mlops.schema.realtime import INPUT

_OF_KERNELS = (
    "function", "init", "inputs", "outputs", "artifacts", "drop", "keep", "files", "force", "batchable", "kernels",
    "memory", "environment", "private",
)  # fmt: skip


def model_name(shell: Any, cell: str) -> str:
    """Name of the model that a cell makes: the last name it binds to something that predicts or transforms.

    Parameters
    ----------
    shell:
        The IPython shell, in which the cell has run.
    cell:
        The cell's text.

    Raises
    ------
    UsageError
        When it makes none.
    """
    names = bound_names(ast.parse(shell.transform_cell(cell)))
    found = [name for name in names if not name.startswith("_") and _is_model(shell.user_ns.get(name))]
    if not found:
        raise UsageError(
            "the cell makes no model, so there is nothing to publish; name one with --realtime MODEL, or use "
            "`%publish MODEL NAME --realtime`"
        )
    return found[-1]


def _is_model(value: Any) -> bool:
    fits = any(callable(getattr(value, name, None)) for name in ("predict", "transform", "score_samples", "state_dict"))
    return fits and not isinstance(value, type)


def publish_realtime(
    connect: Callable[[], Transport], model: Any, options: argparse.Namespace, sample: Any
) -> tuple[Service, dict[str, Any] | None] | None:
    """Publish a model as a realtime service.

    Parameters
    ----------
    connect:
        Gives the connection; asked only when the model is converted.
    model:
        The model.
    options:
        The parsed line.
    sample:
        Rows of what the model takes, or None.

    Returns
    -------
    tuple of Service and dict, or None
        The service, and its inputs of the sample's first row, when there is a sample. None when `--realtime auto`
        leaves it to a scoring kernel; it then says why.

    Raises
    ------
    PublishRefused
        When it does not convert, or answers differently.
    """
    auto = options.realtime == AUTO
    given = next((name for name in _OF_KERNELS if getattr(options, name, None)), None)
    if given is not None and not auto:
        raise UsageError(f"--{given} is for services that a kernel scores; a realtime service has no kernel")
    more = {} if options.tolerance is None else {"tolerance": options.tolerance}
    try:
        box = serialize_model(model, sample, **more)
        service = _publish(connect(), box, options)
    except (PublishRefused, Unavailable) as error:
        if not auto:
            raise
        print(f"A scoring kernel serves it, not ONNX: {error}")  # noqa: T201  # which path, and why, is what is asked
        return None
    if auto:
        print(f"ONNX serves it, in a realtime worker: {_why(box)}")  # noqa: T201
    return service, None if sample is None else {INPUT: _first_row(box, sample)}


def one_row(sample: Any) -> Any:
    """The first of a sample's rows: a kernel proves a publish with one, and a conversion with all."""
    if hasattr(sample, "iloc"):
        return sample.iloc[:1]
    return sample[:1] if len(getattr(sample, "shape", ())) == 2 else sample  # noqa: PLR2004


def _publish(transport: Transport, box: SerializedModel, options: argparse.Namespace) -> Service:
    target = Target(options.name, options.version, options.update)
    with interruptible("what was sent is taken back; %services tells whether it was published already"):
        described = {"description": options.description, "alias": options.alias, "timeout": options.timeout}
        return publish_model(transport, target, box, **described)


def _why(box: SerializedModel) -> str:
    if box.parity is None:
        return "it came as a graph, and there is no original to compare with"
    return f"it answered all {box.parity.rows} rows as the model does, within {box.parity.tolerance:g}"


def _first_row(box: SerializedModel, sample: Any) -> dict[str, Any]:
    from jupyter_mlops.models.sample import frame_of

    row = frame_of(sample, [one.name for one in box.header.inputs]).head(1)
    return {name: json_of(row[name]) for name in row.columns}
