"""The Jupyter server extension itself: its settings, its URLs, its end."""

from __future__ import annotations

import os

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Unicode, default

from jupyter_mlops.discovery import URL_VARIABLE, data_dir
from jupyter_mlops.extension.backend import Backend
from jupyter_mlops.extension.events import EventsHandler
from jupyter_mlops.extension.forward import CallHandler, ForwardHandler, LoginHandler, PageHandler


class MLOpsExtension(ExtensionApp):
    """Shows the services of this account in Jupyter, at `{base_url}mlops/`.

    The server that runs them is a process of its own, so that closing JupyterLab does not take services
    down and a large notebook does not delay a call. It is found or started when it is first needed:
    opening JupyterLab alone starts nothing.
    """

    name = "mlops"
    load_other_extensions = True

    server_url = Unicode(
        config=True,
        help="""Address of a shared jupyter_mlops server, such as https://models.example.org.

        Empty, the default, means the server of `data_dir`, started when it is needed. A shared server gets
        the caller's own bearer token, else the one in the environment variable JUPYTER_MLOPS_TOKEN. The
        default is taken from the environment variable JUPYTER_MLOPS_URL.
        """,
    )
    data_dir = Unicode(
        config=True,
        help="""The data directory whose server is found or started.

        The default is the environment variable JUPYTER_MLOPS_DATA_DIR, else `mlops` in Jupyter's own data
        directory. Several Jupyter servers may share one.
        """,
    )
    stop_with_jupyter = Bool(
        default_value=False,
        config=True,
        help="""End the server when Jupyter ends, if this Jupyter server started it.

        By default it lives on, and its services with it, until `jupyter mlops stop`. Turn this on where
        nothing may outlive Jupyter, such as in a container that is about to be removed.
        """,
    )

    @default("server_url")
    def _server_url_default(self) -> str:
        return os.environ.get(URL_VARIABLE, "")

    @default("data_dir")
    def _data_dir_default(self) -> str:
        return str(data_dir())

    def initialize_handlers(self) -> None:
        """Every URL of the extension."""
        self.backend = Backend(data_dir(self.data_dir), self.server_url, self.log)
        backend = {"backend": self.backend}
        self.handlers.extend(
            [
                (r"/mlops/events", EventsHandler, backend),
                (r"/mlops/docs/?", PageHandler, backend),
                (r"/mlops/login(?:/refreshToken)?", LoginHandler, backend),
                (r"/mlops/api/.*", CallHandler, backend),
                (r"/mlops/.*", ForwardHandler, backend),
            ]
        )

    async def stop_extension(self) -> None:
        """Leave the server running, unless `stop_with_jupyter` says otherwise."""
        if self.stop_with_jupyter:
            await self.backend.stop()
