"""The setting of the Dask engine, and what is made of it."""

from __future__ import annotations

import importlib.util

from traitlets import HasTraits, Unicode

from jupyter_mlops.server.cluster.driver import Driver
from jupyter_mlops.server.kernels.channel import Listener
from jupyter_mlops.server.kernels.launcher import Launcher

NO_SCHEDULER = "this server has no Dask scheduler: start it with --dask tcp://HOST:PORT"
NOT_INSTALLED = (
    "this server has a Dask scheduler and no Dask: install it beside the server with "
    "pip install 'jupyter_mlops[dask]', and start the server again"
)


class ClusterSettings(HasTraits):
    """The trait of the application that the Dask engine has for itself."""

    dask_scheduler = Unicode(
        "",
        config=True,
        help="Address of a Dask scheduler, such as tcp://10.0.0.5:8786, on whose workers batches may run that ask for "
        "the engine dask. Its workers need this package, and what the services import.",
    )


def make_driver(settings: ClusterSettings, launcher: Launcher, listener: Listener) -> Driver | str:
    """Make the way to the cluster, or say why there is none; nothing is started yet.

    Parameters
    ----------
    settings:
        Which cluster.
    launcher:
        Its directory and variables are the driver's too.
    listener:
        What the driver connects to.
    """
    if not settings.dask_scheduler:
        return NO_SCHEDULER
    if not installed():
        return NOT_INSTALLED
    return Driver(settings.dask_scheduler, listener, launcher.environment, launcher.directory)


def installed() -> bool:
    """Whether this machine has what the driver needs; nothing of it is imported here."""
    return importlib.util.find_spec("distributed") is not None
