"""Scores a container as the server does: by the worker's own reader and model."""

import pandas as pd

from jupyter_mlops.container import unpack
from jupyter_mlops.realtime.model import Model


def score(container, frame):
    """Every output column's values for the rows of a DataFrame."""
    header, offset = unpack(container)
    model = Model(bytes(container[offset:]), header)
    columns = {
        column.name: [None if pd.isna(value) else value for value in frame[column.name].tolist()]
        for column in header.inputs
    }
    rows = model.reader.checked(columns)
    return model.columns(model.run(model.feeds(rows), rows.count))
