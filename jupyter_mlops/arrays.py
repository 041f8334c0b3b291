"""Arrays and frames that share memory, made again when a snapshot is loaded."""

from __future__ import annotations

from typing import Any


def view(
    base: Any,
    dtype: Any,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    kind: type,
    writable: bool,  # noqa: FBT001  # pickle gives arguments by their place
) -> Any:
    """Make an array on memory that others may use too.

    Parameters
    ----------
    base:
        The memory, as a one-dimensional array of bytes.
    dtype, shape, strides, offset:
        As of `numpy.ndarray`; the last two in bytes.
    kind:
        The array's class.
    writable:
        Whether it may be written through this array.
    """
    import numpy as np

    made: Any = np.ndarray(shape, dtype, base, offset, strides)
    if kind is not np.ndarray:
        made = made.view(kind)
    if not writable:
        made.flags.writeable = False
    return made


def same_block(make: Any, arguments: tuple[Any, ...], references: Any) -> Any:
    """Make a block of a pandas frame that shares its values with other frames' blocks.

    Parameters
    ----------
    make, arguments:
        How pandas itself makes it.
    references:
        What all blocks on these values have in common: pandas copies them when one is written.
    """
    made = make(*arguments)
    made.refs = references
    references.add_reference(made)
    return made
