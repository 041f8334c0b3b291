"""What a run found, as Markdown for people and as JSON that keeps every round."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil
from figures import Figure, Numbers

_PACKAGES = (
    "jupyter_mlops", "tornado", "uvloop", "fastapi", "uvicorn", "pydantic", "ipykernel", "jupyter_client",
    "msgspec", "numpy", "pandas", "scikit-learn", "onnxruntime", "pyarrow",
)  # fmt: skip


def facts() -> dict[str, Any]:
    """Describe the machine and what is installed: absolute numbers mean nothing without it."""
    return {
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load before": round(os.getloadavg()[0], 2),
        "Python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def heading(found: dict[str, Any]) -> str:
    """The facts in three lines, to stand above the table."""
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    return (
        f"{found['when']}: {found['system']}, {found['cores']} cores, {found['memory']}, "
        f"load {found['load before']} before the run\nPython {found['Python']}, {packages}"
    )


def figures_table(figures: list[Figure], raw: list[dict[str, Numbers]], missing: dict[str, str]) -> str:
    """The figures against what they must reach."""
    lines = ["| figure | measured | lowest and highest round | must reach |", "|---|---|---|---|"]
    for figure in figures:
        reason = missing.get(str(figure.ours)) or missing.get(str(figure.other))
        if reason:
            lines.append(f"| {figure.title} | not measured: {reason} | | {figure.must()} |")
            continue
        values, value = figure.rounds(raw), figure.measured(raw)
        shown = figure.shown(value) if figure.reached(value) else f"{figure.shown(value)} (not reached)"
        spread = f"{figure.shown(min(values))} to {figure.shown(max(values))}"
        lines.append(f"| {figure.title} | {shown} | {spread} | {figure.must()} |")
    return "\n".join(lines)


def measurements_table(raw: list[dict[str, Numbers]]) -> str:
    """What the figures were made of: medians of the rounds, true for this machine only."""
    lines = ["| measurement | calls/s | p50 ms | p99 ms | seconds |", "|---|---|---|---|---|"]
    for name in sorted(raw[0]):
        medians = {key: statistics.median(one[name][key] for one in raw) for key in raw[0][name]}
        cells = [
            f"{medians[key]:,.{digits}f}" if key in medians else ""
            for key, digits in (("calls_per_second", 0), ("p50_ms", 2), ("p99_ms", 2), ("seconds", 3))
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def document(
    found: dict[str, Any],
    settings: dict[str, Any],
    figures: list[Figure],
    raw: list[dict[str, Numbers]],
    missing: dict[str, str],
) -> dict[str, Any]:
    """Everything, for a file."""
    results = {
        figure.key: {
            "title": figure.title,
            "measured": figure.measured(raw),
            "rounds": figure.rounds(raw),
            "must reach": figure.bound,
            "smaller is better": figure.at_most,
            "reached": figure.reached(figure.measured(raw)),
        }
        for figure in figures
        if str(figure.ours) not in missing and str(figure.other) not in missing
    }
    return {"format": 1, "facts": found, "settings": settings, "figures": results, "missing": missing, "rounds": raw}
