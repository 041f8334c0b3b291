"""What the cells show: the card of a service and the table of services, as text and as HTML.

Everything that a user wrote is escaped; there is no script and nothing is loaded from anywhere. Colours
are Jupyter's own variables, so that the card follows the theme.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

from jupyter_mlops.client.pools import Pool, duration
from jupyter_mlops.client.service import Service
from jupyter_mlops.container import Header, InputColumn, OutputColumn
from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.schema.realtime import INPUT, OUTPUT
from jupyter_mlops.schema.revisions import Provenance
from jupyter_mlops.schema.services import ServiceView
from jupyter_mlops.schema.snapshots import Captured
from jupyter_mlops.schema.types import Parameter, ValueType

STYLE = (
    "font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 13px; line-height: 1.5; "
    "color: var(--jp-ui-font-color1, inherit); border: 1px solid var(--jp-border-color2, #bdbdbd); "
    "border-radius: 4px; padding: 10px 14px; max-width: 860px"
)
MUTED = "color: var(--jp-ui-font-color2, #757575)"
_GOOD = "color: var(--jp-success-color1, #388e3c)"
_CODE = (
    "font-family: var(--jp-code-font-family, monospace); font-size: 12px; margin: 2px 0; padding: 4px 8px; "
    "white-space: pre-wrap; overflow-wrap: anywhere; "
    "background: var(--jp-layout-color2, rgba(127, 127, 127, 0.1)); color: inherit; border-radius: 3px"
)
TABLE = "border-collapse: collapse; color: inherit; font: inherit"
ROW = "background: none"
CELL = "text-align: left; padding: 1px 14px 1px 0; vertical-align: top; background: none"
_LINK = "color: var(--jp-content-link-color, #1976d2)"
_KILO = 1024

_CELLS = {"double": 1.0, "float": 1.0, "integer": 1, "string": "text", "logical": True}
_EXAMPLES: dict[ValueType, Any] = {
    ValueType.INTEGER: 1,
    ValueType.NUMERIC: 1.0,
    ValueType.CHARACTER: "text",
    ValueType.LOGICAL: True,
    ValueType.VECTOR: [1.0, 2.0],
    ValueType.MATRIX: [[1.0, 2.0], [3.0, 4.0]],
    ValueType.DATA_FRAME: {"column": [1.0, 2.0]},
}


class Card:
    """Shows one service.

    Parameters
    ----------
    service:
        The service; the lines that call it use its example, or made up values when it has none.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._view = service.view
        self._sample = _made_up(self._view) if service.example is None else service.example

    def text(self) -> str:
        """The card as plain text."""
        view = self._view
        lines = [f"{view.name} {view.version}  ({self._state()})"]
        lines += [f"  {view.description}"] if view.description else []
        lines += [f"  {label + ':':<11}{value}" for label, value in self._facts()]
        lines += [f"  captured:  {size(view.snapshot_size)}"] if _shown(view) or _modules(view) else []
        lines += [f"    {one.name:<24} {_kind(one):<28} {size(one.size)}" for one in _shown(view)]
        lines += [f"  modules:   {', '.join(_modules(view))}"] if _modules(view) else []
        lines += [f"  curl:      {self.curl()}", f"  Python:    {self.python()}"]
        return "\n".join(lines)

    def html(self) -> str:
        """The card as HTML."""
        view = self._view
        title = f"<strong style='font-size: 15px'>{escape(view.name)}</strong> {escape(view.version)}"
        parts = [f"<div>{title} &nbsp;<span style='{_GOOD}'>{escape(self._state())}</span></div>"]
        if view.description:
            parts.append(f"<div style='{MUTED}'>{escape(view.description)}</div>")
        rows = [(escape(label), self._linked(label, value)) for label, value in self._facts()]
        captured = "<br>".join(
            f"{escape(one.name)} <span style='{MUTED}'>{escape(_kind(one))}, {size(one.size)}</span>"
            for one in _shown(view)
        )
        if captured:
            rows.append((f"captured ({size(view.snapshot_size)})", captured))
        if _modules(view):
            rows.append(("modules", escape(", ".join(_modules(view)))))
        parts.append(_table(rows))
        for label, line in (("curl", self.curl()), ("Python", self.python())):
            parts.append(
                f"<div style='{MUTED}; margin-top: 6px'>{label}</div><pre style='{_CODE}'>{escape(line)}</pre>"
            )
        return f"<div style='{STYLE}'>{''.join(parts)}</div>"

    def curl(self) -> str:
        """A line for a terminal that calls the service; it asks for the token when it runs."""
        body = shlex.quote(json.dumps(self._sample))
        return (
            f'curl -s -X POST {shlex.quote(self._service.url)} -H "Authorization: Bearer $(jupyter mlops token)" '
            f"-H 'Content-Type: application/json' -d {body}"
        )

    def python(self) -> str:
        """A line of Python that calls the service."""
        view = self._view
        found = f"DeployClient().get_service({view.name!r}, {view.version!r})"
        plain = all(name.isidentifier() for name in self._sample)
        values = ", ".join(map(repr, self._sample.values())) if plain else repr(self._sample)
        return f"from jupyter_mlops import DeployClient; {found}.{self._service.alias}({values})"

    def _state(self) -> str:
        if self._view.model is not None:
            proof = "answered made-up rows" if self._view.proof == "answered" else "loaded, not run"
            return f"unchanged: this was published already; {proof}" if self._service.unchanged else proof
        proof = "loaded and answered the sample" if self._view.proof == "answered" else "loaded, not run"
        return f"unchanged: this was published already; {proof}" if self._service.unchanged else proof

    def _facts(self) -> list[tuple[str, str]]:
        view = self._view
        if view.model is not None:
            facts = [*_model_facts(view.model, view.snapshot_size), *self._pool_facts()]
            return [*facts, ("URL", self._service.url), ("docs", docs_url(self._service))]
        facts = [
            ("inputs", _parameters(view.input_parameter_definitions)),
            ("outputs", _parameters(view.output_parameter_definitions)),
        ]
        if view.output_file_names:
            facts.append(("artifacts", ", ".join(view.output_file_names)))
        if view.batchable:
            facts.append(("batchable", "calls that wait together run as one"))
        facts += [("differs", difference) for difference in view.differences]
        facts += self._pool_facts() + self._origin()
        facts += [("URL", self._service.url), ("docs", docs_url(self._service))]
        return facts

    def _pool_facts(self) -> list[tuple[str, str]]:
        try:
            pool = self._service.pool()
        except MLOpsError:  # the card is also shown when its service or server has gone
            return []
        busy = sum(kernel.state == "busy" for kernel in pool.kernels)
        if self._view.model is not None:
            return [("workers", f"{len(pool.kernels)} hold the model"), *_call_facts(pool)]
        most = str(pool.settings.max_pool_size) if pool.settings.max_pool_size else "one a core"
        shown = f"{len(pool.kernels)} ({busy} busy); at least {pool.settings.initial_pool_size}, at most {most}"
        return [("kernels", shown), *_call_facts(pool)]

    def _origin(self) -> list[tuple[str, str]]:
        """Where the revision in force came from, for those who may see it."""
        try:
            found = next((one.provenance for one in self._service.revisions() if one.current), Provenance())
        except MLOpsError:  # it is somebody else's, or has gone
            return []
        counts = ", ".join(str(cell.execution_count) for cell in found.cells if cell.execution_count is not None)
        commit = f"commit {found.commit[:10]}{' and changes' if found.dirty else ''}" if found.commit else ""
        parts = [found.notebook, f"cells {counts}" if counts else "", commit]
        return [("made from", "; ".join(filter(None, parts)))] if any(parts) else []

    def _linked(self, label: str, value: str) -> str:
        if label != "docs":
            return escape(value)
        return f"<a href='{escape(value)}' target='_blank' rel='noopener' style='{_LINK}'>{escape(value)}</a>"


