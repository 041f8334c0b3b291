"""An estimator on a formula's design matrix: the matrix is made inside the graph, before the estimator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from jupyter_mlops.container import Scalar
from jupyter_mlops.models.design import Design
from jupyter_mlops.models.graph import ML, OPSET
from jupyter_mlops.models.original import Candidate, Original, need
from jupyter_mlops.models.plain import PlainGraph
from jupyter_mlops.models.rows import neighbours, rows_between, thresholds
from jupyter_mlops.models.sample import frame_of
from jupyter_mlops.models.scikit import TENSOR, Scikit
from jupyter_mlops.models.structure import parts_of

THRESHOLDS = 60


class ComposedModel(Original):
    """A scikit-learn estimator that was fitted to a design matrix.

    Parameters
    ----------
    design:
        What makes the matrix.
    estimator:
        The estimator.
    kind:
        What it is called.
    output:
        The name of the predictions' column.
    sample:
        Rows that it takes, or None.
    """

    def __init__(self, design: Design, estimator: Any, kind: str, output: str, sample: Any = None) -> None:
        self._inner = Scikit(estimator, None)
        self._design = design
        self._estimator = estimator
        self._output = output
        self._sample = frame_of(sample, design.variables)
        self.others = design.others
        self.library = self._inner.library
        self.kind = kind

    def candidates(self) -> Iterator[Candidate]:
        """The estimator's forms in 64 bits, behind the design matrix."""
        onnx = need("onnx")
        need("onnx.compose")
        inputs = self._design.inputs()
        for one in self._inner.candidates():
            if one.precision != "double":
                continue
            behind = onnx.load_model_from_string(one.onnx)
            versions = {each.domain: each.version for each in behind.opset_import}
            versions[ML] = max(versions.get(ML, 0), OPSET[ML])
            del behind.opset_import[:]
            behind.opset_import.extend(onnx.helper.make_opsetid(*each) for each in versions.items())
            graph = PlainGraph(inputs, versions)
            matrix = self._design.write(graph)
            before = graph.model(matrix, len(self._design.names))
            before.ir_version = behind.ir_version
            whole = onnx.compose.merge_models(before, behind, io_map=[(matrix, TENSOR)], prefix1="design_")
            outputs = tuple(
                msgspec.structs.replace(each, name=self._output if each.name == "prediction" else each.name)
                for each in one.outputs
            )
            renamed = tuple(msgspec.structs.replace(each, onnx_input=f"design_{each.onnx_input}") for each in inputs)
            yield Candidate(whole.SerializeToString(), renamed, outputs, one.precision)

    def known(self) -> dict[str, tuple[Scalar, ...]]:
        """By column, the levels of its factors."""
        return self._design.levels()

    def rows(self, count: int) -> Any:
        """The sample's rows, and rows at the thresholds of the trees."""
        seen = {name: list(values) for name, values in self._design.seen.items()}
        found = [one for part in parts_of(self._estimator) for one in thresholds(part)]
        for feature, threshold in found[:THRESHOLDS]:
            if self._design.names[feature] in seen:
                seen[self._design.names[feature]] += neighbours(threshold)
        return rows_between(self._design.inputs(), self._sample, count, {name: v[::-1] for name, v in seen.items()})

    def answer(self, rows: Any) -> dict[str, Any]:
        """What the estimator itself answers to the design matrix."""
        import pandas as pd

        matrix = self._design.matrix(rows)
        answers = self._inner.answer(pd.DataFrame(matrix, columns=[f"x{i}" for i in range(matrix.shape[1])]))
        return {self._output if name == "prediction" else name: values for name, values in answers.items()}
