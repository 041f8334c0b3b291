"""Proves, before a revision is visible, that it answers its sample, and that grouping does not change answers."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from jupyter_mlops.errors import InvalidInput, InvalidRequest, MLOpsError, PublishRefused
from jupyter_mlops.inputs import InputReader, Rows, RowsReader
from jupyter_mlops.schema.channel import Outcome
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.kernels.pool import Pool
from jupyter_mlops.server.managers.trial import Answer, Trial

RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""How far an answer may move when it is computed together with others: the last bits do."""

VARIANTS = 3

AGAIN = 5
"""How often a row is asked again by itself when its answer in company was another."""


async def prove(pool: Pool, revision: Revision, trial: Trial) -> list[Answer]:
    """Let the pool's kernel answer the sample, a batchable revision also in company; the answer to each row.

    Parameters
    ----------
    pool:
        Holds a fresh kernel with the revision loaded.
    revision:
        What is proved.
    trial:
        The inputs, and what the author got for them.

    Raises
    ------
    InvalidInput
        When the sample does not fit the declared inputs.
    PublishRefused
        When a sample is not answered, the answer is not the author's own, or it changes from run to run or with the
        company of other rows.
    """
    timeout = revision.definition.timeout
    if not revision.definition.batchable:
        body = msgspec.msgpack.encode(InputReader(revision.definition.inputs).read(trial.sample))
        answer = await _answer(pool, timeout, body, None)
        await trial.check([answer], lambda _: _answer(pool, timeout, body, None))
        return [answer]
    rows = RowsReader(revision.definition.inputs).read(trial.sample)
    alone = [(row, await _alone(pool, timeout, row)) for row in _rows(rows)]
    answers = [answer for _, answer in alone]
    await trial.check(answers, lambda number: _alone(pool, timeout, alone[number][0]))
    for variant in _variants(alone[0][0]):
        try:
            alone.append((variant, await _alone(pool, timeout, variant)))
        except PublishRefused as refusal:  # the function need not take what we made up
            if refusal.__cause__ is not None:  # it hangs, or ends its kernel: more of these would cost as much again
                break
    for order in _orders(len(alone)):
        together = [alone[index][0] for index in order]
        columns = {name: [row[name] for row in together] for name in together[0]}
        outputs = await _answer(pool, timeout, b"", Rows(columns, len(together), single=False))
        for index, (row, expected) in enumerate(alone[which] for which in order):
            company = {name: outputs[name][index] for name in expected}
            if not _same(company, expected):
                raise await _refusal(pool, timeout, row, expected, company)
    return answers


async def _alone(pool: Pool, timeout: float, row: dict[str, Any]) -> dict[str, Any]:
    return await _answer(pool, timeout, b"", Rows({name: [value] for name, value in row.items()}, 1, single=True))


async def _answer(pool: Pool, timeout: float, body: bytes, rows: Rows | None) -> dict[str, Any]:
    try:
        reply = await pool.call(body, timeout, checked=True, rows=rows)
    except InvalidInput:
        raise
    except MLOpsError as error:
        raise PublishRefused(f"the service did not answer its sample: {error}", fields="$.sample") from error
    result = msgspec.json.decode(reply.body, type=WebServiceResult)
    if reply.outcome != Outcome.ANSWERED:
        printed = f"\nIt printed:\n{result.console_output}" if result.console_output else ""
        raise PublishRefused(
            f"the sample raised in a fresh kernel:\n{result.error_message}{printed}", fields="$.sample"
        )
    return result.output_parameters


def _rows(rows: Rows) -> list[dict[str, Any]]:
    if rows.count == 0:
        raise InvalidRequest("the sample holds no row", fields="$.sample")
    return [{name: column[index] for name, column in rows.columns.items()} for index in range(rows.count)]


def _variants(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows that differ from the sample in its numbers: a function that mixes rows shows only on different ones."""

    def vary(value: Any, step: int) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return value + step if isinstance(value, int) else value * (1 + step / 4) + step / 8

    return [{name: vary(value, step) for name, value in row.items()} for step in range(1, VARIANTS + 1)]


def _orders(count: int) -> list[list[int]]:
    """Which rows to run together: all, reversed, each repeated, and a mix."""
    rows = list(range(count))
    return [rows, rows[::-1], [0] * 3, [index for index in rows for _ in range(2)], [*rows[1:], 0, 0]]


async def _refusal(
    pool: Pool, timeout: float, row: dict[str, Any], alone: dict[str, Any], company: dict[str, Any]
) -> PublishRefused:
    """Say whether a row's answer depends on its company, or changes by itself."""
    for _ in range(AGAIN):
        again = await _alone(pool, timeout, row)
        if not _same(again, alone):
            return PublishRefused(
                "the answer to the very same row changes from run to run (does chance, the time or a counter play a "
                "part?), so it cannot be proved that rows which run together keep their answers: for "
                f"{row} it was {alone} and then {again}. Let it depend on the row only, or publish without --batchable",
                fields="$.batchable",
            )
    return PublishRefused(
        "the answer depends on which rows run together, so the service cannot be batchable: for "
        f"{row} it is {alone} alone and {company} among others. Compute each row from its own values only, "
        "or publish without --batchable",
        fields="$.batchable",
    )


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(_near(one[name], other[name]) for name in other)


def _near(one: Any, other: Any) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (one, other))
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE) if numbers else bool(one == other)
