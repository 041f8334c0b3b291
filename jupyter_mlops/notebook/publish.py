"""From a magic's options to a published service."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from jupyter_mlops.capture import capture
from jupyter_mlops.client.batchable import describe_batchable
from jupyter_mlops.client.declare import from_type
from jupyter_mlops.client.definition import must_be_synchronous
from jupyter_mlops.client.pools import pool_json
from jupyter_mlops.client.publish import Target, publish, request_for
from jupyter_mlops.client.service import Service
from jupyter_mlops.client.signature import MISSING, Signature, describe
from jupyter_mlops.client.source import source_of
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.notebook.arguments import AUTO, kernels_of, names_of, types_of
from jupyter_mlops.notebook.estimator import Estimator, is_estimator, load_file, wrap
from jupyter_mlops.notebook.own_answer import own_answer, side_by_side
from jupyter_mlops.notebook.progress import Progress, interruptible
from jupyter_mlops.notebook.provenance import provenance
from jupyter_mlops.notebook.realtime import one_row, publish_realtime

_MODEL_FILES = (".pkl", ".pickle", ".joblib", ".sav", ".gz", ".xz")


@dataclass(frozen=True)
class _Subject:
    """What is published: a name in a namespace, its source and its signature."""

    namespace: dict[str, Any]
    name: str
    source: str
    signature: Signature
    alias: str | None


def publish_named(
    shell: Any, connect: Callable[[], Transport], what: str, options: argparse.Namespace
) -> tuple[Service, dict[str, Any] | None]:
    """Publish what a name or path of the notebook stands for.

    Parameters
    ----------
    shell:
        The IPython shell.
    connect:
        Gives the connection; asked only when everything is ready to be sent.
    what:
        A function's or estimator's name, an expression, or a file's path.
    options:
        The parsed line.

    Returns
    -------
    tuple of Service and dict or None
        The service, and the wire values of the sample, or of its first row.
    """
    sample = MISSING if options.sample is None else evaluate(shell, options.sample, "--sample")
    if options.realtime is not None:
        model = _realtime_model(shell, what, options)
        done = publish_realtime(connect, model, options, None if sample is MISSING else sample)
        if done is not None:
            return done
        sample = sample if options.batchable else one_row(sample)
    subject = _subject(shell, what, options, sample)
    artifacts = names_of(options.artifacts)
    must_be_synchronous(subject.namespace[subject.name], artifacts)
    own = own_answer(
        subject.namespace,
        subject.name,
        subject.signature,
        batchable=options.batchable,
        has_init=options.init is not None,
        force=options.force,
    )
    with interruptible("nothing was sent"), Progress("Capturing") as progress:
        captured = capture(
            subject.namespace,
            [subject.name],
            init=options.init,
            keep=names_of(options.keep),
            drop=names_of(options.drop),
            files=names_of(options.files),
            progress=progress,
        )
    least, most = kernels_of(options.kernels)
    pool = pool_json({"initial_pool_size": least, "max_pool_size": most, "memory_limit": options.memory})
    request = request_for(
        code=subject.source,
        function=subject.name,
        init=options.init,
        inputs=subject.signature.inputs,
        outputs=subject.signature.outputs,
        output_file_names=tuple(artifacts),
        operation_id=options.alias or subject.alias,
        description=options.description,
        timeout=options.timeout,
        sample=subject.signature.sample_json(),
        expected=own.json(),
        tolerance=options.tolerance,
        force=options.force,
        provenance=provenance(shell, [what, *(one.name for one in captured.manifest.names)]),
        batchable=options.batchable or None,
        environment=options.environment,
        private=options.private or None,
        pool=pool,
    )
    transport = connect()
    with interruptible("what was sent is taken back; %services tells whether it was published already"):
        service = publish(transport, Target(options.name, options.version, options.update), request, captured)
    if subject.signature.sample is not None and not service.unchanged:
        print(side_by_side(own, service))  # noqa: T201  # the proof is part of what the cell shows
    return service, subject.signature.sample


def evaluate(shell: Any, expression: str, option: str) -> Any:
    """Evaluate an option's expression in the notebook's namespace.

    Parameters
    ----------
    shell:
        The IPython shell.
    expression:
        Python text.
    option:
        The option's name, for the message.

    Raises
    ------
    UsageError
        When it raises.
    """
    try:
        return eval(expression, shell.user_global_ns, shell.user_ns)  # noqa: S307  # the author's own expression
    # It is the author's expression and may raise anything; the answer is one line.
    except Exception as error:
        raise UsageError(f"{option} {expression} raises {type(error).__name__}: {error}") from error


def _subject(shell: Any, what: str, options: argparse.Namespace, sample: Any) -> _Subject:
    namespace = shell.user_ns
    value, name = _meant(shell, what)
    if is_estimator(value):
        return _estimator_subject(value, name, options, sample)
    if not callable(value):
        raise UsageError(
            f"{what} is a {type(value).__name__}; %publish takes a function, a fitted estimator (something with "
            "`predict`), or the path of a pickle or joblib file that holds one"
        )
    if namespace.get(name) is not value:
        raise UsageError(f"give {what} a name of its own first, such as `score = {what}`, and publish that")
    signature = (describe_batchable if options.batchable else describe)(
        value,
        inputs=types_of(options.inputs, "--inputs"),
        outputs=types_of(options.outputs, "--outputs"),
        sample=sample,
    )
    return _Subject(namespace, name, source_of(value), signature, name)


def _meant(shell: Any, what: str) -> tuple[Any, str]:
    """What a name, a path or an expression stands for, and what to call it."""
    namespace = shell.user_ns
    path = _model_path(what, namespace.get(what))
    if path is not None:
        return load_file(path), path.name.partition(".")[0]
    if what in namespace:
        return namespace[what], what
    if what.isidentifier():
        raise UsageError(f"there is no {what!r} here: define it in a cell first, or check the spelling")
    return evaluate(shell, what, "FUNCTION"), what.rpartition(".")[2]


def _realtime_model(shell: Any, what: str, options: argparse.Namespace) -> Any:
    """The model for a realtime service; ONNX files stay paths, which `serialize_model` takes."""
    if options.realtime not in {"", AUTO, what}:
        raise UsageError(
            f"--realtime takes nothing here, or auto; {options.realtime!r} goes before it: "
            f"%publish {what} {options.name} {options.realtime} --realtime"
        )
    return Path(what).expanduser() if what.endswith(".onnx") else _meant(shell, what)[0]


def _model_path(what: str, value: Any) -> Path | None:
    """The file that is meant: a path as written, or in a variable; None when it is no file."""
    if isinstance(value, str | Path):
        path = Path(value)
    elif value is None and (what.endswith(_MODEL_FILES) or Path(what).is_file()):
        path = Path(what)
    else:
        return None
    if not path.expanduser().is_file():
        raise UsageError(f"there is no file {path}")
    return path.expanduser()


def _estimator_subject(model: Any, name: str, options: argparse.Namespace, sample: Any) -> _Subject:
    if options.init or options.artifacts:
        raise UsageError("an estimator has no --init and writes no --artifacts; write a function that calls it instead")
    inputs = types_of(options.inputs, "--inputs")
    outputs = types_of(options.outputs, "--outputs")
    made: Estimator = wrap(
        model,
        name,
        inputs=None if inputs is None else {key: from_type(key, written) for key, written in inputs.items()},
        outputs=None if outputs is None else tuple(from_type(key, written) for key, written in outputs.items()),
        sample=sample,
        sampled=sample is not MISSING,
        batchable=options.batchable,
    )
    return _Subject(made.namespace, made.function, made.source, made.signature, made.function)
