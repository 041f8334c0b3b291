"""Completion of the magics' arguments: options, variables, and the names of services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.notebook.arguments import (
    AUTO,
    BATCH_ACTIONS,
    ENGINES,
    LOCKED,
    PRIORITIES,
    SNAPSHOT_ACTIONS,
    batch_parser,
    mlops_parser,
    publish_parser,
    snapshot_parser,
)

_RECORDS = frozenset({".csv", ".tsv", ".json", ".ndjson", ".jsonl", ".parquet", ".arrow", ".feather"})
_VARIABLES = frozenset({"--function", "--init", "--drop", "--keep", "--sample"})


def add_completers(shell: Any) -> None:
    """Teach a shell to complete the magics.

    Parameters
    ----------
    shell:
        The IPython shell.
    """
    publishing = {"%publish": publish_parser(cell=False), "%%publish": publish_parser(cell=True)}
    for magic, parser in publishing.items():
        shell.set_hook("complete_command", _publish_completer(shell, _options(parser), magic), str_key=magic)
    shell.set_hook(
        "complete_command", _fixed(["connect", "status", "disconnect", *_options(mlops_parser())]), str_key="%mlops"
    )
    shell.set_hook("complete_command", _services_completer(shell), str_key="%services")
    shell.set_hook("complete_command", _snapshot_completer(shell), str_key="%snapshot")
    shell.set_hook("complete_command", _batch_completer(shell), str_key="%batch")


def _options(parser: Any) -> list[str]:
    return [spelling for action in parser._actions for spelling in action.option_strings]  # noqa: SLF001


def _fixed(words: list[str]) -> Callable[[Any, Any], list[str]]:
    return lambda _, __: words


def _publish_completer(shell: Any, options: list[str], magic: str) -> Callable[[Any, Any], list[str]]:
    def complete(_: Any, event: Any) -> list[str]:
        words = event.text_until_cursor.split()
        fresh = event.text_until_cursor[-1:].isspace()
        before = words if fresh else words[:-1]
        if before and before[-1] in _VARIABLES:
            return _variables(shell)
        if before[-1:] == ["--environment"]:
            return [LOCKED]
        if before[-1:] == ["--realtime"]:
            return [AUTO, *(_models(shell) if magic == "%%publish" else [])]
        if magic == "%publish" and len(before) == 1:
            return [name for name in _variables(shell) if _publishable(shell.user_ns[name])]
        if not fresh and words[-1].startswith("-"):
            return options
        return options + _service_names(shell)

    return complete


def _services_completer(shell: Any) -> Callable[[Any, Any], list[str]]:
    return lambda _, __: _service_names(shell)


def _snapshot_completer(shell: Any) -> Callable[[Any, Any], list[str]]:
    options = _options(snapshot_parser())

    def complete(_: Any, event: Any) -> list[str]:
        words = event.text_until_cursor.split()
        before = words if event.text_until_cursor[-1:].isspace() else words[:-1]
        if before[-1:] and before[-1] in _VARIABLES:
            return _variables(shell)
        if before[-1:] == ["--files"]:
            return sorted(path.name for path in Path().iterdir() if not path.name.startswith("."))
        if len(before) == 2 and before[1] in SNAPSHOT_ACTIONS:  # noqa: PLR2004
            return _snapshot_names(shell)
        return [*SNAPSHOT_ACTIONS, *options] if len(before) == 1 else options

    return complete


def _batch_completer(shell: Any) -> Callable[[Any, Any], list[str]]:
    options = _options(batch_parser())
    values = {"--priority": PRIORITIES, "--engine": ENGINES}

    def complete(_: Any, event: Any) -> list[str]:
        words = event.text_until_cursor.split()
        fresh = event.text_until_cursor[-1:].isspace()
        before = words if fresh else words[:-1]
        if before[-1:] and before[-1] in values:
            return list(values[before[-1]])
        if len(before) == 1:
            return [*BATCH_ACTIONS, *_services_with_versions(shell)]
        if before[1] == "attach":
            return _batch_ids(shell)
        if len(before) == 2 and not words[-1].startswith("-"):  # noqa: PLR2004
            files = sorted(path.name for path in Path().iterdir() if path.suffix in _RECORDS)
            return [*_variables(shell), *files]
        return options

    return complete


def _snapshot_names(shell: Any) -> list[str]:
    transport = _connected(shell)
    if transport is None:
        return []
    from jupyter_mlops.client.snapshot import snapshots

    try:
        return [text for one in snapshots(transport) for text in dict.fromkeys((one.name, one.id))]
    except MLOpsError:
        return []


def _connected(shell: Any) -> Any:
    """The connection, if there is one; completing never starts a server."""
    return getattr(shell.magics_manager.registry.get("MLOpsMagics"), "connected", None)


def _variables(shell: Any) -> list[str]:
    return [name for name in shell.user_ns if not name.startswith("_") and name not in shell.user_ns_hidden]


def _models(shell: Any) -> list[str]:
    return [name for name in _variables(shell) if hasattr(shell.user_ns[name], "predict")]


def _publishable(value: Any) -> bool:
    return callable(value) or hasattr(value, "predict")


def _service_names(shell: Any) -> list[str]:
    """Names of the services at the server that is connected; completing never starts one."""
    transport = _connected(shell)
    if transport is None:
        return []
    from jupyter_mlops.client.lookup import find

    try:
        return sorted({view.name for view in find(transport)})
    except MLOpsError:
        return []


def _services_with_versions(shell: Any) -> list[str]:
    transport = _connected(shell)
    if transport is None:
        return []
    from jupyter_mlops.client.lookup import find

    try:
        views = find(transport)
    except MLOpsError:
        return []
    return sorted({text for view in views for text in (view.name, f"{view.name}/{view.version}")})


def _batch_ids(shell: Any) -> list[str]:
    transport = _connected(shell)
    if transport is None:
        return []
    from jupyter_mlops.client.deploy import DeployClient

    try:
        return [one.id for one in DeployClient.over(transport).batches()]
    except MLOpsError:
        return []
