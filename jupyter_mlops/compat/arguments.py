"""Arguments of Machine Learning Server's functions: which are minded, which change nothing here, which are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_mlops.errors import InvalidRequest

HARMLESS = frozenset({
    "blocks_per_read", "report_progress", "verbose", "compute_context", "row_selection", "cube", "variable_selection",
    "covariance", "cov_coef", "covCoef", "cov_data", "xdf_compression_level", "max_rows_in_mem", "ml_transforms",
    "ml_transform_vars", "normalize", "train_threads", "memory_size", "overwrite", "append", "n_thread",
})  # fmt: skip
"""How Machine Learning Server's own engine read, kept and told; there is no such engine here."""

_UNSUPPORTED = {
    "row_selection": "select the rows of the data frame before: data[data.column > 1]",
    "transforms": "calculate the columns before, or in the formula: log(x), I(x ** 2)",
    "transform_objects": "calculate the columns before",
    "transform_function": "calculate the columns before",
    "transform_variables": "calculate the columns before",
    "ml_transforms": "put the steps into a scikit-learn Pipeline, and serialize that",
    "cube": "leave it out: the coefficients are the same",
    "variable_selection": "choose the terms of the formula",
}


def check(function: str, given: Mapping[str, Any], translated: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What of the further arguments is minded, under the names that scikit-learn uses.

    Parameters
    ----------
    function:
        Whose arguments they are, for the refusal.
    given:
        The arguments.
    translated:
        Names here, by the names there.

    Raises
    ------
    InvalidRequest
        For an argument that would change the model and is not known.
    """
    names = translated or {}
    minded: dict[str, Any] = {}
    for name, value in given.items():
        if name in names:
            minded[names[name]] = value
        elif name in _UNSUPPORTED and value:
            raise InvalidRequest(f"{function}: {name} is not offered here; {_UNSUPPORTED[name]}")
        elif name not in HARMLESS and name not in _UNSUPPORTED:
            known = ", ".join(sorted(names)) or "none"
            raise InvalidRequest(
                f"{function} has no argument {name!r}; beside the formula and the data it takes: {known}"
            )
    return minded
