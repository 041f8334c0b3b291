"""What the rx_ functions return: a model that predicts, tells about itself, and can be serialized."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.models import linear
from jupyter_mlops.models.design import Design
from jupyter_mlops.models.original import Original


class FormulaModel(ABC):
    """A model of a formula.

    Parameters
    ----------
    formula:
        As it was given.
    target:
        The column that it explains.
    design:
        What makes the matrix of other rows.
    kind:
        The function that made it.
    """

    def __init__(self, formula: str, target: str, design: Design, kind: str) -> None:
        self.formula = formula
        self.target = target
        self.design = design
        self.kind = kind

    @property
    def output(self) -> str:
        """The name of the column of predictions."""
        return f"{self.target}_Pred"

    @abstractmethod
    def predict(self, data: Any) -> Any:
        """A DataFrame of predictions for a DataFrame of rows."""

    @abstractmethod
    def as_original(self, sample: Any) -> Original:
        """The model as `serialize_model` takes it."""

    def __repr__(self) -> str:
        return f"<{self.kind}: {self.formula}>"


class LinearFormula(FormulaModel):
    """What rx_lin_mod and rx_logit return.

    Parameters
    ----------
    formula, target, design, kind:
        As of `FormulaModel`.
    results:
        Of statsmodels; it has the standard errors, tests and diagnostics.
    """

    def __init__(self, formula: str, target: str, design: Design, kind: str, results: Any) -> None:
        super().__init__(formula, target, design, kind)
        self.results = results

    @property
    def coefficients(self) -> Any:
        """The coefficients as a Series, by their names."""
        import pandas as pd

        names = ["(Intercept)" if name == "Intercept" else name for name in self.design.names]
        return pd.Series(self.results.params, index=names, name="Estimate")

    def predict(self, data: Any) -> Any:
        """A DataFrame with one column: of rx_logit, probabilities."""
        import numpy as np
        import pandas as pd

        return pd.DataFrame({self.output: np.asarray(self.results.predict(self.design.matrix(data)), dtype=float)})

    def as_original(self, sample: Any) -> Original:
        """The model as `serialize_model` takes it."""
        import statsmodels

        link = "Sigmoid" if self.kind == "rx_logit" else ""
        return linear.FormulaModel(
            self.design, self.results.params, link, f"statsmodels {statsmodels.__version__}", self.kind,
            predict=self.predict, sample=sample, output=self.output,
        )  # fmt: skip

    def summary(self) -> Any:
        """Statsmodels' own table of the coefficients, with standard errors and tests."""
        return self.results.summary(xname=list(self.coefficients.index))

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n{self.coefficients.to_string()}"


class TreesFormula(FormulaModel):
    """What rx_dtree, rx_dforest and rx_btrees return.

    Parameters
    ----------
    formula, target, design, kind:
        As of `FormulaModel`.
    estimator:
        Of scikit-learn, fitted to the design matrix.
    """

    def __init__(self, formula: str, target: str, design: Design, kind: str, estimator: Any) -> None:
        super().__init__(formula, target, design, kind)
        self.estimator = estimator

    @property
    def classes(self) -> list[Any]:
        """The classes, when it chooses one."""
        return [one.item() if hasattr(one, "item") else one for one in getattr(self.estimator, "classes_", ())]

    def predict(self, data: Any, kind: str = "") -> Any:
        """A DataFrame of predictions.

        Parameters
        ----------
        data:
            The rows.
        kind:
            `"prob"` for a column of probability for each class, `"class"` for the class, `"vector"` or nothing for
            what the method gives.

        Raises
        ------
        InvalidRequest
            When there are no classes, and probabilities are asked for.
        """
        import pandas as pd

        matrix = self.design.matrix(data)
        if kind == "prob":
            if not self.classes:
                raise InvalidRequest(f"{self.kind} was trained on numbers, and has no classes to be probable")
            likely = self.estimator.predict_proba(matrix)
            return pd.DataFrame({f"{one}_prob": likely[:, i] for i, one in enumerate(self.classes)})
        return pd.DataFrame({self.output: self.estimator.predict(matrix)})

    def as_original(self, sample: Any) -> Original:
        """The model as `serialize_model` takes it."""
        from jupyter_mlops.models.composed import ComposedModel

        return ComposedModel(self.design, self.estimator, self.kind, self.output, sample)
