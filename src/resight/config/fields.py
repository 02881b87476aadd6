"""What all configurations have in common: options with a help text, checked, from and to JSON."""

import dataclasses
import sys
import types
import typing
from dataclasses import field
from typing import Any, Literal, TypeVar

from resight.errors import UsageError

T = TypeVar("T")


def option(default: Any, help: str) -> Any:
    """A field of a frozen dataclass with its default, and the text that help pages show."""
    return field(default=default, metadata={"help": help})


def require(holds: bool, message: str) -> None:
    """Refuse a configuration, with the reason, as a `UsageError`, unless something holds."""
    if not holds:
        raise UsageError(message)


def check_types(config: Any) -> None:
    """Refuse values of other types than the fields have; whole numbers become floats there."""
    hints = typing.get_type_hints(type(config))
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if not _is_instance(value, hints[f.name]):
            raise UsageError(f"{f.name}: {value!r} is not {_describe(hints[f.name])}")
        if hints[f.name] is float:
            object.__setattr__(config, f.name, float(value))


def from_dict(cls: type[T], fields: dict[str, Any]) -> T:
    """An instance of the dataclass `cls` from plain (JSON or TOML) values; lists become tuples.

    Raises:
        UsageError: an unknown field (the valid ones are named) or a value that cannot be.
    """
    if not isinstance(fields, dict):
        raise UsageError(f"expected a table of fields, not {fields!r}")
    valid = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in fields:
        if name not in valid:
            raise UsageError(f"unknown field {name!r}; the fields are {', '.join(valid)}")
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()}
    return cls(**values)


def to_dict(config: Any) -> dict[str, Any]:
    """The fields as JSON takes them: tuples become lists."""
    fields = dataclasses.asdict(config)
    return {n: list(v) if isinstance(v, tuple) else v for n, v in fields.items()}


def _is_instance(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in args
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_instance(v, args[0]) for v in value)
    if origin is types.UnionType:
        return any(_is_instance(value, arg) for arg in args)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) <= sys.float_info.max  # finite
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _describe(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin is tuple:
        return f"a list, each {_describe(args[0])}"
    if origin is types.UnionType:
        return " or ".join(_describe(arg) for arg in args)
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(
        hint, "nothing" if hint is type(None) else str(hint)
    )
