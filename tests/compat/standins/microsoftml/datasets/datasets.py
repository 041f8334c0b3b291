"""The data sets that are needed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

DATA = Path(__file__).parents[5] / "notebooks" / "data"


class DataSet:
    """A table in a file."""

    def __init__(self, name):
        self.name = name

    def as_df(self):
        return pd.read_csv(DATA / f"{self.name}.csv")


def get_dataset(name):
    return DataSet(name)
