"""Counts for Prometheus: calls, their times, and what the pools hold."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from jupyter_mlops.schema.channel import Outcome

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class CallMetrics:
    """The counts of one version, looked up once and not per call.

    Parameters
    ----------
    calls, rows, seconds:
        The metric families.
    labels:
        Service and version.
    """

    def __init__(self, calls: Counter, rows: Counter, seconds: Histogram, labels: tuple[str, str]) -> None:
        self._rows_answered = rows.labels(*labels, "answered")
        self._rows_failed = rows.labels(*labels, "failed")
        self._seconds = seconds.labels(*labels)
        self._answered = calls.labels(*labels, "answered")
        self._raised = calls.labels(*labels, "raised")
        self._refused = calls.labels(*labels, "failed")

    def count(self, seconds: float, outcome: int) -> None:
        """Count one call; an outcome that is none of the kernel's is a call that got no answer."""
        if outcome == Outcome.ANSWERED:
            self._answered.inc()
        elif outcome == Outcome.RAISED:
            self._raised.inc()
        else:
            self._refused.inc()
        self._seconds.observe(seconds)

    def count_rows(self, answered: int, failed: int) -> None:
        """Count rows of batches whose results were recorded."""
        self._rows_answered.inc(answered)
        self._rows_failed.inc(failed)


class Metrics:
    """Every metric of the server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        names = ("service", "version")
        self._calls = Counter("mlops_calls", "Calls by how they ended.", (*names, "outcome"), registry=self._registry)
        self._rows = Counter(
            "mlops_batch_rows", "Recorded rows of batches.", (*names, "outcome"), registry=self._registry
        )
        self._seconds = Histogram(
            "mlops_call_seconds", "Time from acceptance to answer.", names, buckets=_SECONDS, registry=self._registry
        )
        self._kernels = Gauge("mlops_kernels", "Scoring kernels.", (*names, "state"), registry=self._registry)
        self._waiting = Gauge("mlops_waiting_calls", "Calls that wait for a kernel.", names, registry=self._registry)
        self._restarts = Gauge("mlops_kernel_deaths", "Kernels that ended.", names, registry=self._registry)

    def of(self, service: str, version: str) -> CallMetrics:
        """The counts of one version."""
        return CallMetrics(self._calls, self._rows, self._seconds, (service, version))

    def show_pool(self, service: str, version: str, *, idle: int, busy: int, waiting: int, deaths: int) -> None:
        """Set what one pool holds now."""
        self._kernels.labels(service, version, "idle").set(idle)
        self._kernels.labels(service, version, "busy").set(busy)
        self._waiting.labels(service, version).set(waiting)
        self._restarts.labels(service, version).set(deaths)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
