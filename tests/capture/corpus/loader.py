"""Loads snapshots as a scoring kernel does, each in a fork of its own, so that each has a fresh `__main__`."""

import json
import os
import sys
import traceback
from importlib import import_module, util
from pathlib import Path

from jupyter_mlops.objects import load_objects


def main(folder: str) -> None:
    for module in ("numpy", "pandas", "sklearn.pipeline", "sklearn.ensemble", "scipy.sparse", "cloudpickle"):
        if util.find_spec(module.partition(".")[0]):
            import_module(module)  # once for all, as a template does
    for case in json.loads((Path(folder) / "cases.json").read_text()):
        child = os.fork()
        if child == 0:
            Path(case["answer"]).write_text(json.dumps(_answer(case)))
            os._exit(0)
        os.waitpid(child, 0)


def _answer(case):
    namespace = sys.modules["__main__"].__dict__
    try:
        namespace.update(load_objects(case["stream"], tuple(case["buffers"])))
        return {"value": eval(case["call"], namespace)}
    except Exception:  # noqa: BLE001  # the test shows it
        return {"error": traceback.format_exc()}
