"""`make bench`: measure our server beside others, interleaved, and say whether it is as fast as it must be.

Nothing here is a test: a figure that is not reached is printed as such, and the exit code is 0. It is 1 when a
contestant answered wrongly or not at all, because then nothing was measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import report
from figures import FIGURES, Figure, Measurement, Numbers
from load import BenchmarkError, wrk
from servers import Servers

from jupyter_mlops.errors import MLOpsError

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure, print, keep."""
    options = _options()
    figures = [figure for figure in FIGURES if not options.only or figure.key in options.only]
    found = report.facts()
    try:
        wrk()
        raw, missing = _measure(figures, options.rounds, options.seconds)
    except (BenchmarkError, MLOpsError) as error:
        print(f"\nThe run was given up. {error}", file=sys.stderr)
        return 1
    settings = {"rounds": options.rounds, "seconds": options.seconds}
    kept = Path(options.json) if options.json else RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    kept.write_text(json.dumps(report.document(found, settings, figures, raw, missing), indent=1) + "\n")
    print(f"\n{report.heading(found)}")
    print(f"{options.rounds} rounds, {options.seconds} s a load, medians of the rounds\n")
    print(report.figures_table(figures, raw, missing))
    print(f"\n{report.measurements_table(raw)}")
    print(f"\nEvery round is in {kept}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure this server beside others.")
    parser.add_argument("--rounds", type=_positive, default=5, help="how often everything is measured (5)")
    parser.add_argument("--seconds", type=_positive, default=4, help="how long each load lasts (4)")
    parser.add_argument(
        "--only",
        action="append",
        choices=[figure.key for figure in FIGURES],
        metavar="NAME",
        help=f"measure only this figure; may be repeated: {', '.join(figure.key for figure in FIGURES)}",
    )
    parser.add_argument("--json", metavar="FILE", help="where every round is kept (benchmarks/results/...)")
    return parser.parse_args()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("a whole number from 1 on")
    return int(text)


def _measure(figures: list[Figure], rounds: int, seconds: int) -> tuple[list[dict[str, Numbers]], dict[str, str]]:
    """Run every measurement once a round; also say what could not be measured."""
    wanted: dict[Measurement, None] = {}
    for figure in figures:
        wanted |= {figure.other: None, figure.ours: None}
    with Servers(measurement.needs() for measurement in wanted) as servers:
        missing = {str(one): servers.missing[one.needs()] for one in wanted if one.needs() in servers.missing}
        for name, reason in missing.items():
            print(f"NOT MEASURED  {name}: {reason}")
        order = [one for one in wanted if str(one) not in missing]
        raw = [_round(number, order, servers, seconds) for number in range(rounds)]
    return raw, missing


def _round(number: int, order: list[Measurement], servers: Servers, seconds: int) -> dict[str, Numbers]:
    """Measure everything once; every other round backwards, so that nobody always comes after the same one."""
    numbers: dict[str, Numbers] = {}
    for measurement in order if number % 2 == 0 else reversed(order):
        numbers[str(measurement)] = measurement.run(servers, seconds)
        print(f"round {number + 1}  {measurement}: {_shown(numbers[str(measurement)])}", flush=True)
    return numbers


def _shown(numbers: Numbers) -> str:
    units: dict[str, Any] = {
        "calls_per_second": "{:,.0f} calls/s",
        "p50_ms": "p50 {:.2f} ms",
        "seconds": "{:.3f} s",
        "agreed": "{:,.0f} rows agree",
    }
    return ", ".join(units[key].format(value) for key, value in numbers.items() if key in units)


if __name__ == "__main__":
    sys.exit(main())
