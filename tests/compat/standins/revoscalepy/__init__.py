"""Stands in for Microsoft's revoscalepy, which is gone: the names and results that its sample notebooks need."""

from __future__ import annotations

import numpy as np
import pandas as pd


class RxLinMod:
    """A linear model; dill knows it by the name of this module."""

    def __init__(self, response, names, coefficients):
        self.response = response
        self.names = names
        self.coefficients = coefficients


def rx_lin_mod(formula, data):
    response, _, terms = (part.strip() for part in formula.partition("~"))
    names = [term.strip() for term in terms.split("+")]
    columns = np.column_stack([np.ones(len(data)), data[names]])
    coefficients, *_ = np.linalg.lstsq(columns, data[response], rcond=None)
    return RxLinMod(response, names, coefficients)


def rx_predict(model, data):
    print(f"Rows Read: {len(data)}, Total Rows Processed: {len(data)}, Total Chunk Time: Less than .001 seconds ")
    predicted = np.column_stack([np.ones(len(data)), data[model.names]]) @ model.coefficients
    return pd.DataFrame({f"{model.response}_Pred": predicted})
