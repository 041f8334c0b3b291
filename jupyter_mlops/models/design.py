"""A formula's design matrix: made of a data frame by formulaic, and written as nodes of a graph.

What a graph can express: numeric columns and plain arithmetic of them, factors with treatment coding, and products of
both. Whatever else a formula may hold is refused by its name.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from itertools import permutations, product
from typing import Any

from jupyter_mlops.container import InputColumn
from jupyter_mlops.errors import InvalidRequest, PublishRefused
from jupyter_mlops.models.original import need
from jupyter_mlops.models.plain import PlainGraph, products
from jupyter_mlops.models.structure import scalars
from jupyter_mlops.models.writer import DOUBLE, ML

KEPT = 400
"""Values of a column that are kept, to make rows of."""

_CALLS = {"log": "Log", "exp": "Exp", "sqrt": "Sqrt", "abs": "Abs", "sin": "Sin", "cos": "Cos"}
_OPERATORS: dict[type, str] = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Pow: "Pow"}


class Design:
    """The right side of a formula, fitted to data.

    Parameters
    ----------
    formula:
        As of R, such as `"am ~ hp * C(gear)"`, with or without its left side.
    frame:
        The data that its factors' levels are taken from.
    every_level:
        Whether each factor has a column for every level, as trees like it, rather than all but one.

    Raises
    ------
    InvalidRequest
        When the formula does not fit the data.
    """

    def __init__(self, formula: str, frame: Any, *, every_level: bool = False) -> None:
        formulaic = need("formulaic", "'jupyter_mlops[revoscalepy]'")
        parsed = formulaic.Formula(formula)
        right = getattr(parsed, "rhs", parsed)
        try:
            made = formulaic.model_matrix(right, frame, ensure_full_rank=not every_level)
        except (formulaic.errors.FormulaicError, ValueError, TypeError) as error:
            raise InvalidRequest(f"the formula {formula!r} does not fit the data: {error}") from None
        self.fitted = made
        self.spec = made.model_spec
        self.names = [str(name) for name in self.spec.column_names]
        self.variables = [name for name in frame.columns if name in self.spec.required_variables]
        self.others = tuple(str(name) for name in frame.columns if name not in self.variables)
        """Columns of the data that the formula's right side does not name."""
        self._levels = {
            str(factor): scalars(state["categories"])
            for factor, (_, state) in self.spec.encoder_state.items()
            if "categories" in state
        }
        self.seen = {
            name: frame[name].dropna().to_numpy()[:KEPT] for name in self.variables if name not in self._levels
        }
        """By column, values of the data."""
        self._strings = {name for name in self.variables if frame[name].dtype.kind not in "iufb"}

    def levels(self) -> dict[str, tuple[Any, ...]]:
        """By column, the levels of those that are factors."""
        return {_factor_variable(factor, self.variables): levels for factor, levels in self._levels.items()}

    def matrix(self, frame: Any) -> Any:
        """The design matrix of other rows.

        Raises
        ------
        InvalidRequest
            When a column is missing, or a level is unknown.
        """
        import numpy as np

        missing = [name for name in self.variables if name not in frame]
        if missing:
            raise InvalidRequest(f"the model takes {', '.join(self.variables)}; the data has no {', '.join(missing)}")
        for name, levels in self.levels().items():
            unknown = [one for one in scalars(frame[name].unique()) if one not in levels]
            if unknown:
                raise InvalidRequest(f"{name}: {unknown[0]!r} was not in the training data; known are {levels}")
            if frame[name].isna().any():
                raise InvalidRequest(f"{name}: a value is missing, and the model takes none")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # formulaic warns about what is checked above
            made = self.spec.get_model_matrix(frame[self.variables], na_action="ignore")
        return np.asarray(made, dtype=float)

    def inputs(self) -> tuple[InputColumn, ...]:
        """The columns, each with a tensor of its own; a factor's levels are all that it takes."""
        levels = self.levels()
        return tuple(
            InputColumn(
                name=name,
                type="string" if name in self._strings else "integer" if self._whole(name) else "double",
                onnx_input=f"column_{i}",
                categories=levels.get(name, ()),
            )
            for i, name in enumerate(self.variables)
        )

    def _whole(self, name: str) -> bool:
        """Whether a column is a factor of whole numbers, and nothing else."""
        levels = self.levels().get(name, ())
        alone = not any(name in _names_in(factor) for factor in self._numeric())
        return bool(levels) and alone and all(isinstance(one, int) for one in levels)

    def _numeric(self) -> list[str]:
        return [str(one) for one in self.spec.encoder_state if str(one) not in self._levels]

    def write(self, graph: PlainGraph) -> str:
        """Add the nodes that make the design matrix of the columns, and return its name.

        Raises
        ------
        PublishRefused
            When a part of the formula has no form as a graph: which.
        """
        place: dict[str, int] = {}
        tensors = []
        columns = {one.name: one for one in self.inputs()}
        numbers = {
            name: one.onnx_input if one.type == "double" else graph.cast(one.onnx_input, DOUBLE)
            for name, one in columns.items()
            if one.type != "string"
        }
        for factor in self._numeric():
            place[factor] = len(place)
            tensors.append(numbers.get(factor) or _Arithmetic(graph, numbers, factor).written())
        for factor, levels in self._levels.items():
            column = columns[_factor_variable(factor, self.variables)]
            for level in levels:
                place[_level_name(factor, level)] = len(place)
            tensors.append(_indicators(graph, column, levels))
        if not tensors:
            raise PublishRefused("the formula has no columns: a model that always answers the same is no service")
        values = graph.node("Concat", tensors, axis=1)
        return products(graph, values, self._factors(place))

    def _factors(self, place: dict[str, int]) -> list[list[int]]:
        """For each column of the matrix, the places of its factors."""
        made: dict[str, list[int]] = {}
        for term in self.spec.structure:
            for scoped in term.scoped_terms:
                for names, places in self._columns(scoped, place):
                    made |= {":".join(order): places for order in permutations(names)}
        unknown = [name for name in self.names if name not in made]
        if unknown:
            raise PublishRefused(f"{unknown[0]} of the formula has no form as a graph: use treatment coding, C(x)")
        longest = max(1, *(len(made[name]) for name in self.names))
        return [made[name] + [len(place)] * (longest - len(made[name])) for name in self.names]

    def _columns(self, scoped: Any, place: dict[str, int]) -> Iterator[tuple[list[str], list[int]]]:
        choices: list[list[tuple[str, int]]] = []
        for one in scoped.factors:
            factor = str(one.factor)
            if factor not in self._levels:
                choices.append([(factor, place[factor])])
                continue
            marks = "[T.{}]" if one.reduced else "[{}]"
            levels = self._levels[factor]
            choices.append([(factor + marks.format(level), place[_level_name(factor, level)]) for level in levels])
        if not choices:
            yield ["Intercept"], []
        for chosen in product(*choices) if choices else ():
            yield [name for name, _ in chosen], [at for _, at in chosen]