def _call_facts(pool: Pool) -> list[tuple[str, str]]:
    facts = [("calls", f"{pool.calls}, {pool.errors} errors, p50 {duration(pool.p50)}")] if pool.calls else []
    return [*facts, ("last error", pool.last_error)] if pool.last_error else facts


def _model_facts(model: Header, bytes_: int) -> list[tuple[str, str]]:
    """What is shown of a realtime service."""
    facts = [
        ("kind", "Realtime: ONNX, scored without a kernel"),
        ("model", f"{model.kind} of {model.library}, {size(bytes_)}"),
        ("inputs", f"{INPUT}: {_columns(model.inputs)}"),
        ("outputs", f"{OUTPUT}: {_columns(model.outputs)}"),
    ]
    if model.parity is not None:
        same = f"{model.parity.rows - model.parity.mismatched} of {model.parity.rows}"
        facts.append(("parity", f"{same} rows answered as the model does, within {model.parity.tolerance:g}"))
    return facts


def _columns(columns: Sequence[InputColumn | OutputColumn], most: int = 24) -> str:
    more = f" and {len(columns) - most} more" if len(columns) > most else ""
    return ", ".join(f"{one.name} ({one.type})" for one in columns[:most]) + more


class ServiceTable:
    """Shows all services.

    Parameters
    ----------
    views:
        What the server says about them.
    url:
        The server's address.
    """

    def __init__(self, views: list[ServiceView], url: str) -> None:
        self.views = views
        self._url = url

    def __repr__(self) -> str:
        if not self.views:
            return f"No services at {self._url} yet: put %%publish NAME on top of a cell that defines a function."
        rows = [_HEADINGS, *(_row(view) for view in self.views)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)

    def _repr_html_(self) -> str:
        if not self.views:
            return f"<div style='{STYLE}'>{escape(repr(self))}</div>"
        head = "".join(f"<th style='{CELL}; {MUTED}; font-weight: normal'>{escape(name)}</th>" for name in _HEADINGS)
        body = "".join(
            f"<tr style='{ROW}'>" + "".join(f"<td style='{CELL}'>{escape(cell)}</td>" for cell in _row(view)) + "</tr>"
            for view in self.views
        )
        table = f"<table style='{TABLE}; margin: 0'><tr style='{ROW}'>{head}</tr>{body}</table>"
        return f"<div style='{STYLE}'>{table}</div>"


