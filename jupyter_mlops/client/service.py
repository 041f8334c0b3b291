"""A published service as a Python object with a function of its own."""

from __future__ import annotations

import inspect
import keyword
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from jupyter_mlops.client.batch import Batch, executions
from jupyter_mlops.client.encoding import encode, encode_column
from jupyter_mlops.client.history import History
from jupyter_mlops.client.pools import Pool, configure, look
from jupyter_mlops.client.response import Asked, ServiceResponse
from jupyter_mlops.client.sample import is_column
from jupyter_mlops.client.sources import source_of
from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.errors import DeadlineExceeded, InvalidInput, InvalidRequest, KernelDied
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.pools import PoolSettings
from jupyter_mlops.schema.services import MINE, ServiceView
from jupyter_mlops.schema.types import Parameter, ValueType

DEFAULT_ALIAS = "consume"
GRACE_SECONDS = 30.0
"""How much longer than the service's deadline a caller waits: a kernel may have to start first."""

_PYTHON_TYPES = {
    ValueType.INTEGER: "int",
    ValueType.NUMERIC: "float",
    ValueType.CHARACTER: "str",
    ValueType.LOGICAL: "bool",
    ValueType.VECTOR: "array",
    ValueType.MATRIX: "matrix",
    ValueType.DATA_FRAME: "DataFrame",
}

_SPELLED = {
    ValueType.VECTOR: "numpy.array",
    ValueType.MATRIX: "numpy.matrix",
    ValueType.DATA_FRAME: "pandas.DataFrame",
}


