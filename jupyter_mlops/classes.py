"""Classes and objects of a notebook, made again when a snapshot is loaded, without their own code getting in the way.

A class that is made runs code: its metaclass's, and `__init_subclass__` of its bases. That has happened in the
notebook, and what it left is in the snapshot; a second time it would register the class twice, or lack its arguments.
"""

from __future__ import annotations

import contextvars
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_HOOK = "__init_subclass__"


def make_class(metaclass: type, name: str, bases: tuple[Any, ...], body: dict[str, Any], key: str, _: Any) -> type:
    """Make a class that is filled later, or find the one that was made of the same before.

    Parameters
    ----------
    metaclass, name, bases:
        As of a class statement.
    body:
        What must be there from the beginning, such as its slots.
    key:
        By which cloudpickle knows the class.
    """
    from cloudpickle import cloudpickle

    known = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.get(key)  # noqa: SLF001
    if known is not None:
        return known  # type: ignore[no-any-return]
    body = {sys.intern(one): value for one, value in body.items()}
    real = types.resolve_bases(bases)  # `Generic[T]` stands for `Generic`
    with _silent(real):
        if _is_own(metaclass):
            maker: Any = next(one for one in type.mro(metaclass) if not _is_own(one))
            body |= {} if real is bases else {"__orig_bases__": bases}
            made = maker.__new__(metaclass, name, real, body)
            maker.__init__(made, name, real, body)
        else:
            made = types.new_class(name, bases, {"metaclass": metaclass}, lambda names: names.update(body))
    return cloudpickle._lookup_class_or_track(key, made)  # type: ignore[no-any-return]  # noqa: SLF001


Member = tuple[str, str, dict[str, Any]]
"""A name in an enumeration, the name of the member that it stands for, and what that has beside its value."""


def fill_enum(made: Any, state: tuple[Any, tuple[Member, ...]]) -> None:
    """Fill an enumeration, and its members with what their `__init__` or `__new__` gave them.

    Parameters
    ----------
    made:
        The class, which has its members, but not the second names of some.
    state:
        Of the class, and its names in their order.
    """
    from cloudpickle import cloudpickle

    of_class, names = state
    cloudpickle._class_setstate(made, of_class)  # noqa: SLF001
    members = {name: made._member_map_[known] for name, known, _ in names}
    for name, known, attributes in names:
        members[name].__dict__.update(attributes)
        if name != known:
            type.__setattr__(made, name, members[name])
    made._member_map_.clear()
    made._member_map_.update(members)


def members_of(kind: Any) -> tuple[Member, ...]:
    """The names of an enumeration.

    Parameters
    ----------
    kind:
        The enumeration.
    """
    return tuple((name, member._name_, _own_attributes(member)) for name, member in kind._member_map_.items())


def _own_attributes(member: Any) -> dict[str, Any]:
    # The others are the enumeration's own, such as `_value_`.
    return {key: value for key, value in vars(member).items() if not (key[0] == key[-1] == "_")}


def fill_class(made: Any, state: tuple[dict[str, Any], Any]) -> None:
    """Fill a class, whatever its metaclass says to attributes that are set.

    Parameters
    ----------
    made, state:
        As cloudpickle has them.
    """
    from cloudpickle import cloudpickle

    if any(_is_own(one) and "__setattr__" in vars(one) for one in type.mro(type(made))):
        content = dict(state[0])
        registered = content.pop("_abc_impl", ())
        for name, value in content.items():
            type.__setattr__(made, name, value)
        state = ({"_abc_impl": registered} if registered else {}, state[1])
    cloudpickle._class_setstate(made, state)  # noqa: SLF001


def fill(made: Any, parts: tuple[Any, list[Any], list[tuple[Any, Any]]]) -> None:
    """Fill an object past its own code, which may answer for any attribute, or watch what is put into it.

    Parameters
    ----------
    made:
        The object.
    parts:
        Its attributes, with those in slots, as pickle writes them; the items of a list; the pairs of a dict.
    """
    state, items, pairs = parts
    in_dict, in_slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)  # noqa: PLR2004
    if in_dict:
        object.__getattribute__(made, "__dict__").update(in_dict)
    for name, value in (in_slots or {}).items():
        object.__setattr__(made, name, value)
    library: Any = next(one for one in type(made).__mro__ if not _is_own(one))
    if items:
        library.extend(made, items)
    for key, value in pairs:
        library.__setitem__(made, key, value)


def context_variable(name: str, value: Any) -> contextvars.ContextVar[Any]:
    """Make a context variable.

    Parameters
    ----------
    name, value:
        What it is called, and its value until another is set.
    """
    return contextvars.ContextVar(name, default=value)


def _is_own(kind: type) -> bool:
    """Whether a class came out of a snapshot, or was made in the notebook: it is not a library's."""
    from cloudpickle import cloudpickle

    return kind in cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS  # noqa: SLF001


@contextmanager
def _silent(bases: tuple[Any, ...]) -> Iterator[None]:
    """Let the bases' own `__init_subclass__` only ask the libraries' behind them."""
    owners = dict.fromkeys(one for base in bases for one in base.__mro__ if _HOOK in vars(one) and _is_own(one))
    kept = {owner: vars(owner)[_HOOK] for owner in owners}
    for owner in kept:
        type.__setattr__(owner, _HOOK, classmethod(_passing_on(owner)))
    try:
        yield
    finally:
        for owner, hook in kept.items():
            type.__setattr__(owner, _HOOK, hook)


def _passing_on(owner: type) -> Any:
    def passing_on(cls: type) -> None:
        getattr(super(owner, cls), _HOOK)()

    return passing_on
