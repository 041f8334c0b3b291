"""Models that attack whoever reads or runs them."""

from __future__ import annotations

import os
import random
from pathlib import Path

import onnx_models as models
from onnx import TensorProto, helper
from onnx_models import FLOAT, INT64

CANARY = b"the canary, which no answer and no log may show" + bytes(range(64))


def external(location, *, where="initializer", offset=None, length=None):
    """A model with data elsewhere: in an initializer, a constant, or a subgraph of a node."""
    graph = models.linear()
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
    if where != "initializer":
        hidden = TensorProto()
        hidden.CopyFrom(tensor)
        hidden.name = "hidden"
        graph.graph.initializer[0].CopyFrom(models.constant("w", [[2.0], [-1.0]], "float32"))
        node = helper.make_node("Constant", [], ["unused"], value=hidden)
        if where == "subgraph":
            inner = helper.make_graph([node], "inner", [], [helper.make_tensor_value_info("unused", FLOAT, None)])
            yes = models.constant("yes", True, "bool")
            graph.graph.initializer.append(yes)
            node = helper.make_node("If", ["yes"], ["taken"], then_branch=inner, else_branch=inner)
        graph.graph.node.insert(0, node)
    return graph


def externals(folder: Path):
    """Twelve ways to name a file that is not the model's: (name, model)."""
    secret = folder / "secret.bin"
    secret.write_bytes(CANARY)
    for name in ("link", "hard"):
        (folder / name).unlink(missing_ok=True)
    (folder / "link").symlink_to(secret)
    os.link(secret, folder / "hard")
    (folder / "parent").symlink_to(folder, target_is_directory=True)
    climb = "../" * 12 + str(secret).lstrip("/")
    without_mark = external(str(secret))
    without_mark.graph.initializer[0].ClearField("data_location")
    return [
        ("climbing", external(climb)),
        ("climbing inside", external("a/../../b")),
        ("absolute", external(str(secret))),
        ("symlink", external(str(folder / "link"))),
        ("symlink parent", external(str(folder / "parent" / "secret.bin"))),
        ("hard link", external(str(folder / "hard"))),
        ("drive", external("C:\\secret.bin")),
        ("url", external(f"file://{secret}")),
        ("offset", external(str(secret), offset=8, length=8)),
        ("constant", external(str(secret), where="constant")),
        ("subgraph", external(climb, where="subgraph")),
        ("no mark", without_mark),
    ]


def functions(count, *, calls=1, cycle=False):
    """Functions that each call the next, some times: a chain, a bomb, or a ring."""
    domain = "own"
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    made = []
    for number in range(count):
        last = number == count - 1
        after = f"f{0 if cycle and last else number + 1}"
        nodes, name = [], "x"
        for turn in range(calls):
            into = "y" if turn == calls - 1 else f"t{turn}"
            if last and not cycle:
                nodes.append(helper.make_node("Neg", [name], [into]))
            else:
                nodes.append(helper.make_node(after, [name], [into], domain=domain))
            name = into
        made.append(helper.make_function(domain, f"f{number}", ["x"], ["y"], nodes, opsets))
    graph = models.model(
        [helper.make_node("f0", ["x"], ["y"], domain=domain)],
        [("x", FLOAT, [None, 1])],
        [("y", FLOAT, [None, 1])],
        opsets=opsets,
    )
    graph.functions.extend(made)
    return graph


def nested(depth):
    """Branches in branches."""
    leaf = graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "leaf", [], [helper.make_tensor_value_info("y", FLOAT, None)]
    )
    for _ in range(depth):
        node = helper.make_node("If", ["yes"], ["y"], then_branch=graph, else_branch=leaf)
        graph = helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("y", FLOAT, None)])
    return models.model(
        graph.node,
        [("x", FLOAT, [None, 1])],
        [("y", FLOAT, [None, 1])],
        [models.constant("yes", True, "bool")],
    )


def custom(domain, operator="Evil"):
    """A graph that needs somebody's library."""
    return models.model(
        [helper.make_node(operator, ["x"], ["y"], domain=domain)],
        [("x", FLOAT, [None, 1])],
        [("y", FLOAT, [None, 1])],
        opsets=[helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)],
    )


def oversized():
    """An initializer that says it has 2^40 values, and brings none."""
    graph = models.linear()
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    del tensor.dims[:]
    tensor.dims.extend([2**20, 2**20])
    return graph


def enormous(values=2**30):
    """y = x, by way of 8 GB of zeros."""
    return models.model(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["many"], value=models.constant("", [0], "int64")),
            helper.make_node("Add", ["many", "x0"], ["more"]),
            helper.make_node("ReduceSum", ["more"], ["none"], keepdims=0),
            helper.make_node("Add", ["x", "none"], ["y"]),
        ],
        [("x", INT64, [None, 1])],
        [("y", INT64, [None, 1])],
        [models.constant("shape", [values], "int64"), models.constant("x0", [0], "int64")],
    )


def exploding():
    """As many answers as the machine has memory for, from one row: the output itself is large."""
    return models.model(
        [
            helper.make_node("Expand", ["x", "shape"], ["wide"]),
            helper.make_node("Concat", ["wide", "wide"], ["y"], axis=1),
        ],
        [("x", INT64, [None, 1])],
        [("y", INT64, [None, 2**29])],
        [models.constant("shape", [1, 2**29], "int64")],
    )


def reshaping_nothing():
    """A graph whose shapes never fit."""
    return models.model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [("x", FLOAT, [None, 3])],
        [("y", FLOAT, [None, 1])],
        [models.constant("shape", [7, 7], "int64")],
    )


def truncated(content: bytes):
    """The beginnings of a model."""
    return [content[: len(content) * part // 10] for part in range(1, 10)]


def mutated(contents, count, seed):
    """Models with some bytes or numbers of their encoding changed; none of them is one of the originals."""
    chance = random.Random(seed)
    found = []
    while len(found) < count:
        content = bytearray(chance.choice(contents))
        for _ in range(chance.choice((1, 1, 2, 4, 16))):
            place = chance.randrange(len(content))
            match chance.randrange(5):
                case 0:
                    content[place] ^= 1 << chance.randrange(8)
                case 1:
                    content[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    del content[place : place + chance.randrange(1, 9)]
                case 3:
                    content[place:place] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
                case _:
                    other = chance.randrange(len(content))
                    content[place : place + 8] = content[other : other + 8]
        if bytes(content) not in contents:
            found.append(bytes(content))
    return found
