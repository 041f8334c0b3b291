"""Linear models with a formula or plain columns: statsmodels' OLS, WLS and Logit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jupyter_mlops.container import InputColumn, OutputColumn, Scalar
from jupyter_mlops.errors import InvalidRequest, PublishRefused
from jupyter_mlops.models.design import Design
from jupyter_mlops.models.graph import numbered
from jupyter_mlops.models.original import Candidate, Original
from jupyter_mlops.models.plain import PlainGraph
from jupyter_mlops.models.rows import rows_between
from jupyter_mlops.models.sample import frame_of

_LINKS = {"OLS": "", "WLS": "", "GLS": "", "Logit": "Sigmoid"}


def original_of(model: Any, sample: Any) -> Original:
    """The results of a statsmodels model, ready to be converted.

    Raises
    ------
    PublishRefused
        When it is another model than OLS, WLS, GLS or Logit.
    """
    import statsmodels

    results = getattr(model, "_results", model)
    kind = type(getattr(results, "model", None)).__name__
    if kind not in _LINKS or not hasattr(model, "params"):
        raise PublishRefused(
            f"statsmodels' {kind} has no known form as a graph: the results of OLS, WLS, GLS and Logit have "
            "(the object that .fit() returns). A standard service runs any model"
        )
    library = f"statsmodels {statsmodels.__version__}"
    formula = getattr(results.model, "formula", None)
    if formula:
        design, coefficients = _aligned(results, formula)
        return FormulaModel(design, coefficients, _LINKS[kind], library, kind, predict=model.predict, sample=sample)
    return ColumnsModel(model, _LINKS[kind], library, kind, sample)


def _aligned(results: Any, formula: str) -> tuple[Design, Any]:
    """The design matrix as formulaic makes it, with the coefficients in its order: statsmodels' own may be another."""
    import numpy as np

    design = Design(formula, results.model.data.frame)
    exog = np.asarray(results.model.exog, dtype=float)
    fitted = np.asarray(design.fitted, dtype=float)
    params = np.asarray(results.params, dtype=float)
    coefficients = np.full(fitted.shape[1], np.nan)
    if fitted.shape[0] == exog.shape[0]:
        for i, column in enumerate(fitted.T):
            same = np.flatnonzero(np.all(np.isclose(exog, column[:, None], rtol=1e-12, atol=1e-12), axis=0))
            if same.size:
                coefficients[i] = params[same[0]]
    if fitted.shape != exog.shape or np.isnan(coefficients).any():
        raise PublishRefused(
            f"the formula {formula!r} has no known form as a graph: statsmodels made other columns of it. "
            "jupyter_mlops.compat.revoscalepy's rx_lin_mod and rx_logit take formulas too"
        )
    return design, coefficients


class FormulaModel(Original):
    """Coefficients on a formula's design matrix.

    Parameters
    ----------
    design:
        What makes the columns.
    coefficients:
        One for each of them.
    link:
        An ONNX operator for the sum, or nothing.
    library, kind:
        Where the model came from.
    predict:
        The model's own answers to a DataFrame.
    sample:
        Rows that it takes, or None.
    output:
        The name of the answers' column.
    """

    def __init__(
        self, design: Design, coefficients: Any, link: str, library: str, kind: str, *,
        predict: Any, sample: Any = None, output: str = "prediction",
    ) -> None:  # fmt: skip
        self.library = library
        self.kind = kind
        self._design = design
        self._coefficients = coefficients
        self._link = link
        self._predict = predict
        self._output = output
        self._sample = frame_of(sample, design.variables)
        self.others = design.others

    def candidates(self) -> Iterator[Candidate]:
        """The one form: the design matrix, times the coefficients, and the link."""
        import numpy as np

        inputs = self._design.inputs()
        graph = PlainGraph(inputs)
        column = np.asarray(self._coefficients, dtype=float).reshape(-1, 1)
        made = graph.node("MatMul", [self._design.write(graph), graph.constant(column)])
        made = graph.node(self._link, [made]) if self._link else made
        output = OutputColumn(name=self._output, type="double", onnx_output=made)
        yield Candidate(graph.model(made, 1).SerializeToString(), inputs, (output,))

    def known(self) -> dict[str, tuple[Scalar, ...]]:
        """By column, the levels of its factors."""
        return self._design.levels()

    def rows(self, count: int) -> Any:
        """The sample's rows, and rows between the data's extremes."""
        return rows_between(self._design.inputs(), self._sample, count, self._design.seen)

    def answer(self, rows: Any) -> dict[str, Any]:
        """What the model itself predicts."""
        import numpy as np

        with np.errstate(all="ignore"):  # rows are made that no one would ask for, such as of negative numbers to log
            return {self._output: np.asarray(self._predict(rows), dtype=float).reshape(len(rows), -1)[:, 0]}


class ColumnsModel(Original):
    """Coefficients on plain columns; one that is constant, as `add_constant` makes it, is not asked for.

    Parameters
    ----------
    model:
        The results.
    link, library, kind, sample:
        As of `FormulaModel`.
    """

    def __init__(self, model: Any, link: str, library: str, kind: str, sample: Any) -> None:
        import numpy as np

        self.library = library
        self.kind = kind
        self._model = model
        self._link = link
        names = [str(name) for name in model.model.exog_names]
        exog = np.asarray(model.model.exog, dtype=float)
        self._constant = next((i for i, name in enumerate(names) if name == "const" and np.ptp(exog[:, i]) == 0), None)
        self._value = 0.0 if self._constant is None else float(exog[0, self._constant])
        self._names = [name for i, name in enumerate(names) if i != self._constant]
        if not self._names:
            raise InvalidRequest("the model has no columns but its constant")
        self._sample = frame_of(_without_constant(sample, self._names), self._names)
        self._extremes = {name: exog[:, names.index(name)] for name in self._names}

    def candidates(self) -> Iterator[Candidate]:
        """The one form: the columns times the coefficients."""
        import numpy as np

        params = np.asarray(self._model.params, dtype=float)
        constant = 0.0 if self._constant is None else params[self._constant] * self._value
        rest = np.array([one for i, one in enumerate(params) if i != self._constant]).reshape(-1, 1)
        shared = numbered(self._names, "double", "X")
        graph = PlainGraph(()).taking("X", len(self._names))
        made = graph.node(
            "Add", [graph.node("MatMul", ["X", graph.constant(rest)]), graph.constant(np.array([constant]))]
        )
        made = graph.node(self._link, [made]) if self._link else made
        output = OutputColumn(name="prediction", type="double", onnx_output=made)
        yield Candidate(graph.model(made, 1).SerializeToString(), shared, (output,))

    def rows(self, count: int) -> Any:
        """The sample's rows, and rows around the training data's."""
        columns: Sequence[InputColumn] = numbered(self._names, "double", "X")
        return rows_between(columns, self._sample, count, self._extremes)

    def answer(self, rows: Any) -> dict[str, Any]:
        """What the model itself predicts."""
        import numpy as np

        values = rows[self._names].to_numpy(dtype=float)
        if self._constant is not None:
            values = np.insert(values, self._constant, self._value, axis=1)
        return {"prediction": np.asarray(self._model.predict(values), dtype=float)}


def _without_constant(sample: Any, names: list[str]) -> Any:
    columns = getattr(sample, "columns", ())
    return sample[names] if "const" in columns and set(names) <= set(columns) else sample