def _level_name(factor: str, level: Any) -> str:
    return f"{factor}={level!r}"


def _indicators(graph: PlainGraph, column: InputColumn, levels: tuple[Any, ...]) -> str:
    """A tensor [rows, levels]: 1 where the column has the level."""
    import numpy as np

    values = column.onnx_input
    wanted = np.array([levels], dtype="int64" if column.type == "integer" else object)
    if column.type == "double":
        wanted = wanted.astype(float)
    if column.type == "string":
        # Texts are compared in newer versions of ONNX only; their places in a list, in all.
        places = list(range(len(levels)))
        encoder: dict[str, Any] = {"keys_strings": list(levels), "values_int64s": places, "default_int64": -1}
        values = graph.node("LabelEncoder", [values], domain=ML, **encoder)
        wanted = np.array([places])
    return graph.cast(graph.node("Equal", [values, graph.constant(wanted)]), DOUBLE)


def _names_in(expression: str) -> set[str]:
    try:
        return {one.id for one in ast.walk(ast.parse(expression, mode="eval")) if isinstance(one, ast.Name)}
    except SyntaxError:
        return {expression}


def _factor_variable(factor: str, variables: list[str]) -> str:
    """The column that a categorical factor is made of."""
    if factor in variables:
        return factor
    inner = factor.partition("(")[2].rpartition(")")[0].partition(",")[0].strip().strip("`")
    if inner in variables:
        return inner
    raise PublishRefused(f"{factor} of the formula has no form as a graph: a factor of one column has, such as C(x)")


class _Arithmetic:
    """Plain arithmetic of numeric columns, as nodes."""

    def __init__(self, graph: PlainGraph, numbers: dict[str, str], factor: str) -> None:
        self._graph = graph
        self._numbers = numbers
        self._factor = factor

    def written(self) -> str:
        try:
            return self._node(ast.parse(self._factor, mode="eval").body)
        except SyntaxError:
            raise self._refused() from None

    def _refused(self) -> PublishRefused:
        return PublishRefused(
            f"{self._factor} of the formula has no form as a graph: arithmetic of columns has, with log, exp, sqrt and "
            "abs. Calculate a column before, or publish a standard service"
        )

    def _node(self, one: ast.expr) -> str:
        import numpy as np

        if isinstance(one, ast.Name) and one.id in self._numbers:
            return self._numbers[one.id]
        if isinstance(one, ast.Constant) and isinstance(one.value, (int, float)):
            return self._graph.constant(np.array([[float(one.value)]]))
        if isinstance(one, ast.BinOp) and type(one.op) in _OPERATORS:
            return self._graph.node(_OPERATORS[type(one.op)], [self._node(one.left), self._node(one.right)])
        if isinstance(one, ast.UnaryOp) and isinstance(one.op, (ast.USub, ast.UAdd)):
            inner = self._node(one.operand)
            return self._graph.node("Neg", [inner]) if isinstance(one.op, ast.USub) else inner
        if isinstance(one, ast.Call) and not one.keywords:
            return self._call(one)
        raise self._refused()

    def _call(self, one: ast.Call) -> str:
        import numpy as np

        name = one.func.attr if isinstance(one.func, ast.Attribute) else getattr(one.func, "id", "")
        given = [self._node(argument) for argument in one.args]
        if name == "I" and len(given) == 1:
            return given[0]
        if name in {"pow", "power"} and len(given) == 2:  # noqa: PLR2004
            return self._graph.node("Pow", given)
        if name in {"log10", "log2"} and len(given) == 1:
            base = self._graph.constant(np.array([[np.log(10.0 if name == "log10" else 2.0)]]))
            return self._graph.node("Div", [self._graph.node("Log", given), base])
        if name in _CALLS and len(given) == 1:
            return self._graph.node(_CALLS[name], given)
        raise self._refused()
