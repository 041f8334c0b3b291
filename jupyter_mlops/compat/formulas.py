"""Formulas as Machine Learning Server wrote them, for formulaic."""

from __future__ import annotations

import re
from typing import Any

from jupyter_mlops.errors import InvalidRequest

_FACTOR = re.compile(r"(?<![\w.])F\(")
_POWER = re.compile(r"\^")


def split(formula: str, data: Any) -> tuple[str, str]:
    """The left side's column, and the right side as formulaic reads it.

    Parameters
    ----------
    formula:
        Such as `"am ~ hp + F(gear) + wt:hp - 1"`; `.` means all other columns.
    data:
        The DataFrame that it is about.

    Raises
    ------
    InvalidRequest
        When there is no column of the left side.
    """
    if str(formula).count("~") != 1:
        raise InvalidRequest(f"a formula is a text such as 'y ~ a + b', and {formula!r} came")
    left, right = (side.strip() for side in formula.split("~"))
    target = left.strip("`")
    if target not in data:
        raise InvalidRequest(
            f"the data has no column {target!r}, which the formula explains; it has {', '.join(map(str, data.columns))}"
        )
    if not right:
        raise InvalidRequest(f"the formula {formula!r} has nothing on its right side")
    others = [f"`{name}`" if not str(name).isidentifier() else str(name) for name in data.columns if name != target]
    right = re.sub(r"(?<![\w.)`])\.(?![\w.])", f"({' + '.join(others)})", right)
    return target, _POWER.sub("**", _FACTOR.sub("C(", right))


def complete(data: Any, names: list[str]) -> Any:
    """The rows in which no value of these columns is missing, as the old functions took them."""
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise InvalidRequest(
            f"data is a pandas DataFrame, and {type(data).__name__} came: read the file or table before"
        )
    present = [name for name in names if name in data]
    return data.dropna(subset=present).reset_index(drop=True)
