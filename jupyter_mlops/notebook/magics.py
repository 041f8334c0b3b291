"""The magics: `%mlops`, `%%publish`, `%publish`, `%services`, `%snapshot`, `%batch`. Each loads what it needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.notebook.arguments import (
    AUTO,
    batch_parser,
    help_of,
    mlops_parser,
    parse,
    publish_parser,
    services_parser,
    snapshot_parser,
)

if TYPE_CHECKING:
    from jupyter_mlops.client.service import Service
    from jupyter_mlops.client.transport import Transport

PASSWORD_VARIABLE = "JUPYTER_MLOPS_PASSWORD"  # noqa: S105

_CELL_EXAMPLE = """    %%publish adder 1.0 --sample 1,2
    def add(x: float, y: float) -> float:
        return x + y

    %%publish cars 1.0 --batchable --sample X.head(3) --kernels 1:4 --memory 2GB
    def manual(cars):                 # a DataFrame with a row for each call that waits
        return model.predict(cars)    # and one value for each row

    %%publish cars 2.0 --realtime
    model = LogisticRegression().fit(X, y)"""
_LINE_EXAMPLE = """    %publish add adder 1.0 --sample 1,2

    %publish model cars 1.0 --batchable --sample X.head(3) --kernels 1:4

    %publish model cars 2.0 --realtime auto"""

_SNAPSHOT_EXAMPLE = """    %snapshot before_tuning

    %snapshot list

    %snapshot load before_tuning --overwrite"""

_BATCH_EXAMPLE = """    %batch adder/1.0 [{"x": 1, "y": 2}, {"x": 3, "y": 4}] --as job

    %batch list"""


@magics_class
class MLOpsMagics(Magics):
    """The magics of one shell, and its connection to a server."""

    shell: Any

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._transport: Transport | None = None
        self._chosen = False

    @no_var_expand
    @line_magic
    def mlops(self, line: str) -> None:
        """Choose or show the server."""
        with readable():
            options = parse(mlops_parser(), line)
            match options.action:
                case "connect":
                    self._connect(options.url, options.user)
                case "disconnect":
                    self._disconnect()
                case _:
                    self._status()

    @no_var_expand
    @cell_magic("publish")  # type: ignore[arg-type]
    def publish_cell(self, line: str, cell: str) -> Service:
        """Run the cell and publish the function it defines last, or its model."""
        from jupyter_mlops.notebook.cell import last_function, run

        with readable():
            options = parse(publish_parser(cell=True), line)
            if options.realtime is not None:
                return self._publish_model(cell, options)
            name = options.function
            if name is None:
                name = last_function(self.shell, cell)
            run(self.shell, cell)
            return self._publish(name, options)

    @no_var_expand
    @line_magic("publish")  # type: ignore[arg-type]
    def publish_line(self, line: str) -> Service:
        """Publish a function, a fitted estimator, or a pickle or joblib file."""
        with readable():
            options = parse(publish_parser(cell=False), line)
            return self._publish(options.what, options)

    @no_var_expand
    @line_magic
    def services(self, line: str) -> Any:
        """Show the services, or one of them."""
        from jupyter_mlops.client.lookup import find
        from jupyter_mlops.client.service import make_service
        from jupyter_mlops.notebook.display import ServiceTable

        with readable():
            options = parse(services_parser(), line)
            transport = self.connection()
            views = find(transport, options.name, options.version)
            if options.name is None or (options.version is None and len(views) > 1):
                return ServiceTable(views, transport.url)
            if not views:
                raise UsageError(f"there is no service {options.name!r} that you may see; %services lists them all")
            return make_service(views[-1], transport)

    @no_var_expand
    @line_magic
    def snapshot(self, line: str) -> Any:
        """Show what is in this kernel and keep it on the server; list, load, download and delete what was kept."""
        from jupyter_mlops.notebook.snapshots import snapshot_line

        with readable():
            return snapshot_line(self.shell, self.connection, parse(snapshot_parser(), line))

    @no_var_expand
    @line_magic
    def batch(self, line: str) -> Any:
        """Send many records to a service at once, and watch them; or show batches that there are."""
        from jupyter_mlops.notebook.batches import batch_line

        with readable():
            return batch_line(self.shell, self.connection, parse(batch_parser(), line))

    @property
    def connected(self) -> Transport | None:
        """The connection, if there is one already."""
        return self._transport

    def connection(self) -> Transport:
        """The connection that was chosen, else the one that is found."""
        from jupyter_mlops.client.connect import connect

        if self._transport is None:
            self._transport = connect()
        return self._transport

    def _publish_model(self, cell: str, options: Any) -> Service:
        from jupyter_mlops.notebook.cell import run
        from jupyter_mlops.notebook.realtime import model_name

        run(self.shell, cell)
        if options.realtime in {"", AUTO}:
            return self._publish(model_name(self.shell, cell), options)
        return self._publish(options.realtime, options)

    def _publish(self, what: str, options: Any) -> Service:
        from jupyter_mlops.notebook.display import register_formatters
        from jupyter_mlops.notebook.publish import publish_named

        if options.variable is not None and not options.variable.isidentifier():
            raise UsageError(f"--as {options.variable}: that is no name of a variable")
        register_formatters(self.shell)
        service, sample = publish_named(self.shell, self.connection, what, options)
        service.example = sample
        if options.variable is not None:
            self.shell.push({options.variable: service})
        return service

    def _connect(self, url: str | None, user: str | None) -> None:
        from jupyter_mlops.client.connect import connect

        auth = None if user is None else (user, _password(user))
        if self._transport is not None:
            self._transport.close()
        self._transport, self._chosen = connect(url, auth), url is not None or user is not None
        self._status()

    def _disconnect(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._transport, self._chosen = None, False
        print("Disconnected; the next magic finds or starts this account's server.")  # noqa: T201

    def _status(self) -> None:
        from jupyter_mlops.client.lookup import find

        transport = self.connection()
        health = transport.json("GET", "/health")
        count = len(find(transport))
        how = "chosen with %mlops connect" if self._chosen else "found by itself"
        print(f"Connected to {transport.url} ({how}), version {health['version']}, {count} service(s).")  # noqa: T201


@contextmanager
def readable() -> Iterator[None]:
    """Turn every refusal into one message without a traceback; the cell fails nevertheless."""
    try:
        yield
    except MLOpsError as error:
        raise UsageError(str(error)) from None


def _password(user: str) -> str:
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is not None:
        return password
    if not sys.stdin or not hasattr(sys.stdin, "readline"):
        raise UsageError(f"there is nobody to ask for {user}'s password; put it into {PASSWORD_VARIABLE}")
    from getpass import getpass

    return getpass(f"Password of {user}: ")


def register(shell: Any) -> None:
    """Add the magics to a shell; a second time changes nothing.

    Parameters
    ----------
    shell:
        The IPython shell.
    """
    if "MLOpsMagics" in shell.magics_manager.registry:
        return
    shell.register_magics(MLOpsMagics)
    from jupyter_mlops.notebook.completion import add_completers

    add_completers(shell)


for _function, _parser, _example in (
    (MLOpsMagics.mlops, mlops_parser(), "    %mlops status"),
    (MLOpsMagics.publish_cell, publish_parser(cell=True), _CELL_EXAMPLE),
    (MLOpsMagics.publish_line, publish_parser(cell=False), _LINE_EXAMPLE),
    (MLOpsMagics.services, services_parser(), "    %services\n\n    %services cars 1.0"),
    (MLOpsMagics.snapshot, snapshot_parser(), _SNAPSHOT_EXAMPLE),
    (MLOpsMagics.batch, batch_parser(), _BATCH_EXAMPLE),
):
    _function.__doc__ = help_of(_parser, _example, _function.__doc__ or "")
