"""What a collection was made with, as it travels between a folder and an engine."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from resight.collection.provenance import FittedName, Provenance
from resight.errors import CollectionError, CollectionMismatchError

FORMAT = 1
"""Of what is kept on engines."""
TRAVELS = ("config", "selection_config", "model", "fingerprint", "created")
"""The `meta` values that travel along."""
FITTED: tuple[FittedName, ...] = get_args(FittedName)


@dataclass(frozen=True)
class Identity(Provenance):
    """What a collection was made with, held in memory.

    Attributes:
        shown: the collection as messages name it.
        values: its `meta` values.
        how: of what was fitted, by name.
        data: likewise, the numbers.
    """

    shown: str
    values: Mapping[str, Any]
    how: Mapping[str, dict[str, Any]]
    data: Mapping[str, bytes]

    @classmethod
    def of(cls, other: Provenance) -> "Identity":
        """What another collection was made with; where its weights lie stays behind.

        Raises:
            CollectionError: nothing was described in it yet.
        """
        if other.meta("fingerprint") is None:
            raise CollectionError(f"{other.name}: holds no photos yet; run resight index first")
        values = {key: other.meta(key) for key in TRAVELS}
        values["model"] = {**values["model"], "path": None}
        how: dict[str, dict[str, Any]] = {}
        data: dict[str, bytes] = {}
        for name in FITTED:
            fitted_how, fitted_data = other.fit_info(name), other.fitted_data(name)
            if fitted_how is not None and fitted_data is not None:
                how[name], data[name] = fitted_how, fitted_data
        return cls(other.name, values, how, data)

    @property
    def name(self) -> str:
        """The collection as messages name it."""
        return self.shown

    def meta(self, key: str) -> Any:
        """A value by its name, None where there is none."""
        return self.values.get(key)

    def fit_info(self, name: FittedName) -> dict[str, Any] | None:
        """What one of them was fitted on: photos, time, configuration."""
        return self.how.get(name)

    def fitted_data(self, name: FittedName) -> bytes | None:
        """The fitted numbers themselves."""
        return self.data.get(name)

    def check_same(self, other: "Identity") -> None:
        """Refuse what was made with something else.

        Raises:
            CollectionMismatchError: it says what differs.
        """
        ours, theirs = self.config.to_dict(), other.config.to_dict()
        differing = [n for n in {**ours, **theirs} if ours.get(n) != theirs.get(n)]
        if differing:
            details = ", ".join(f"{n} is {ours.get(n)}, not {theirs.get(n)}" for n in differing)
            what = f"was made with another configuration ({details})"
        elif self.meta("fingerprint") != other.meta("fingerprint"):
            what = "was made with other weights, or another version of the method"
        elif _sums(self.data) != _sums(other.data) or self.distance != other.distance:
            what = "has another selection"
        else:
            return
        raise CollectionMismatchError(
            f"{self.name}: {what} than {other.name}, so their distances do not compare; use "
            "another NAME, or push --replace to begin anew there"
        )

    def to_json(self) -> dict[str, Any]:
        """All of it but the fitted numbers, as JSON takes it."""
        return {"format": FORMAT, "values": dict(self.values), "how": dict(self.how)}


def identity_from_json(shown: str, said: dict[str, Any], data: Mapping[str, bytes]) -> Identity:
    """What `Identity.to_json` said of a collection, and its fitted numbers.

    Raises:
        CollectionError: a newer Resight wrote it.
    """
    if said.get("format", FORMAT + 1) > FORMAT:
        raise CollectionError(
            f"{shown}: was pushed by a newer Resight (format {said.get('format')}, this one knows "
            f"{FORMAT}); update it: pip install -U resight"
        )
    return Identity(shown, said["values"], said["how"], data)


def _sums(data: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(numbers).hexdigest() for name, numbers in data.items()}