class Service(History):
    """A version of a service; its consume function is an attribute named after the service's alias.

    Parameters
    ----------
    view:
        What the server says about the service.
    transport:
        The way to the server.
    """

    example: dict[str, Any] | None = None
    """Inputs, as they are on the wire, that the service is known to answer."""

    def __init__(self, view: ServiceView, transport: Transport, *, unchanged: bool = False) -> None:
        self._view = view
        self._transport = transport
        self._unchanged = unchanged
        self._alias = self._free_name(view.operation_id or DEFAULT_ALIAS)
        self.__dict__[self._alias] = self._consume_function()

    @property
    def name(self) -> str:
        """The service's name."""
        return self._view.name

    @property
    def version(self) -> str:
        """The service's version."""
        return self._view.version

    @property
    def alias(self) -> str:
        """Name of the consume function."""
        return self._alias

    @property
    def url(self) -> str:
        """Where the service is called: POST its inputs as JSON here."""
        return f"{self._transport.url}{self._path()}"

    @property
    def server(self) -> str:
        """The server's address."""
        return self._transport.url

    @property
    def view(self) -> ServiceView:
        """All that the server says about the service."""
        return self._view

    @property
    def unchanged(self) -> bool:
        """Whether the publish that returned this found the same content there already."""
        return self._unchanged

    def __call__(self, *args: Any, **inputs: Any) -> ServiceResponse:
        """Call the service: inputs in their declared order, by name, or as one dict.

        A batchable service also takes many rows at once: a DataFrame, or a list or array for each input. The
        response's outputs are then arrays, with a value for each row in the same order.
        """
        given = self._bind(args, inputs)
        several = self._view.batchable and any(is_column(value) for value in given.values())
        values = self._encoded_columns(given) if several else self._encoded(given)
        answer, asked = self._call(values)
        result = msgspec.json.decode(answer, type=WebServiceResult)
        outputs = self._view.output_parameter_definitions
        return ServiceResponse(self._alias, result, outputs, several=several, asked=asked)

    def batch(
        self,
        records: Any,
        parallel_count: int = 10,
        *,
        format: str | None = None,  # noqa: A002  # the word for it
        priority: str | None = None,
        engine: str | None = None,
        webhook: str | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Prepare a batch: a call for each record, answered when it is asked for its results. Nothing is sent yet.

        Parameters
        ----------
        records:
            A DataFrame, a dict of equally long lists, a list or an iterator of dicts, a pyarrow Table, or a path or an
            open file of CSV, TSV, NDJSON, JSON, Arrow (Feather) or Parquet. Of DataFrames, Tables and dicts, columns
            that are no inputs are left out.
        parallel_count:
            How many records may be processed at a time.
        format:
            Of a file whose name does not tell: `csv`, `tsv`, `ndjson`, `json`, `arrow`, `arrow-stream` or `parquet`.
        priority:
            `low`, `normal` or `high`: which of the batches that wait for the same kernels go first.
        engine:
            `local`, or `dask` where the server has a Dask scheduler.
        webhook:
            A URL that the server tells of the end; its host must be one that the server's setting allows.
        idempotency_key:
            What the server knows the start by, so that it starts one batch however often it is sent; made up without.

        Raises
        ------
        InvalidRequest
            When the service has no inputs, or a value does not fit.

        Examples
        --------
        >>> job = service.batch({"hp": [120, 90], "wt": [2, 3]}, priority="low").start()
        >>> job.wait(progress=False).completed_item_count
        2
        """
        inputs, _ = self._of_rows()
        if not inputs:
            raise InvalidRequest("Attempt to batch a service with void inputs.")
        options = {"priority": priority, "engine": engine, "webhook": webhook}
        source = source_of(records, inputs, format)
        return self._batch(source=source, parallel_count=parallel_count, options=options, key=idempotency_key)

    def get_batch(self, execution_id: str) -> Batch:
        """A batch that was started before, by its id; nothing is asked of the server yet."""
        return self._batch(execution_id=execution_id)

    def list_batch_executions(self) -> list[str]:
        """Ids of your batches of this version that the server has, oldest first; for Owners everybody's."""
        return executions(self._transport, self._path())

    list_batch_execution = get_batch_executions = list_batch_executions

    def pool(self) -> Pool:
        """The kernels of the service, its queue, and the times of its last calls, as they are now."""
        return look(self._transport, self._view.name, self._view.version)

    def configure_pool(self, **settings: Any) -> PoolSettings:
        """Change settings of the pool, and return all that are in force; what is not named stays.

        Parameters
        ----------
        settings:
            `initial_pool_size`, `max_pool_size`, `queue_limit`, `memory_limit` (bytes, or text such as `"2GB"`),
            `group_size`, `group_wait` (seconds).
        """
        return configure(self._transport, self._view.name, self._view.version, settings)

    def capabilities(self) -> dict[str, Any]:
        """Describe the service, with the keys that `azureml.deploy` gives."""
        view = self._view
        return {
            "api": self._path(),
            "name": view.name,
            "version": view.version,
            "published_by": view.version_published_by,
            "runtime": view.runtime_type,
            "description": view.description,
            "creation_time": view.creation_time,
            "snapshot_id": view.snapshot_id,
            "inputs": [_as_dict(one) for one in view.input_parameter_definitions],
            "outputs": [_as_dict(one) for one in view.output_parameter_definitions],
            "inputs_encoded": [_encoded(one) for one in view.input_parameter_definitions],
            "outputs_encoded": [_encoded(one) for one in view.output_parameter_definitions],
            "artifacts": list(view.output_file_names),
            "operation_id": self._alias,
            "swagger": f"{self.url}/swagger.json",
            "public-functions": {
                self._alias: f"{self._alias}{self._signature()}",
                "capabilities": "capabilities()",
                "swagger": "swagger()",
                "get_batch": "get_batch(execution_id)",
                "list_batch_executions": "list_batch_executions()",
                "batch": "batch(records, parallel_count=10)",
            },
        }

    def swagger(self) -> str:
        """The service's Swagger 2.0 document as JSON text."""
        return self._transport.request("GET", f"{self._path()}/swagger.json").decode()

    def __repr__(self) -> str:
        view = self._view
        return f"<Service {view.name} {view.version}: {self._alias}{self._signature()} at {self.url}>"

    def _call(self, body: Any = None, **more: Any) -> tuple[bytes, Asked]:
        """The answer of a call, and what the server knows it by."""
        asked = Asked(secrets.token_hex(8), self._view.my_permission_on_service == MINE)
        usual = self._view.timeout + GRACE_SECONDS
        try:
            answer = self._transport.request("POST", self._path(), body, usual=usual, request_id=asked.id, **more)
        except (KernelDied, DeadlineExceeded) as error:
            raise type(error)(f"{error.message}{asked.hint()}", fields=error.fields) from error
        return answer, asked

    def _batch(self, **more: Any) -> Batch:
        _, outputs = self._of_rows()
        return Batch(self._transport, self._path(), outputs, **more)

    def _of_rows(self) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
        """Inputs and outputs of each record of a batch."""
        return self._view.input_parameter_definitions, self._view.output_parameter_definitions

    def _path(self) -> str:
        return f"/api/{segment(self._view.name)}/{segment(self._view.version)}"

    def _free_name(self, alias: str) -> str:
        """The alias, with an underscore when it is a keyword or would hide something of the service's own."""
        while keyword.iskeyword(alias) or hasattr(type(self), alias) or alias in self.__dict__:
            alias += "_"
        return alias

    def _bind(self, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
        declared = self._view.input_parameter_definitions
        names = [one.name for one in declared]
        if self._view.batchable and len(args) == 1 and not given and hasattr(args[0], "columns"):
            values = {str(name): args[0][name] for name in args[0].columns}
        elif len(args) == 1 and not given and isinstance(args[0], Mapping) and not self._takes_mapping():
            values = dict(args[0])
        else:
            if len(args) > len(names):
                raise InvalidInput(f"Invalid `input`: {len(args)} values for {len(names)} inputs; {self._takes()}")
            values = dict(zip(names, args, strict=False))
            twice = [name for name in given if name in values]
            if twice:
                raise InvalidInput(f"Invalid `input`: {twice[0]!r} is given twice; {self._takes()}")
            values.update(given)
        unknown = [str(name) for name in values if name not in names]
        missing = [name for name in names if name not in values]
        if unknown or missing:
            fault = f"there is no {unknown[0]!r}" if unknown else f"{missing[0]!r} is missing"
            raise InvalidInput(f"Invalid `input`: {fault}; {self._takes()}", fields=f"$.{(unknown or missing)[0]}")
        return values

    def _encoded(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {one.name: encode(values[one.name], one) for one in self._view.input_parameter_definitions}

    def _encoded_columns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        single = [name for name, value in values.items() if not is_column(value)]
        if single:
            raise InvalidInput(
                f"Invalid `input`: {single[0]!r} is one value and others are columns; give a list or array for each "
                "input, or one value for each",
                fields=f"$.{single[0]}",
            )
        lengths = {name: len(value) for name, value in values.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise InvalidInput(f"Invalid `input`: the columns are not of one length: {shown}", fields="$")
        declared = self._view.input_parameter_definitions
        return {one.name: encode_column(values[one.name], one) for one in declared}

    def _takes_mapping(self) -> bool:
        """Whether the only input is a data frame, which may itself be given as a dict."""
        declared = self._view.input_parameter_definitions
        return len(declared) == 1 and declared[0].type is ValueType.DATA_FRAME

    def _takes(self) -> str:
        return f"{self._alias}{self._signature()}"

    def _signature(self) -> str:
        view = self._view
        inputs = ", ".join(f"{one.name}: {_python_type(one)}" for one in view.input_parameter_definitions)
        outputs = ", ".join(f"{one.name}: {_python_type(one)}" for one in view.output_parameter_definitions)
        return f"({inputs}) -> {outputs or 'None'}"

    def _consume_function(self) -> Callable[..., ServiceResponse]:
        def consume(*args: Any, **inputs: Any) -> ServiceResponse:
            return self(*args, **inputs)

        consume.__name__ = consume.__qualname__ = self._alias
        consume.__doc__ = self._document()
        names = [one.name for one in self._view.input_parameter_definitions]
        if all(name.isidentifier() and not keyword.iskeyword(name) for name in names):
            parameters = [
                inspect.Parameter(one.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=_python_type(one))
                for one in self._view.input_parameter_definitions
            ]
            consume.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return consume

    def _document(self) -> str:
        view = self._view
        lines = [view.description or f"Call {view.name} {view.version}.", ""]
        lines += [f":param {one.name}: {_python_type(one)}" for one in view.input_parameter_definitions]
        lines += [f":return {one.name}: {_python_type(one)}" for one in view.output_parameter_definitions]
        lines += [f":artifact {name}" for name in view.output_file_names]
        return "\n".join([*lines, "", *self._usage()])

    def _usage(self) -> list[str]:
        """What the consume function takes, for its help."""
        lines = ["Takes values in this order, by name, or as one dict; returns a ServiceResponse."]
        if self._view.batchable:
            lines += [
                "Takes many rows too: a DataFrame, or a list or array for each input; the outputs are arrays then."
            ]
        return lines


_WORD_BREAKS = re.compile(r"[^A-Za-z0-9]+")


def service_class_name(name: str) -> str:
    """Class name of a service in `azureml.deploy`'s spelling: `TxService` gives `TxserviceService`."""
    joined = "".join(part.capitalize() for part in _WORD_BREAKS.split(name) if part)
    return ("Service" if joined[:1].isdigit() else "") + f"{joined}Service"


def make_service(view: ServiceView, transport: Transport, *, unchanged: bool = False) -> Service:
    """Make the object for a service, of a class named after it.

    Parameters
    ----------
    view:
        What the server says about it.
    transport:
        The way to the server.
    unchanged:
        Whether a publish found it there already.
    """
    from jupyter_mlops.client.realtime_service import RealtimeService

    base = Service if view.model is None else RealtimeService
    document = f"{view.description or view.name}\n\n{base.__doc__}"
    kind: type[Service] = type(service_class_name(view.name), (base,), {"__doc__": document, "__module__": __name__})
    return kind(view, transport, unchanged=unchanged)


def _python_type(one: Parameter) -> str:
    return {
        "date-time": "datetime",
        "date": "date",
        "list": "list",
        "ndarray": "ndarray",
        "series": "Series",
    }.get(one.format, _PYTHON_TYPES[one.type])


def _as_dict(one: Parameter) -> dict[str, str]:
    return {"name": one.name, "type": one.type.value}


def _encoded(one: Parameter) -> dict[str, str]:
    """A parameter in `azureml.deploy`'s spelling, unless its format says more."""
    spelled = None if one.format else _SPELLED.get(one.type)
    return {"name": one.name, "type": spelled or _python_type(one)}
