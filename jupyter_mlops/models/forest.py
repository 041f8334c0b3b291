"""Decision trees as arrays, and as one node of a graph that compares in 64 bits, as the libraries do.

ONNX has two nodes for trees. `TreeEnsemble` (ai.onnx.ml 5) answers in 64 bits, one number a leaf; the older
`TreeEnsembleRegressor` (3) takes several numbers a leaf, as forests of several classes have them, compares in 64
bits too, and answers in 32. A graph holds only one of both kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

SUM = 1
NO_TRANSFORM = 0
COMPARISONS = {"BRANCH_LEQ": 0, "BRANCH_LT": 1}


class Tree(msgspec.Struct, frozen=True):
    """One tree; arrays have an element per node, and the first node is the root."""

    feature: Any
    threshold: Any
    left: Any
    """Places of the nodes that are next where the value is at most (or below) the threshold."""
    right: Any
    leaf: Any
    """Whether a node is a leaf."""
    missing_left: Any
    """Whether a missing value goes left."""
    value: Any
    """Numbers of the leaves; with a second dimension when a leaf has several."""
    target: int = 0
    """Which output the leaves add to, when they have one number each."""


def scalar_attributes(trees: Sequence[Tree], targets: int, comparison: str = "BRANCH_LEQ") -> dict[str, Any]:
    """The attributes of a `TreeEnsemble` node (ai.onnx.ml 5) that sums the trees.

    Parameters
    ----------
    trees:
        With one number a leaf.
    targets:
        How many outputs there are.
    comparison:
        What sends a value left: `BRANCH_LEQ` or `BRANCH_LT`.
    """
    import numpy as np
    from onnx.numpy_helper import from_array

    node: dict[str, list[Any]] = {name: [] for name in ("feature", "split", "missing", "left", "right", "at", "to")}
    weights: list[Any] = []
    targets_of_leaves: list[Any] = []
    roots = []
    nodes = leaves = 0
    for tree in (_with_root(one) for one in trees):
        leaf = np.asarray(tree.leaf, dtype=bool)
        # Where each node went: among the inner nodes, or among the leaves.
        place = np.where(leaf, leaves + np.cumsum(leaf) - 1, nodes + np.cumsum(~leaf) - 1)
        left, right = np.asarray(tree.left)[~leaf], np.asarray(tree.right)[~leaf]
        node["feature"].append(np.asarray(tree.feature)[~leaf])
        node["split"].append(np.asarray(tree.threshold, dtype="float64")[~leaf])
        node["missing"].append(np.asarray(tree.missing_left)[~leaf])
        node["left"].append(place[left])
        node["right"].append(place[right])
        node["at"].append(leaf[left])
        node["to"].append(leaf[right])
        weights.append(np.asarray(tree.value, dtype="float64")[leaf])
        targets_of_leaves.append(np.full(int(leaf.sum()), tree.target))
        roots.append(nodes)
        nodes += int((~leaf).sum())
        leaves += int(leaf.sum())
    return {
        "n_targets": targets,
        "aggregate_function": SUM,
        "post_transform": NO_TRANSFORM,
        "tree_roots": roots,
        "nodes_featureids": _integers(node["feature"]),
        "nodes_modes": from_array(np.full(nodes, COMPARISONS[comparison], dtype="uint8"), "nodes_modes"),
        "nodes_splits": from_array(np.concatenate(node["split"]), "nodes_splits"),
        "nodes_missing_value_tracks_true": _integers(node["missing"]),
        "nodes_truenodeids": _integers(node["left"]),
        "nodes_falsenodeids": _integers(node["right"]),
        "nodes_trueleafs": _integers(node["at"]),
        "nodes_falseleafs": _integers(node["to"]),
        "leaf_targetids": _integers(targets_of_leaves),
        "leaf_weights": from_array(np.concatenate(weights), "leaf_weights"),
    }


def _with_root(tree: Tree) -> Tree:
    """The same tree with an inner node as its root: one that is a leaf gets a root whose ways both lead to it."""
    import numpy as np

    if not np.asarray(tree.leaf)[0]:
        return tree
    return Tree(
        feature=[0, 0], threshold=[0.0, 0.0], left=[1, 0], right=[1, 0], leaf=[False, True], missing_left=[True, True],
        value=[0.0, tree.value[0]], target=tree.target,
    )  # fmt: skip


def vector_attributes(trees: Sequence[Tree], targets: int, comparison: str = "BRANCH_LEQ") -> dict[str, Any]:
    """The attributes of a `TreeEnsembleRegressor` node (ai.onnx.ml 3) that sums the trees.

    Parameters
    ----------
    trees:
        With any number of numbers a leaf.
    targets, comparison:
        As of `scalar_attributes`.
    """
    import numpy as np
    from onnx.numpy_helper import from_array

    sizes = [len(tree.leaf) for tree in trees]
    leaf = np.concatenate([np.asarray(tree.leaf, dtype=bool) for tree in trees])
    left = np.where(leaf, 0, np.concatenate([tree.left for tree in trees]))
    right = np.where(leaf, 0, np.concatenate([tree.right for tree in trees]))
    split = np.where(leaf, 0.0, np.concatenate([np.asarray(tree.threshold, dtype="float64") for tree in trees]))
    feature = np.where(leaf, 0, np.concatenate([tree.feature for tree in trees]))
    of_tree = np.repeat(np.arange(len(trees)), sizes)
    number = np.concatenate([np.arange(size) for size in sizes])
    owner, at, target, weight = _weights(trees)
    return {
        "n_targets": targets,
        "nodes_treeids": of_tree.tolist(),
        "nodes_nodeids": number.tolist(),
        "nodes_featureids": feature.astype(int).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", comparison).tolist(),
        "nodes_values_as_tensor": from_array(split, "nodes_values"),
        "nodes_truenodeids": left.astype(int).tolist(),
        "nodes_falsenodeids": right.astype(int).tolist(),
        "nodes_missing_value_tracks_true": _integers([tree.missing_left for tree in trees]),
        "target_treeids": owner,
        "target_nodeids": at,
        "target_ids": target,
        "target_weights_as_tensor": from_array(weight, "target_weights"),
    }


def _weights(trees: Sequence[Tree]) -> tuple[list[int], list[int], list[int], Any]:
    import numpy as np

    owner, at, target, weight = [], [], [], []
    for i, tree in enumerate(trees):
        places = np.flatnonzero(np.asarray(tree.leaf, dtype=bool))
        values = np.asarray(tree.value, dtype="float64")[places]
        width = values.shape[1] if values.ndim > 1 else 1
        owner.append(np.full(places.size * width, i))
        at.append(np.repeat(places, width))
        target.append(np.tile(np.arange(width), places.size) if values.ndim > 1 else np.full(places.size, tree.target))
        weight.append(values.ravel())
    return _integers(owner), _integers(at), _integers(target), np.concatenate(weight)


def _integers(parts: Sequence[Any]) -> list[int]:
    import numpy as np

    whole: list[int] = np.concatenate([np.asarray(part) for part in parts]).astype(int).tolist()
    return whole
