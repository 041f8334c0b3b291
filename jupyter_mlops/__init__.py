"""Turn a function in a Jupyter notebook into a live, versioned, secured web service.

`%load_ext jupyter_mlops` loads the magics; `DeployClient` is for any Python program. Nothing heavy is
imported here: names are looked up when they are first used, because this module is also imported inside
every scoring kernel, and by every room of the house.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_mlops.client import DeployClient as DeployClient
    from jupyter_mlops.models import serialize_model as serialize_model
    from jupyter_mlops.notebook.batch_monitor import batch_monitor as batch_monitor
    from jupyter_mlops.notebook.picker import snapshot_widget as snapshot_widget

__version__ = "0.1.0"

_LAZY = {
    "batch_monitor": "jupyter_mlops.notebook.batch_monitor",
    "DeployClient": "jupyter_mlops.client",
    "serialize_model": "jupyter_mlops.models",
    "snapshot_widget": "jupyter_mlops.notebook.picker",
}

__all__ = [
    "DeployClient",
    "__version__",
    "batch_monitor",
    "load_ipython_extension",
    "serialize_model",
    "snapshot_widget",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: what `%load_ext jupyter_mlops` calls."""
    import_module("jupyter_mlops.notebook.magics").register(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "jupyter-mlops"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    module = "jupyter_mlops.extension.app"
    return [{"module": module, "app": import_module(module).MLOpsExtension}]
