"""The functions of `revoscalepy` that realtime services took, over statsmodels and scikit-learn.

An old notebook runs after one changed import: `from jupyter_mlops.compat.revoscalepy import rx_lin_mod, rx_predict`.
The models are statsmodels' and scikit-learn's, so trees are not the same trees; rx_lin_mod and rx_logit give the same
coefficients.
"""

from __future__ import annotations

from typing import Any

from jupyter_mlops.compat.arguments import check
from jupyter_mlops.compat.fitted import FormulaModel, LinearFormula, TreesFormula
from jupyter_mlops.compat.formulas import complete, split
from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.models import SerializedModel, serialize_model
from jupyter_mlops.models.design import Design
from jupyter_mlops.models.original import need

__all__ = [
    "rx_btrees",
    "rx_dforest",
    "rx_dtree",
    "rx_lin_mod",
    "rx_logit",
    "rx_predict",
    "rx_serialize_model",
]

EXTRA = "'jupyter_mlops[revoscalepy]'"
_TREE = {"max_depth": "max_depth", "min_split": "min_samples_split", "min_bucket": "min_samples_leaf", "cp": "cp"}
_TREE |= {"seed": "random_state", "n_min_split": "min_samples_split", "max_leaf_nodes": "max_leaf_nodes"}


def rx_lin_mod(
    formula: str, data: Any, pweights: str | None = None, fweights: str | None = None, **more: Any
) -> LinearFormula:
    """Fit a linear model.

    Parameters
    ----------
    formula:
        Such as `"mpg ~ hp + F(gear) * wt"`.
    data:
        A DataFrame; rows in which a value is missing are left out.
    pweights, fweights:
        The column of weights, of probability or of frequency.
    more:
        Further arguments of the old function; those that only concerned its engine change nothing.

    Raises
    ------
    InvalidRequest
        When the formula does not fit the data, or an argument is not known.
    """
    check("rx_lin_mod", more)
    target, design, rows = _designed(formula, data, weights=[pweights, fweights])
    models = need("statsmodels.api", EXTRA)
    weights = pweights or fweights
    answers = _numbers(rows, target)
    if weights:
        results = models.WLS(answers, design.fitted.to_numpy(dtype=float), weights=rows[weights].to_numpy(float)).fit()
    else:
        results = models.OLS(answers, design.fitted.to_numpy(dtype=float)).fit()
    return LinearFormula(formula, target, design, "rx_lin_mod", results)


def rx_logit(formula: str, data: Any, **more: Any) -> LinearFormula:
    """Fit a logistic model without penalty.

    Parameters
    ----------
    formula:
        Its left side is a column of 0 and 1, or of True and False, or of two levels, of which the later is 1.
    data:
        A DataFrame; rows in which a value is missing are left out.
    more:
        `max_iterations`, `coef_tolerance`, and further arguments that change nothing.

    Raises
    ------
    InvalidRequest
        When the formula does not fit the data, the classes are told apart completely, or an argument is not known.
    """
    settings = check(
        "rx_logit", more, {"max_iterations": "maxiter", "coef_tolerance": "tol", "gradient_tolerance": "gtol"}
    )
    settings.pop("gtol", None)
    target, design, rows = _designed(formula, data)
    models = need("statsmodels.api", EXTRA)
    separated = need("statsmodels.tools.sm_exceptions").PerfectSeparationError
    import numpy as np

    answers = _two(rows, target)
    try:
        made = models.Logit(answers, design.fitted.to_numpy(dtype=float))
        results = made.fit(disp=0, **{"maxiter": 100, "tol": 1e-10, **settings})
    except (separated, np.linalg.LinAlgError) as error:
        raise InvalidRequest(
            f"rx_logit: the coefficients have no end ({error}): columns tell the classes apart completely, or follow "
            "from one another. Leave a term out"
        ) from None
    return LinearFormula(formula, target, design, "rx_logit", results)


