"""What a revision is tried with before it is visible, and how its answer is compared with the author's own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from jupyter_mlops.errors import InvalidRequest, PublishRefused

TOLERANCE = 1e-9
"""How far a number may lie from the author's, as a share of it; other libraries of one machine differ less."""

ZERO = 1e-12
"""How far from 0 a number may be that is compared with 0, unless the tolerance is 0."""

AGAIN = 3
"""How often the sample is asked again when the answers differ, to tell chance from a fault."""

_WIDEST = 48

Answer = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """The inputs that a fresh kernel must answer, and what the author got for them.

    Parameters
    ----------
    sample:
        The inputs as JSON.
    expected:
        The author's own outputs as JSON, an object or a list of one for each row; empty when they are not known.
    tolerance:
        Relative; 0 for exactly the same.
    """

    sample: bytes
    expected: bytes = b""
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1:
            raise InvalidRequest(f"a tolerance is a share from 0 to 1, not {self.tolerance}", fields="$.tolerance")

    async def check(self, answers: list[Answer], again: Callable[[int], Awaitable[Answer]]) -> None:
        """Compare the fresh kernel's answers with the author's.

        Parameters
        ----------
        answers:
            One for each row of the sample.
        again:
            Asks the kernel for a row's answer once more.

        Raises
        ------
        PublishRefused
            Showing both answers, and which output differs.
        """
        if not self.expected:
            return
        read = msgspec.json.decode(self.expected)
        rows = read if isinstance(read, list) else [read]
        if len(rows) != len(answers) or not all(isinstance(row, dict) for row in rows):
            raise InvalidRequest(
                f"`expected` holds the outputs of each row of the sample, and there are {len(answers)}",
                fields="$.expected",
            )
        for number, (own, fresh) in enumerate(zip(rows, answers, strict=True)):
            if next(self._differences(own, fresh, ""), None) is None:
                continue
            for _ in range(AGAIN):
                once_more = await again(number)
                if next(self._differences(fresh, once_more, ""), None) is not None:
                    raise _changing(fresh, once_more)
            raise self._refusal(own, fresh, f" (row {number + 1})" if len(rows) > 1 else "")

    def _refusal(self, own: Answer, fresh: Answer, row: str) -> PublishRefused:
        found = list(itertools.islice(self._differences(own, fresh, ""), 4))
        told = "; ".join(f"{path} is {_short(one)} there and {_short(other)} here" for path, one, other in found[:3])
        more = "; and more" if len(found) > 3 else ""  # noqa: PLR2004
        names = list(dict.fromkeys([*own, *fresh]))
        wrong = {path.partition("[")[0].partition(".")[0] for path, _, _ in found}
        table = [("", "notebook", "fresh kernel")]
        table += [(("! " if name in wrong else "  ") + name, _shown(own, name), _shown(fresh, name)) for name in names]
        return PublishRefused(
            f"the fresh kernel's answer to the sample is not the notebook's own{row}:\n{_aligned(table)}\n"
            f"{told}{more}. Does the function depend on something that did not go along, or that differs here (a file, "
            "an environment variable, a library's version)? Mend that, allow for it (--tolerance, now "
            f"{self.tolerance:g}), or publish all the same (--force)",
            fields="$.expected",
        )

    def _differences(self, one: Any, other: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
        """Where two wire values differ, and what stands there."""
        if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
            for name, part in one.items():
                yield from self._differences(part, other[name], f"{path}.{name}" if path else name)
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            for index, (part, twin) in enumerate(zip(one, other, strict=True)):
                yield from self._differences(part, twin, f"{path}[{index}]")
        elif not self._same(one, other):
            yield path, one, other

    def _same(self, one: Any, other: Any) -> bool:
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
        if numbers and isinstance(one + other, float):
            return math.isclose(one, other, rel_tol=self.tolerance, abs_tol=ZERO if self.tolerance else 0.0)
        return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _changing(once: Answer, again: Answer) -> PublishRefused:
    return PublishRefused(
        "the function answers the very same sample differently from call to call, so that its answer proves nothing "
        f"(does chance, the time, or a counter play a part?):\n{_aligned(_columns(once, again))}\n"
        "Give it a seed of its own in each call, or publish all the same (--force)",
        fields="$.expected",
    )


def _columns(once: Answer, again: Answer) -> list[tuple[str, str, str]]:
    rows = [(name, _shown(once, name), _shown(again, name)) for name in dict.fromkeys([*once, *again])]
    return [("", "first", "then"), *rows]


def _aligned(rows: list[tuple[str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def _shown(answer: Answer, name: str) -> str:
    return _short(answer[name]) if name in answer else "(none)"


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
