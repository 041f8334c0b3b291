"""Measure snapshots of a large namespace beside dill, cloudpickle, and plainly writing and hashing the same bytes.

    python benchmarks/snapshots.py                  # 1 GiB of arrays and 200 small objects, 3 rounds
    python benchmarks/snapshots.py --mebibytes 256  # less, for a machine with less memory

As in `run.py` nothing here is a test: a figure that is not reached is printed as such. Each round runs in a fresh
process, every other one backwards; medians count. Folder and files lie on one disk (`--folder`), and what is there
of the round before is gone. A figure is a ratio within its round, so that a slow minute hits both of its sides.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import report

RESULTS = Path(__file__).parent / "results"
MEBIBYTE = 2**20
SMALL_OBJECTS = 200

Numbers = dict[str, float]

FIGURES: tuple[tuple[str, Callable[[Numbers], float], float, str], ...] = (
    ("durable save, against hashing, writing and fsyncing the same bytes", lambda n: n["save"] / n["floor"], 1.5, ""),
    ("unchanged save again, against hashing", lambda n: n["again"] / n["hash"], 1.3, ""),
    ("bytes written by the unchanged save", lambda n: n["again_written"] / MEBIBYTE, 1.0, " MiB"),
    ("restore, against dill.load_module", lambda n: n["restore"] / n["dill_load"], 0.1, ""),
    ("peak extra memory of capture and save", lambda n: n["save_memory"] / MEBIBYTE, 64, " MiB"),
    ("peak extra memory of the unchanged save", lambda n: n["again_memory"] / MEBIBYTE, 64, " MiB"),
    ("survey, against hashing", lambda n: n["survey"] / n["hash"], 1.3, ""),
)
"""Title, how it comes about, what it must be at most, unit."""


def main() -> int:
    """Measure, print, keep."""
    options = _options()
    if options.child is not None:
        print(json.dumps(_round(options.mebibytes, Path(options.child), backwards=options.backwards)))
        return 0
    rounds = [_in_a_process(options.mebibytes, options.folder, number) for number in range(options.rounds)]
    kept = Path(options.json) if options.json else RESULTS / f"snapshots-{time.strftime('%Y%m%d-%H%M%S')}.json"
    facts = report.facts()
    settings = {"mebibytes": options.mebibytes, "small_objects": SMALL_OBJECTS, "rounds": options.rounds}
    kept.write_text(json.dumps({"facts": facts, "settings": settings, "rounds": rounds}, indent=1) + "\n")
    print(f"\n{report.heading(facts)}")
    print(f"{options.mebibytes} MiB of arrays and {SMALL_OBJECTS} small objects, medians of {options.rounds} rounds\n")
    for title, of, bound, unit in FIGURES:
        found = [of(one) for one in rounds]
        value = statistics.median(found)
        told = "ok" if value <= bound else "MISSED"
        span = f"{min(found):.3f} to {max(found):.3f}"
        print(f"{told:6}  {title}: {value:.3f}{unit} (at most {bound:g}{unit}; rounds {span})")
    print()
    for key in sorted(rounds[0]):
        value = statistics.median(one[key] for one in rounds)
        shown = f"{value / MEBIBYTE:,.1f} MiB" if key.endswith(("_memory", "_written")) else f"{value:.3f} s"
        print(f"  {key:20} {shown}")
    print(f"\nEvery round is in {kept}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure snapshots of a large namespace.")
    parser.add_argument("--mebibytes", type=int, default=1024, help="of arrays in the namespace (1024)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="on which disk")
    parser.add_argument("--json", metavar="FILE", help="where every round is kept (benchmarks/results/...)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--backwards", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_a_process(mebibytes: int, folder: str, number: int) -> Numbers:
    place = tempfile.mkdtemp(prefix="snapshots-", dir=folder)
    command = [sys.executable, __file__, f"--mebibytes={mebibytes}", f"--child={place}"]
    try:
        done = subprocess.run(
            [*command, *(["--backwards"] if number % 2 else [])], stdout=subprocess.PIPE, check=True, text=True
        )
    finally:
        shutil.rmtree(place)
    numbers: Numbers = json.loads(done.stdout.splitlines()[-1])
    print(f"round {number + 1}  " + ", ".join(f"{key} {value:.3f}" for key, value in numbers.items() if value < 1000))
    return numbers


def _round(mebibytes: int, place: Path, *, backwards: bool) -> Numbers:
    namespace = _namespace(mebibytes)
    measured: Numbers = {}
    contestants = [_floor, _ours, _survey, _dill, _cloudpickle]
    for contestant in reversed(contestants) if backwards else contestants:
        folder = place / contestant.__name__
        folder.mkdir()
        os.sync()
        measured |= contestant(namespace, folder)
        shutil.rmtree(folder)
    return measured


def _namespace(mebibytes: int) -> dict[str, Any]:
    """Arrays of 64 MiB with content that nothing compresses, and small things of many kinds; a module's, for dill."""
    import numpy as np
    import pandas as pd

    module = ModuleType("workspace")
    sys.modules["workspace"] = module
    names = module.__dict__
    generator = np.random.default_rng(0)
    count = max(mebibytes // 64, 1)
    for number in range(count):
        names[f"array_{number}"] = generator.random(mebibytes * MEBIBYTE // 8 // count)
    for number in range(SMALL_OBJECTS // 4):
        names[f"mapping_{number}"] = {"number": number, "items": list(range(20)), "text": "x" * number}
        names[f"frame_{number}"] = pd.DataFrame({"a": range(10), "b": [str(n) for n in range(10)]})
        names[f"text_{number}"] = f"some text {number} " * 10
        exec(f"def function_{number}(x): return x + {number}, text_{number}", names)  # noqa: S102  # as in a cell
    return names


def _arrays(namespace: dict[str, Any]) -> list[Any]:
    return [value for name, value in namespace.items() if name.startswith("array_")]


def _user_names(namespace: dict[str, Any]) -> list[str]:
    return [name for name in namespace if not name.startswith("__")]


def _hash(namespace: dict[str, Any]) -> None:
    from blake3 import blake3

    for array in _arrays(namespace):
        blake3(array.view("u1").data, max_threads=blake3.AUTO).hexdigest()


def _floor(namespace: dict[str, Any], folder: Path) -> Numbers:
    """The least that a durable store under digests has to do: hash, write, fsync."""
    from blake3 import blake3

    started = time.perf_counter()
    for array in _arrays(namespace):
        key = blake3(array.view("u1").data, max_threads=blake3.AUTO).hexdigest()
        with (folder / key).open("wb", buffering=0) as file:
            view = memoryview(array).cast("B")
            while view.nbytes:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
    return {"floor": time.perf_counter() - started}


def _ours(namespace: dict[str, Any], folder: Path) -> Numbers:
    from jupyter_mlops.capture import capture, restore, save

    names = _user_names(namespace)
    capture(namespace, names[-4:])  # what is read once in a process: metadata of the distributions

    def take() -> Any:
        return save(capture(namespace, names), folder)

    saved, seconds, memory = _timed(take)
    os.sync()
    # On both sides of what it is compared with: other work on the machine comes and goes within seconds.
    _, before, _ = _timed(lambda: _hash(namespace))
    unchanged, again, again_memory = _timed(take)
    _, after, _ = _timed(lambda: _hash(namespace))
    restored, loading, _ = _timed(lambda: restore(saved.path, {}))
    assert list(restored) == names
    assert (restored["array_0"][:100] == namespace["array_0"][:100]).all()
    return {
        "hash": (before + after) / 2,
        "save": seconds,
        "save_memory": memory,
        "again": again,
        "again_memory": again_memory,
        "again_written": unchanged.written,
        "restore": loading,
    }


def _survey(namespace: dict[str, Any], _: Path) -> Numbers:
    from jupyter_mlops.capture import survey

    found, seconds, memory = _timed(lambda: survey(namespace))
    assert found.total() >= sum(array.nbytes for array in _arrays(namespace))
    return {"survey": seconds, "survey_memory": memory}


def _dill(namespace: dict[str, Any], folder: Path) -> Numbers:
    import dill

    module = sys.modules["workspace"]
    path = folder / "session"
    _, seconds, memory = _timed(lambda: dill.dump_module(path, module))
    kept = dict(namespace)
    _, loading, _ = _timed(lambda: dill.load_module_asdict(path))
    namespace.update(kept)
    return {"dill_dump": seconds, "dill_dump_memory": memory, "dill_load": loading}


def _cloudpickle(namespace: dict[str, Any], folder: Path) -> Numbers:
    import cloudpickle

    objects = {name: namespace[name] for name in _user_names(namespace)}

    def dump() -> None:
        with (folder / "pickle").open("wb") as file:
            cloudpickle.dump(objects, file, protocol=5)

    def load() -> Any:
        with (folder / "pickle").open("rb") as file:
            return cloudpickle.load(file)

    _, seconds, memory = _timed(dump)
    _, loading, _ = _timed(load)
    return {"cloudpickle_dump": seconds, "cloudpickle_dump_memory": memory, "cloudpickle_load": loading}


def _timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, the seconds, and the bytes by which the process grew at most (Linux)."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    started = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - started
    return result, seconds, max(_status("VmHWM") - before, 0)


def _status(key: str) -> int:
    path = Path("/proc/self/status")
    if not path.exists():
        return 0
    (line,) = [line for line in path.read_text().splitlines() if line.startswith(f"{key}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