def rx_dtree(formula: str, data: Any, method: str | None = None, **more: Any) -> TreesFormula:
    """Fit a decision tree.

    Parameters
    ----------
    formula, data:
        As of `rx_lin_mod`.
    method:
        `"class"` or `"anova"`; by the left side's column when it is not given.
    more:
        `max_depth`, `min_split`, `min_bucket`, `cp`, `seed`, and further arguments that change nothing.
    """
    settings = check("rx_dtree", more, _TREE)
    if "cp" in settings:
        settings["ccp_alpha"] = settings.pop("cp")
    settings = {"random_state": 0, "max_depth": 10, **settings}
    return _trees("rx_dtree", formula, data, method, "DecisionTree", settings)


def rx_dforest(formula: str, data: Any, method: str | None = None, n_tree: int = 10, **more: Any) -> TreesFormula:
    """Fit a forest of decision trees.

    Parameters
    ----------
    formula, data, method:
        As of `rx_dtree`.
    n_tree:
        How many trees.
    more:
        `m_try`, `max_depth`, `min_split`, `min_bucket`, `seed`, `replace`, and further arguments that change nothing.
    """
    known = {**_TREE, "m_try": "max_features", "replace": "bootstrap", "import_": "import_", "importance": "importance"}
    settings = check("rx_dforest", more, known)
    for name in ("cp", "import_", "importance"):
        settings.pop(name, None)
    settings = {"random_state": 0, "max_depth": 10, **settings, "n_estimators": n_tree}
    return _trees("rx_dforest", formula, data, method, "RandomForest", settings)


def rx_btrees(
    formula: str, data: Any, loss_function: str | None = None, n_tree: int = 10, learning_rate: float = 0.1, **more: Any
) -> TreesFormula:
    """Fit boosted decision trees.

    Parameters
    ----------
    formula, data:
        As of `rx_lin_mod`.
    loss_function:
        `"bernoulli"` or `"multinomial"` for classes, `"gaussian"` for numbers; by the left side's column when it is
        not given.
    n_tree, learning_rate:
        How many trees, and how much of each is taken.
    more:
        `max_depth`, `min_split`, `min_bucket`, `sampling_rate`, `seed`, and further arguments that change nothing.

    Raises
    ------
    InvalidRequest
        When the loss function or an argument is not known.
    """
    methods = {None: None, "bernoulli": "class", "multinomial": "class", "adaBoost": "class", "gaussian": "anova"}
    if loss_function not in methods:
        raise InvalidRequest(
            f"rx_btrees: loss_function is bernoulli, multinomial, adaBoost or gaussian; {loss_function!r} came"
        )
    settings = check("rx_btrees", more, {**_TREE, "sampling_rate": "subsample", "m_try": "max_features"})
    settings.pop("cp", None)
    settings = {"random_state": 0, "max_depth": 1, **settings, "n_estimators": n_tree, "learning_rate": learning_rate}
    if loss_function == "adaBoost":
        settings["loss"] = "exponential"
    return _trees("rx_btrees", formula, data, methods[loss_function], "GradientBoosting", settings)


def rx_predict(
    model: Any, data: Any, output_data: Any = None, type: str | None = None, write_model_vars: bool = False,  # noqa: A002, FBT001, FBT002
    extra_vars_to_write: list[str] | None = None, **more: Any,
) -> Any:  # fmt: skip
    """Predict, with a model of these functions or any estimator of scikit-learn's.

    Parameters
    ----------
    model:
        What an rx_ function returned.
    data:
        A DataFrame of rows.
    output_data:
        Kept empty: the predictions are returned.
    type:
        Of trees: `"prob"`, `"class"` or `"vector"`. Of the others: `"response"` or `"link"`.
    write_model_vars:
        Whether the model's columns are returned too.
    extra_vars_to_write:
        Further columns of the data to return.
    more:
        Further arguments that change nothing.

    Raises
    ------
    InvalidRequest
        When the data does not fit the model.
    """
    import pandas as pd

    known = {"predict_var_names": "names", "compute_standard_errors": "errors", "compute_residuals": "residuals"}
    settings = check("rx_predict", more, known)
    if output_data is not None or settings.get("errors") or settings.get("residuals"):
        raise InvalidRequest(
            "rx_predict returns the predictions: write them with .to_csv(...) or .to_sql(...); standard errors and "
            "residuals are in model.results"
        )
    made = _predicted(model, data, type)
    if settings.get("names"):
        made.columns = [settings["names"]] if isinstance(settings["names"], str) else list(settings["names"])
    more_columns = list(extra_vars_to_write or [])
    if write_model_vars and isinstance(model, FormulaModel):
        more_columns += [name for name in [*model.design.variables, model.target] if name in data]
    if not more_columns:
        return made
    return pd.concat([made, data[list(dict.fromkeys(more_columns))].reset_index(drop=True)], axis=1)