_HEADINGS = ("name", "version", "kind", "inputs", "outputs", "published by", "published", "proof")


def _row(view: ServiceView) -> tuple[str, ...]:
    return (
        view.name,
        view.version,
        view.runtime_type,
        _parameters(view.input_parameter_definitions) if view.model is None else _columns(view.model.inputs, 3),
        _parameters(view.output_parameter_definitions) if view.model is None else _columns(view.model.outputs, 3),
        view.version_published_by,
        view.creation_time.partition(".")[0].replace("T", " "),
        view.proof,
    )


def register_formatters(shell: Any) -> None:
    """Let a service that is a cell's result show its card.

    Parameters
    ----------
    shell:
        The IPython shell.
    """
    formatters = shell.display_formatter.formatters
    formatters["text/html"].for_type(Service, lambda service: Card(service).html())
    formatters["text/plain"].for_type(Service, lambda service, printer, _: printer.text(Card(service).text()))


def docs_url(service: Service) -> str:
    """Where the service's documentation is."""
    return f"{service.server}/docs?{urlencode({'service': service.name, 'version': service.version})}"


def size(count: int) -> str:
    """A number of bytes for people."""
    if count < _KILO:
        return f"{count} B"
    amount, units = count / _KILO, ["KiB", "MiB", "GiB", "TiB"]
    while amount >= _KILO and len(units) > 1:
        amount, units = amount / _KILO, units[1:]
    return f"{amount:.1f} {units[0]}"


def _parameters(parameters: tuple[Parameter, ...]) -> str:
    return ", ".join(f"{one.name}: {one.type.value}{_refined(one)}" for one in parameters) or "none"


def _refined(one: Parameter) -> str:
    return f" ({one.format})" if one.format else ""


def _shown(view: ServiceView) -> list[Captured]:
    return [] if view.model is not None else [one for one in view.captured if one.kind != "module"]


def _modules(view: ServiceView) -> list[str]:
    return [one.type for one in view.captured if one.kind == "module"]


def _kind(one: Captured) -> str:
    return one.type if one.kind == "data" else one.kind


def _made_up(view: ServiceView) -> dict[str, Any]:
    if view.model is not None:
        return {
            INPUT: {one.name: [one.categories[0] if one.categories else _CELLS[one.type]] for one in view.model.inputs}
        }
    return {one.name: _EXAMPLES[one.type] for one in view.input_parameter_definitions}


def _table(rows: list[tuple[str, str]]) -> str:
    body = "".join(
        f"<tr style='{ROW}'><td style='{CELL}; {MUTED}'>{label}</td><td style='{CELL}'>{value}</td></tr>"
        for label, value in rows
    )
    return f"<table style='{TABLE}; margin: 6px 0 0 0'>{body}</table>"
