"""The notebook's own answer to a sample, for the fresh kernel's to be compared with, and both side by side."""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from IPython.core.error import UsageError

from jupyter_mlops.client.opened import awaited
from jupyter_mlops.client.service import Service
from jupyter_mlops.client.signature import Signature
from jupyter_mlops.codec import to_python
from jupyter_mlops.columns import Columns
from jupyter_mlops.errors import InvalidInput, MLOpsError
from jupyter_mlops.outputs import wire_outputs
from jupyter_mlops.schema.services import Definition

SIZE_LIMIT = 4 * 2**20
"""Bytes of an answer that is still sent along to be compared."""

_WIDEST = 60

Outputs = dict[str, Any]


@dataclass(frozen=True)
class OwnAnswer:
    """What the function answered here."""

    rows: tuple[Outputs, ...] = ()
    """Wire values by output, for each row of the sample; none when there is nothing to compare with."""
    reason: str = ""
    """Why there is nothing to compare with."""

    def json(self) -> msgspec.Raw | None:
        """As a publish sends it: one object, or a list of them."""
        if not self.rows:
            return None
        return msgspec.Raw(msgspec.json.encode(self.rows if len(self.rows) > 1 else self.rows[0]))


def own_answer(
    namespace: dict[str, Any], name: str, signature: Signature, *, batchable: bool, has_init: bool, force: bool
) -> OwnAnswer:
    """Call the function here with the sample; what it rebinds is put back.

    Parameters
    ----------
    namespace, name:
        Where the function is, and what it is called.
    signature:
        Its inputs, outputs and sample.
    batchable:
        Whether it takes columns.
    has_init:
        Whether it needs what another function makes first, in each kernel.
    force:
        Whether it is published also when it raises here.

    Raises
    ------
    UsageError
        When it raises here already.
    """
    if signature.sample is None:
        return OwnAnswer(reason="there is no sample")
    call = _of_rows if batchable else _of_one
    try:
        with _put_back(namespace), contextlib.redirect_stdout(io.StringIO()):
            rows = call(namespace[name], signature)
    except InvalidInput as error:
        raise UsageError(f"the function's answer to the sample does not fit its outputs: {error}") from None
    # The function is the author's and may raise anything; the answer is one message.
    except Exception as error:
        if has_init:
            return OwnAnswer(reason=f"without --init the function raises {type(error).__name__} here")
        if force:
            return OwnAnswer(reason=f"it raises {type(error).__name__} here")
        raise UsageError(
            f"nothing was sent, because {name} raises on the sample here already: {type(error).__name__}: {error}; "
            "correct it, give another --sample, or publish all the same (--force)"
        ) from error
    found = OwnAnswer(rows)
    if len(found.json() or b"") > SIZE_LIMIT:
        return OwnAnswer(reason=f"the answer is larger than {SIZE_LIMIT // 2**20} MiB")
    return found


def side_by_side(own: OwnAnswer, service: Service) -> str:
    """Tell, after a publish, what was answered here and in the fresh kernel.

    Parameters
    ----------
    own:
        The answer here.
    service:
        What was published.
    """
    if not own.rows:
        return f"Proof: answered in a fresh kernel, not compared with this notebook, because {own.reason}."
    fresh = _fresh(service, len(own.rows))
    if fresh is None:
        return "Proof: a fresh kernel's answer to the sample is this notebook's."
    lines = [("", "notebook", "fresh kernel")]
    for number, (mine, other) in enumerate(zip(own.rows, fresh, strict=True)):
        row = f"[{number}]" if len(own.rows) > 1 else ""
        lines += [(f"{name}{row}", _short(value), _short(other.get(name))) for name, value in mine.items()]
    shown = lines[:7]
    widths = [max(len(line[column]) for line in shown) for column in range(3)]
    table = "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in shown
    )
    more = f"\n  and {len(lines) - len(shown)} more" if len(lines) > len(shown) else ""
    return f"Proof: a fresh kernel's answer to the sample is this notebook's:\n{table}{more}"


def _fresh(service: Service, count: int) -> list[Outputs] | None:
    """The fresh kernel's answer to each row, as the server kept it; None when it did not."""
    try:
        text = next((one.answer for one in service.revisions() if one.current), "")
    except MLOpsError:
        return None
    read = msgspec.json.decode(text) if text else []
    rows = read if isinstance(read, list) else [read]
    return rows if len(rows) == count else None


def _of_one(function: Callable[..., Any], signature: Signature) -> tuple[Outputs, ...]:
    sample = signature.sample or {}
    values = {one.name: to_python(sample[one.name], one) for one in signature.inputs}
    answer = function(**values)
    if inspect.iscoroutine(answer):
        answer = awaited(answer)
    return (wire_outputs(answer, signature.outputs),)


def _of_rows(function: Callable[..., Any], signature: Signature) -> tuple[Outputs, ...]:
    columns = Columns(function, Definition(inputs=signature.inputs, outputs=signature.outputs))
    rows = signature.rows
    values = columns.call({one.name: [row[one.name] for row in rows] for one in signature.inputs})
    read = columns.read(values, len(rows))
    names = [one.name for one in signature.outputs]
    return tuple({name: column[i] for name, column in zip(names, read, strict=True)} for i in range(len(rows)))


@contextlib.contextmanager
def _put_back(namespace: dict[str, Any]) -> Iterator[None]:
    """Undo what a call rebinds, as a scoring kernel does."""
    before = dict(namespace)
    try:
        yield
    finally:
        for name in namespace.keys() - before.keys():
            del namespace[name]
        for name, value in before.items():
            if namespace.get(name) is not value:
                namespace[name] = value


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
