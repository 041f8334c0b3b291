"""Look at objects without running any code of theirs: attributes, slots, names and lengths, as Python stores them.

`repr`, `len`, `==`, `getattr` and even `isinstance` may call methods that a user's class defines, and those may
raise, lie or hang. The functions here read what the interpreter itself keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

_mro = type.__dict__["__mro__"].__get__
_class_dict = type.__dict__["__dict__"].__get__
_qualname = type.__dict__["__qualname__"].__get__
_module = type.__dict__["__module__"].__get__

KEY_LIMIT = 40
"""Characters of a dict's key that a path shows."""

_LENGTHS = (list, tuple, dict, set, frozenset, str, bytes, bytearray)


def is_a(obj: Any, kinds: type | tuple[type, ...]) -> bool:
    """Whether an object's real type is one of these plain classes; its `__class__` is not asked."""
    return issubclass(type(obj), kinds)


def bases(kind: type) -> tuple[type, ...]:
    """A class's method resolution order."""
    found: tuple[type, ...] = _mro(kind)
    return found


def class_attributes(kind: type) -> dict[str, Any]:
    """What the body of a class left in it, by name."""
    return dict(_class_dict(kind))


def module_of(kind: type) -> str:
    """Name of the module that a class says it comes from; empty when it does not say so in text."""
    try:
        found = _module(kind)
    except AttributeError:
        return ""
    return found if type(found) is str else ""


def type_name(obj: Any, *, home: bool = False) -> str:
    """The name of an object's type.

    Parameters
    ----------
    obj:
        Any object.
    home:
        Put the module before it, unless that is the notebook or Python's own.
    """
    kind = type(obj)
    name = str(_qualname(kind))
    module = module_of(kind)
    return f"{module}.{name}" if home and module not in {"", "builtins", "__main__"} else name


def roots_of(obj: Any) -> frozenset[str]:
    """Top-level modules of the classes that an object's type is made of."""
    return frozenset(module_of(kind).partition(".")[0] for kind in bases(type(obj)))


def attributes(obj: Any) -> dict[str, Any]:
    """An object's own attributes, from its dict and its slots, without properties or `__getattr__`.

    Parameters
    ----------
    obj:
        Any object.
    """
    found: dict[str, Any] = {}
    for kind in bases(type(obj)):
        for name, part in class_attributes(kind).items():
            if name == "__dict__" and type(part) in {GetSetDescriptorType, MemberDescriptorType} and kind is not type:
                state = part.__get__(obj)
                if type(state) is dict:
                    found |= {key: value for key, value in state.items() if type(key) is str}
            elif type(part) is MemberDescriptorType and name in _slots(kind):
                try:
                    found[name] = part.__get__(obj)
                except AttributeError:  # a slot that is empty
                    continue
    return found


def _slots(kind: type) -> tuple[str, ...]:
    slots = _class_dict(kind).get("__slots__", ())
    if type(slots) is str:
        return (slots,)
    # A private name is kept under its mangled one.
    names = tuple(one for one in slots if type(one) is str) if type(slots) in {tuple, list, dict} else ()
    mangled = tuple(f"_{_qualname(kind).rpartition('.')[2].lstrip('_')}{name}" for name in names if name[:2] == "__")
    return names + mangled


def length_of(obj: Any) -> int | None:
    """How many items a built-in container, text or one derived of them holds; None for anything else."""
    for kind in _LENGTHS:
        if issubclass(type(obj), kind):
            return kind.__len__(obj)
    return None


def children(obj: Any) -> Iterator[tuple[str, Any]]:
    """Parts of an object, each with the step that leads to it, such as `.model` or `['key']`.

    Parameters
    ----------
    obj:
        Any object. Containers give their items, functions what they hold, others their attributes.
    """
    kind = type(obj)
    if issubclass(kind, dict):
        # A copy, taken in one step: another thread may be filling it.
        yield from ((f"[{key_text(key)}]", value) for key, value in dict.copy(obj).items())
    elif issubclass(kind, list):
        yield from ((f"[{index}]", value) for index, value in enumerate(list.copy(obj)))
    elif issubclass(kind, tuple):
        names = _field_names(kind)
        for index, value in enumerate(tuple.__iter__(obj)):
            yield (f".{names[index]}" if index < len(names) else f"[{index}]"), value
    elif issubclass(kind, set | frozenset):
        copied = (set if issubclass(kind, set) else frozenset).copy(obj)
        yield from (("{}", value) for value in copied)
    if kind is FunctionType:
        yield from function_parts(obj)
    elif issubclass(kind, type):
        yield from ((f".{name}", part) for name, part in class_attributes(obj).items() if name[:2] != "__")
    elif not issubclass(kind, ModuleType):
        yield from ((f".{name}", value) for name, value in attributes(obj).items())


def _field_names(kind: type) -> tuple[str, ...]:
    """Names of a named tuple's fields."""
    for base in bases(kind):
        found = _class_dict(base).get("_fields")
        if type(found) is tuple:
            return tuple(name for name in found if type(name) is str)
    return ()


def function_parts(obj: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function holds apart from its code: closure, defaults, attributes."""
    for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or (), strict=True):
        try:
            yield f".{name}", cell.cell_contents
        except ValueError:  # an empty cell holds nothing
            continue
    yield from ((f".default[{index}]", value) for index, value in enumerate(obj.__defaults__ or ()))
    yield from ((f".{name}", value) for name, value in (obj.__kwdefaults__ or {}).items())
    yield from ((f".{name}", value) for name, value in obj.__dict__.items())


def key_text(key: Any) -> str:
    """A dict's key as text, cut to a readable length; of a user's class only its name."""
    if type(key) in {str, int, float, bool, bytes, type(None)}:
        text = repr(key)
    elif type(key) is tuple:
        text = f"({', '.join(key_text(one) for one in key[:4])})"
    else:
        text = f"<{type_name(key)}>"
    return text if len(text) <= KEY_LIMIT else f"{text[: KEY_LIMIT - 3]}..."


def error_text(error: BaseException, limit: int = 300) -> str:
    """An exception's class and message; of a class that defines its own text, what it was raised with.

    Parameters
    ----------
    error:
        Any exception.
    limit:
        Characters to keep.
    """
    own = any(
        "__str__" in _class_dict(kind) and not _is_builtin(kind) for kind in bases(type(error)) if kind is not object
    )
    if own:
        shown = [one for one in BaseException.args.__get__(error) if type(one) in {str, int, float}]  # type: ignore[attr-defined]
        text = ", ".join(str(one) for one in shown)
    else:
        try:
            text = BaseException.__str__(error)
        # An argument of it may be a user's object, whose text may raise anything.
        except Exception:  # noqa: BLE001
            text = ""
    name = type_name(error)
    return f"{name}: {text[:limit]}" if text else name


def _is_builtin(kind: type) -> bool:
    return module_of(kind) in {"builtins", "_pickle", "pickle"}
