"""The one place that knows how services are published with settings of their pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_mlops import DeployClient
from jupyter_mlops.client.service import Service


class NotThere(Exception):
    """What a figure needs is not in this version of the package; the message says what."""


def publish(
    client: DeployClient,
    name: str,
    function: Callable[..., Any],
    *,
    maximum: int | None = None,
    batchable: tuple[Any, ...] = (),
    **declared: Any,
) -> Service:
    """Publish a function as version 1.0.

    Parameters
    ----------
    client:
        Where to.
    name:
        The service's name.
    function:
        What runs.
    maximum:
        Exactly so many kernels; None for the default.
    batchable:
        Let calls that wait together run as one, proved with this row.
    declared:
        Other steps of the definition, such as `inputs={"hp": float}`.

    Raises
    ------
    NotThere
        When the definition has no such setting.
    """
    definition = client.service(name).version("1.0").code_fn(function)
    for step, value in declared.items():
        getattr(definition, step)(**value)
    if batchable:
        _step(definition, "batchable")()
        _step(definition, "sample")(*batchable)
    if maximum is not None:
        _step(definition, "kernels")(maximum, maximum)
    return definition.deploy()


def _step(definition: Any, name: str) -> Callable[..., Any]:
    """A step that older versions do not have: there the other figures can still be measured."""
    if not hasattr(definition, name):
        raise NotThere(f"a service definition has no `.{name}()`")
    found: Callable[..., Any] = getattr(definition, name)
    return found
