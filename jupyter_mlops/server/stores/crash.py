"""Places at which a test may have the server end as if it were killed: each commit, rename, sync and start."""

from __future__ import annotations

import itertools
import os

VARIABLE = "JUPYTER_MLOPS_CRASH_AT"

_at = int(os.environ.get(VARIABLE, "0"))
_count = itertools.count(1)


def _crash(site: str) -> None:
    if next(_count) == _at:
        os.write(2, f"ending at site {_at}: {site}\n".encode())
        os._exit(137)


def _pass(site: str) -> None:
    """Do nothing."""


crashpoint = _crash if _at else _pass
"""Called with the name of a site; at the n-th, n being the value of `VARIABLE`, the process ends at once."""
