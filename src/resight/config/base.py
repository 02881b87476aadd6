"""The base of all configurations: frozen dataclasses, validated by msgspec."""

import dataclasses
import functools
import reprlib
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from msgspec import Meta

from resight.errors import UsageError

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
NonNegative = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Share = Annotated[float, Meta(gt=0, le=1)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]


def option(default: Any, help: str) -> Any:
    """Return a dataclass field with its default and the text that help pages show."""
    return field(default=default, metadata={"help": help})


def require(condition: bool, message: str) -> None:
    """Raise `UsageError` with the message unless the condition holds."""
    if not condition:
        raise UsageError(message)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A set of options; types and ranges are those of the fields' annotations."""

    def __post_init__(self) -> None:
        """Validate every field, convert lists to tuples and whole numbers to floats.

        Raises:
            UsageError: names the field, the limit and the value.
        """
        for name, hint in _field_types(type(self)).items():  # type: ignore[arg-type]
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, msgspec.convert(value, hint))
            except msgspec.ValidationError as error:
                expected = _expected(str(error), hint)
                raise UsageError(f"{name}: {expected}, not {reprlib.repr(value)}") from None
        self.check()

    def check(self) -> None:
        """Check the rules between fields; raise `UsageError` where one is broken."""

    @classmethod
    def from_dict(cls, fields: Any) -> Self:
        """Return an instance from plain (JSON or TOML) values.

        Raises:
            UsageError: not a dictionary, an unknown field (the valid ones are named) or an invalid
                value.
        """
        if not isinstance(fields, dict):
            raise UsageError(f"expected a table of fields, not {reprlib.repr(fields)}")
        valid = [f.name for f in dataclasses.fields(cls)]
        for name in fields:
            if name not in valid:
                raise UsageError(f"unknown field {name!r}; the fields are {', '.join(valid)}")
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; tuples become lists."""
        fields = dataclasses.asdict(self)
        return {n: list(v) if isinstance(v, tuple) else v for n, v in fields.items()}


C = TypeVar("C", bound=Config)


def from_table(classes: Mapping[str, type[C]], fields: dict[str, Any], default: str) -> C:
    """Return an instance of the class that the field `method` names in a table.

    Raises:
        UsageError: an unknown method; see also `Config.from_dict`.
    """
    if not isinstance(fields, dict):
        raise UsageError(f"expected a table of fields, not {reprlib.repr(fields)}")
    method = fields.get("method", default)
    if method not in list(classes):
        given = reprlib.repr(method)
        raise UsageError(f"method: expected one of {', '.join(classes)}, not {given}")
    return classes[method].from_dict(fields)


@functools.cache
def _field_types(cls: type[Config]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _expected(message: str, hint: Any) -> str:
    """Return msgspec's message in plain words; for a choice, list the valid values."""
    if typing.get_origin(hint) is Literal or message.startswith("Invalid enum value"):
        return f"expected one of {', '.join(_choices(hint))}"
    text = message.partition(", got")[0].partition(" - at")[0].replace("`", "")
    text = text.replace(f"<= {sys.float_info.max}", "that is finite")
    return text[:1].lower() + text[1:]


def _choices(hint: Any) -> list[str]:
    if typing.get_origin(hint) is Literal:
        return list(map(str, typing.get_args(hint)))
    return [choice for arg in typing.get_args(hint) for choice in _choices(arg)]
