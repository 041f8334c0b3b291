"""The figures: what is measured for each, how its number comes about, and what it must reach."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from conversions import conversions
from load import measure
from models import LINEAR, MLS_ROWS_PER_SECOND, ROWS, TREE
from servers import (
    ADD,
    BURN_1,
    BURN_2,
    CARS,
    CARS_ONNX,
    CARS_ROWS,
    ECHO,
    FASTAPI,
    FRAMES,
    MLSERVER,
    OURS,
    STARTED,
    TORNADO,
    Servers,
)
from starts import cold_kernel, new_kernel, publish_to_answer

Numbers = dict[str, float]
"""What one measurement found in one round."""


@dataclass(frozen=True)
class Load:
    """Calls of one service of one server by so many clients."""

    server: str
    service: str
    clients: int

    def __str__(self) -> str:
        return f"{self.server}: {self.service}, {self.clients} client{'s' * (self.clients > 1)}"

    def needs(self) -> tuple[str, str]:
        """Which server with which service."""
        return self.server, self.service

    def run(self, servers: Servers, seconds: int) -> Numbers:
        """Measure once."""
        return measure(servers.target(self.server, self.service), self.clients, seconds)


@dataclass(frozen=True)
class Start:
    """Something that is started once a round; `time` gets the servers and returns seconds."""

    title: str
    time: Callable[[Servers], float]
    service: str = ""
    """Our service that must be there; empty for none but the server itself."""

    def __str__(self) -> str:
        return self.title

    def needs(self) -> tuple[str, str]:
        """Which server with which service."""
        return OURS, self.service

    def run(self, servers: Servers, seconds: int) -> Numbers:  # noqa: ARG002  # it takes as long as it takes
        """Measure once."""
        return {"seconds": self.time(servers)}


@dataclass(frozen=True)
class Conversion:
    """How many rows the ONNX forms of some estimators answer as the estimators do."""

    def __str__(self) -> str:
        return "scikit-learn's estimators converted"

    def needs(self) -> tuple[str, str]:
        """No server."""
        return "", ""

    def run(self, servers: Servers, seconds: int) -> Numbers:  # noqa: ARG002  # nobody is called
        """Convert and compare them all."""
        return conversions()


Measurement = Load | Start | Conversion


@dataclass(frozen=True)
class Figure:
    """A number about our server that stands beside another measurement of the same round."""

    key: str
    title: str
    ours: Measurement
    other: Measurement
    of: Callable[[Numbers, Numbers], float]
    bound: float
    at_most: bool = False
    unit: str = ""

    def rounds(self, raw: list[dict[str, Numbers]]) -> list[float]:
        """The number in each round."""
        return [self.of(one[str(self.ours)], one[str(self.other)]) for one in raw]

    def measured(self, raw: list[dict[str, Numbers]]) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds(raw))

    def shown(self, value: float) -> str:
        """Write a value of this figure."""
        return f"{value:.2f}{self.unit}"

    def must(self) -> str:
        """Write what it must reach."""
        return f"{'at most ' * self.at_most}{self.shown(self.bound)}"

    def reached(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value <= self.bound if self.at_most else value >= self.bound


def _throughput(ours: Numbers, other: Numbers) -> float:
    return ours["calls_per_second"] / other["calls_per_second"]


def _above(ours: Numbers, other: Numbers) -> float:
    return ours["p50_ms"] - other["p50_ms"]


def _of_mls(ours: Numbers, _: Numbers) -> float:
    return ours["calls_per_second"] * ROWS / MLS_ROWS_PER_SECOND


def _agreed(ours: Numbers, _: Numbers) -> float:
    return 100 * ours["agreed"] / ours["rows"]


def _share(ours: Numbers, other: Numbers) -> float:
    return ours["seconds"] / other["seconds"]


_COLD = Start("cold ipykernel until pandas and scikit-learn are imported", lambda _: cold_kernel())

FIGURES = (
    Figure(
        "add",
        "`add`, 16 clients, calls/s against bare Tornado in-process",
        Load(OURS, ADD, 16),
        Load(TORNADO, ADD, 16),
        _throughput,
        0.8,
    ),
    Figure(
        "add-latency",
        "`add`, 1 client, p50 above bare Tornado",
        Load(OURS, ADD, 1),
        Load(TORNADO, ADD, 1),
        _above,
        0.20,
        at_most=True,
        unit=" ms",
    ),
    Figure(
        "cars",
        "`cars`, 16 clients, one kernel, calls/s against FastAPI in-process",
        Load(OURS, CARS, 16),
        Load(FASTAPI, CARS, 16),
        _throughput,
        1.3,
    ),
    Figure(
        "batch-16",
        "`cars` batchable, 16 clients, one kernel, calls/s against FastAPI in-process",
        Load(OURS, CARS_ROWS, 16),
        Load(FASTAPI, CARS, 16),
        _throughput,
        3.5,
    ),
    Figure(
        "batch-64",
        "`cars` batchable, 64 clients, one kernel, calls/s against FastAPI in-process",
        Load(OURS, CARS_ROWS, 64),
        Load(FASTAPI, CARS, 64),
        _throughput,
        5.0,
    ),
    Figure(
        "two-kernels",
        "2 kernels against 1, CPU-bound calls of 20 ms, 8 clients",
        Load(OURS, BURN_2, 8),
        Load(OURS, BURN_1, 8),
        _throughput,
        1.8,
    ),
    Figure(
        "new-kernel",
        "new kernel ready to score, against a cold ipykernel start plus the same imports",
        Start("a call that waits for a new kernel of `cars`, minus a warm call", new_kernel, STARTED),
        _COLD,
        _share,
        0.25,
        at_most=True,
    ),
    Figure(
        "publish",
        "publish to first answer on a warm server, against the same cold start",
        Start("publishing `cars` until its first answer", publish_to_answer),
        _COLD,
        _share,
        0.6,
        at_most=True,
    ),
    Figure(
        "realtime",
        "realtime, one row, 16 clients, calls/s against bare Tornado echoing JSON",
        Load(OURS, CARS_ONNX, 16),
        Load(TORNADO, ECHO, 16),
        _throughput,
        0.8,
    ),
    Figure(
        "realtime-latency",
        "realtime, one row, 1 client, p50 above bare Tornado echoing JSON",
        Load(OURS, CARS_ONNX, 1),
        Load(TORNADO, ECHO, 1),
        _above,
        0.20,
        at_most=True,
        unit=" ms",
    ),
    Figure(
        "realtime-sklearn",
        "realtime, one row, 16 clients, calls/s against FastAPI with scikit-learn in-process",
        Load(OURS, CARS_ONNX, 16),
        Load(FASTAPI, CARS, 16),
        _throughput,
        4.0,
    ),
    Figure(
        "realtime-onnx",
        "realtime, one row, 16 clients, calls/s against FastAPI with onnxruntime in-process",
        Load(OURS, CARS_ONNX, 16),
        Load(FASTAPI, CARS_ONNX, 16),
        _throughput,
        0.8,
    ),
    Figure(
        "realtime-mlserver",
        "realtime, one row, 16 clients, calls/s against MLServer with scikit-learn in-process",
        Load(OURS, CARS_ONNX, 16),
        Load(MLSERVER, CARS, 16),
        _throughput,
        3.0,
    ),
    *(
        Figure(
            f"realtime-{name}",
            f"realtime, {name} model, 10 columns in Arrow, 1 client, rows/s against bare Tornado with onnxruntime",
            Load(OURS, FRAMES[name], 1),
            Load(TORNADO, FRAMES[name], 1),
            _throughput,
            0.5,
        )
        for name in (LINEAR, TREE)
    ),
    *(
        Figure(
            f"headline-{name}",
            f"realtime, {name} model, rows/s in millions: how many times Machine Learning Server's headline",
            Load(OURS, FRAMES[name], 1),
            Load(TORNADO, FRAMES[name], 1),
            _of_mls,
            1.0,
        )
        for name in (LINEAR, TREE)
    ),
    Figure(
        "conversion",
        "rows that converted scikit-learn estimators answer as before, or the model is refused",
        Conversion(),
        Conversion(),
        _agreed,
        100.0,
        unit=" %",
    ),
)
