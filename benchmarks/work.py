"""What is served: the functions that every contestant runs, and what their answers must be."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

DATA = Path(__file__).parents[1] / "notebooks" / "data" / "mtcars.csv"
FEATURES = ["hp", "wt"]
CPU_SECONDS = 0.02
"""How long one call of `burn` computes on this machine when nothing else runs."""


def train(strength: float = 1.0) -> LogisticRegression:
    """Fit the model of `cars`; another strength gives another model, and so another snapshot."""
    table = pd.read_csv(DATA)
    return LogisticRegression(C=strength, max_iter=10_000).fit(table[FEATURES], table["am"])


MODEL = train()


def add(x: float, y: float) -> float:
    """Do next to nothing, so that only the framework's own cost is seen."""
    return x + y


def cars(hp: float, wt: float) -> float:
    """Score one row, as most published functions do."""
    row = pd.DataFrame([[hp, wt]], columns=FEATURES)
    return float(MODEL.predict_proba(row)[0, 1])


def cars_rows(hp: np.ndarray, wt: np.ndarray) -> np.ndarray:
    """Score all rows that wait together: the batchable form of `cars`."""
    rows = pd.DataFrame({"hp": hp, "wt": wt})
    return MODEL.predict_proba(rows)[:, 1]


def burn(steps: int) -> float:
    """Compute without waiting: a fixed amount of work, because time spent spinning would scale by itself."""
    total = 0.0
    for step in range(steps):
        total += step * 0.5
    return total


@functools.cache
def steps_of_a_call() -> int:
    """How many steps `burn` takes `CPU_SECONDS` for, by the fastest of several tries.

    Counted once, so that one kernel and two kernels are given the same work.
    """
    tried = 100_000
    fastest = min(_seconds(tried) for _ in range(9))
    return int(tried * CPU_SECONDS / fastest)


def _seconds(steps: int) -> float:
    started = time.perf_counter()
    burn(steps)
    return time.perf_counter() - started