def _predicted(model: Any, data: Any, kind: str | None) -> Any:
    import numpy as np
    import pandas as pd

    if isinstance(model, TreesFormula):
        return model.predict(data, "" if kind in {None, "vector", "response"} else str(kind))
    if isinstance(model, LinearFormula):
        made = model.predict(data)
        if kind == "link" and model.kind == "rx_logit":
            made = np.log(made / (1 - made))
        return made
    if not hasattr(model, "predict"):
        raise InvalidRequest(f"rx_predict takes what an rx_ function returned, and {model.__class__.__name__} came")
    return pd.DataFrame({"prediction": np.asarray(model.predict(data)).reshape(len(data), -1)[:, 0]})


def rx_serialize_model(model: Any, realtime_scoring_only: bool = False, *, quiet: bool = True) -> SerializedModel:  # noqa: FBT001, FBT002
    """Make the bytes that a realtime service is published with.

    Parameters
    ----------
    model:
        What an rx_ function returned, or anything that `jupyter_mlops.serialize_model` takes.
    realtime_scoring_only:
        True: these bytes serve nothing else.
    quiet:
        Whether to print no table of the comparison.

    Raises
    ------
    InvalidRequest
        When the bytes are wanted to load the model again.
    PublishRefused
        When a part of the formula has no form as a graph: which.
    """
    if not realtime_scoring_only:
        raise InvalidRequest(
            "rx_serialize_model(model, realtime_scoring_only=True) makes a realtime service's bytes; to load a model "
            "again in Python, keep it with pickle or joblib, or in a snapshot"
        )
    return serialize_model(model, quiet=quiet)


def _designed(formula: str, data: Any, *, every_level: bool = False, weights: Any = ()) -> tuple[str, Design, Any]:
    complete(data, [])
    target, right = split(formula, data)
    variables = Design(right, data.head(0) if len(data) == 0 else data, every_level=every_level).variables
    rows = complete(data, [target, *variables, *filter(None, weights)])
    if not len(rows):
        raise InvalidRequest("the data has no row in which all the formula's columns have a value")
    return target, Design(right, rows, every_level=every_level), rows


def _numbers(rows: Any, target: str) -> Any:
    try:
        return rows[target].to_numpy(dtype=float)
    except (ValueError, TypeError):
        raise InvalidRequest(f"rx_lin_mod explains numbers, and {target} holds {rows[target].iloc[0]!r}") from None


def _two(rows: Any, target: str) -> Any:
    levels = sorted(rows[target].unique())
    if len(levels) != 2:  # noqa: PLR2004
        raise InvalidRequest(f"rx_logit explains two classes, and {target} has {len(levels)}: {levels[:5]}")
    return (rows[target] == levels[1]).to_numpy(dtype=float)


def _trees(
    kind: str, formula: str, data: Any, method: str | None, family: str, settings: dict[str, Any]
) -> TreesFormula:
    if method not in {None, "class", "anova"}:
        raise InvalidRequest(f"{kind}: method is 'class' or 'anova'; {method!r} came")
    target, design, rows = _designed(formula, data, every_level=True)
    number = rows[target].dtype.kind in "iuf"
    wanted = method or ("anova" if number else "class")
    module = need("sklearn.tree" if family == "DecisionTree" else "sklearn.ensemble", EXTRA)
    estimator = getattr(module, family + ("Classifier" if wanted == "class" else "Regressor"))(**settings)
    answers = rows[target].to_numpy() if number else rows[target].astype(object).to_numpy()
    estimator.fit(design.fitted.to_numpy(dtype=float), answers)
    return TreesFormula(formula, target, design, kind, estimator)
