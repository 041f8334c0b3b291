"""A sample, in whichever form it was given, to values by input name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.types import Parameter, ValueType

_COLLECTIONS = frozenset({ValueType.VECTOR, ValueType.MATRIX, ValueType.DATA_FRAME})


def arrange(
    sample: Any, names: list[str], optional: frozenset[str], declared: Mapping[str, Parameter]
) -> dict[str, Any]:
    """Give each input its value.

    Parameters
    ----------
    sample:
        A value, a tuple in the order of the inputs, a dict, or one row of a DataFrame or array.
    names:
        The inputs in their order.
    optional:
        Those that may be left out.
    declared:
        Types that are known already: a single input that is a collection takes a collection whole.

    Raises
    ------
    InvalidRequest
        Saying what is missing or too much.
    """
    single = len(names) == 1
    whole = single and names[0] in declared and declared[names[0]].type in _COLLECTIONS
    if isinstance(sample, Mapping):
        if not whole or set(sample) == set(names):
            return _by_name(dict(sample), names, optional)
        return {names[0]: sample}
    if hasattr(sample, "columns") and hasattr(sample, "iloc"):
        return _from_frame(sample, names, optional, whole=whole)
    if hasattr(sample, "to_dict") and hasattr(sample, "index"):
        if whole or not set(sample.index) >= set(names) - optional:
            return _positional([sample], names, optional)
        return {name: sample[name] for name in names if name in sample.index}
    if whole or (single and names[0] not in declared and not isinstance(sample, tuple)):
        return {names[0]: sample[0] if isinstance(sample, tuple) and len(sample) == 1 else sample}
    if hasattr(sample, "shape") and len(sample.shape) in {1, 2}:
        return _positional(_row(sample), names, optional)
    if isinstance(sample, list) and len(sample) == 1 and isinstance(sample[0], list | tuple):
        return _positional(list(sample[0]), names, optional)
    return _positional(list(sample) if isinstance(sample, list | tuple) else [sample], names, optional)


def is_column(value: Any) -> bool:
    """Whether a value is a list, tuple, array or Series: the values of several rows."""
    return isinstance(value, list | tuple) or len(getattr(value, "shape", ())) == 1


def _by_name(sample: dict[Any, Any], names: list[str], optional: frozenset[str]) -> dict[str, Any]:
    missing = [name for name in names if name not in sample and name not in optional]
    unknown = [str(name) for name in sample if name not in names]
    if missing or unknown:
        parts = ([f"lacks {', '.join(missing)}"] if missing else []) + (
            [f"has {', '.join(unknown)}, which are no inputs"] if unknown else []
        )
        raise InvalidRequest(f"the sample {' and '.join(parts)}; the inputs are {', '.join(names) or 'none'}")
    return {name: sample[name] for name in names if name in sample}


def _from_frame(sample: Any, names: list[str], optional: frozenset[str], *, whole: bool) -> dict[str, Any]:
    if whole or not set(sample.columns) >= set(names) - optional:
        return _positional([sample], names, optional)
    if len(sample) != 1:
        raise InvalidRequest(f"the sample has {len(sample)} rows; give one, such as --sample X.head(1)")
    return {name: sample[name].iloc[0] for name in names if name in sample.columns}


def _row(sample: Any) -> list[Any]:
    if len(sample.shape) == 1:
        return list(sample)
    if len(sample) != 1:
        raise InvalidRequest(f"the sample has {len(sample)} rows; give one, such as --sample X[:1]")
    return list(sample[0])


def _positional(values: list[Any], names: list[str], optional: frozenset[str]) -> dict[str, Any]:
    least = len([name for name in names if name not in optional])
    if not least <= len(values) <= len(names):
        wants = f"{least} to {len(names)}" if least != len(names) else str(least)
        raise InvalidRequest(
            f"the sample holds {len(values)} value{'s' * (len(values) != 1)}, and there are {wants} inputs "
            f"({', '.join(names) or 'none'})"
        )
    return dict(zip(names, values, strict=False))
