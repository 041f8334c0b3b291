"""What a request makes of a service: its definition, with what the request leaves out kept."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import UNSET

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.services import Definition, PublishRequest
from jupyter_mlops.schema.sessions import PYTHON
from jupyter_mlops.schema.snapshots import Manifest
from jupyter_mlops.server.managers.runtimes import check_runtime

T = TypeVar("T")


def definition_of(request: PublishRequest, old: Definition, manifest: Manifest | None) -> Definition:
    """Make the definition of a new revision.

    Parameters
    ----------
    request:
        What a publish or an update says.
    old:
        What holds where it says nothing.
    manifest:
        What the revision will hold.

    Raises
    ------
    InvalidRequest
        When it could never be scored, with the JSON path of the fault.
    """
    check_runtime(_given(request.runtime_type, PYTHON))
    if old.model is not None:
        raise InvalidRequest(
            "a realtime service is changed by PATCH /realtime-services/NAME/VERSION, which takes a model, a "
            "description, an alias and a timeout",
            fields="$",
        )
    # Code that comes without a function replaces a function that was there before.
    function = (
        "" if request.function is UNSET and isinstance(request.code, str) else _or(request.function, old.function)
    )
    definition = Definition(
        code=_given(request.code, old.code),
        init_code=_or(request.init_code, old.init_code) or "",
        description=_or(request.description, old.description),
        operation_id=_or(request.operation_id, old.operation_id),
        inputs=_given(request.input_parameter_definitions, old.inputs),
        outputs=_given(request.output_parameter_definitions, old.outputs),
        artifacts=_given(request.output_file_names, old.artifacts),
        function=function,
        init=_or(request.init, old.init) or "",
        timeout=_or(request.timeout, old.timeout),
        batchable=_or(request.batchable, old.batchable),
        environment=_or(request.environment, old.environment),
        private=_or(request.private, old.private),
    )
    definition.check()
    names = {captured.name for captured in manifest.names} if manifest else set()
    for field, name in (("function", definition.function), ("init", definition.init)):
        if name and name not in names:
            raise InvalidRequest(f"the snapshot holds no {name!r}", fields=f"$.{field}")
    return definition


def _or(value: T | msgspec.UnsetType, old: T) -> T:
    return old if isinstance(value, msgspec.UnsetType) else value


def _given(value: T | msgspec.UnsetType | None, old: T) -> T:
    """As `_or`, for what has no null of its own."""
    return old if value is None else _or(value, old)
