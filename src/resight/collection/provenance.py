"""Provenance of a collection's descriptors: configuration, weights, fitted parameters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from resight.config import MethodConfig, ReductionConfig, method_from_dict, stored_reduction
from resight.errors import CollectionError, CollectionMismatchError
from resight.methods.model import (
    FittedMethod,
    Model,
    ModelOptions,
    find_model,
    params_from_bytes,
    params_sha256,
)
from resight.reductions import Reduction, from_bytes

FittedName = Literal["selection", "learned", "network"]
"""Stored names: the reduction, the method's fitted parameters, the network in 8-bit integers."""
FITTED: tuple[FittedName, ...] = get_args(FittedName)


class Provenance(ABC):
    """Provenance of a collection's descriptors, by its `meta` values and fitted data."""

    name: str
    """Name of the collection in messages."""

    @abstractmethod
    def meta(self, key: str) -> Any:
        """Return a value by its name, None where there is none."""

    @abstractmethod
    def fit_info(self, name: FittedName) -> dict[str, Any] | None:
        """Return what a part was fitted on, if there is one: photos, time, configuration."""

    @abstractmethod
    def fitted_data(self, name: FittedName) -> bytes | None:
        """Return a fitted part as stored, if there is one."""

    @property
    def config(self) -> MethodConfig:
        """Configuration of the method."""
        return method_from_dict(self.meta("config"))

    @property
    def reduction_config(self) -> ReductionConfig:
        """Default configuration for fitting a reduction."""
        return stored_reduction(self.meta("selection_config"))

    @property
    def model(self) -> Model | None:
        """Weights of the descriptors; None until a photo has been described."""
        stored = self.meta("model")
        if stored is None:
            return None
        return Model(stored["sha256"], Path(stored["path"]) if stored["path"] else None)

    @property
    def distance(self) -> str:
        """Distance that compares the descriptors."""
        info = self.fit_info("selection")
        if info is None:
            return self.config.descriptor_distance
        fitted = stored_reduction(info["config"])
        return fitted.distance or self.config.descriptor_distance

    def reduction(self) -> Reduction | None:
        """Return the fitted reduction, if there is one."""
        info, data = self.fit_info("selection"), self.fitted_data("selection")
        return None if info is None or data is None else from_bytes(data, info["config"])

    def fitted_params(self) -> dict[str, np.ndarray] | None:
        """Return the parameters that the method fitted before it described photos, if any.

        Raises:
            CollectionError: they are damaged.
        """
        data = self.fitted_data("learned")
        try:
            return None if data is None else params_from_bytes(data)
        except ValueError as error:
            raise CollectionError(
                f"{self.name}: the database is damaged ({error}); restore it from a backup, or "
                "index the photos into a new collection"
            ) from None

    def find_model(self, options: ModelOptions) -> Model:
        """Find the weights of the descriptors or, without a network, hash the fitted parameters.

        Raises:
            WeightsError: no weights are found.
            CollectionError: nothing has been indexed yet.
        """
        if self.config.needs_network:
            previous = self.model.path if self.model else None
            return find_model(self.config, options, previous)
        return Model(params_sha256(self._required_params()))

    def fitted_method(self, options: ModelOptions) -> FittedMethod:
        """Return the method that computed the descriptors.

        Raises:
            WeightsError: no weights are found.
            CollectionMismatchError: they are not those of the collection.
            CollectionError: nothing has been indexed yet.
        """
        config = self.config
        if options.precision is not None:
            config = self._with_precision(options.precision)
        elif config.precision == "bfloat16":  # which this machine may not have
            config = config.with_precision("auto")
        params = self._required_params() if config.learns else {}
        model = self.find_model(options) if config.needs_network else None
        if model is not None:
            self.check_model(model)
        return FittedMethod(config, model, params, self.fitted_data("network"))

    def _with_precision(self, precision: str) -> MethodConfig:
        config = self.config.with_precision(precision)
        if config.identity() != self.config.identity():
            raise CollectionMismatchError(
                f"{self.name}: its precision is {self.config.precision}, not {precision}"
            )
        return config

    def _required_params(self) -> dict[str, np.ndarray]:
        params = self.fitted_params()
        if params is None:
            raise CollectionError(f"{self.name}: holds no photos yet; run resight index")
        return params

    def fingerprint(self, model: Model) -> str:
        """Return the fingerprint of descriptors of this configuration with a model."""
        hashes = model.sha256
        if model.path is not None:  # else the model is the fitted parameters
            for info in (self.fit_info("network"), self.fit_info("learned")):
                hashes += "" if info is None else info["sha256"]
        return self.config.fingerprint(hashes)

    def check_model(self, model: Model) -> None:
        """Refuse a model other than that of the descriptors.

        Raises:
            CollectionMismatchError: other weights, or another version of the method.
        """
        bound, fingerprint = self.model, self.meta("fingerprint")
        if bound is not None and bound.sha256 != model.sha256:
            raise CollectionMismatchError(
                f"{self.name}: was indexed with other weights (SHA-256 {bound.sha256[:12]}..., "
                f"these are {model.sha256[:12]}...); use the same weights file, or make a new "
                "collection"
            )
        if fingerprint not in (None, self.fingerprint(model)):
            raise CollectionMismatchError(
                f"{self.name}: was indexed by another version of the method; "
                "create a new collection"
            )


@dataclass(frozen=True)
class ProvenanceSnapshot(Provenance):
    """Provenance in memory, as it travels between a folder and a remote backend.

    Attributes:
        name: the collection as messages name it.
        values: its `meta` values.
        infos: what each part was fitted on, by its name.
        data: the fitted parts, by their names.
    """

    name: str
    values: Mapping[str, Any]
    infos: Mapping[str, dict[str, Any]]
    data: Mapping[str, bytes]

    @classmethod
    def of(cls, other: Provenance) -> "ProvenanceSnapshot":
        """Copy another collection's provenance except for the path of its weights.

        Raises:
            CollectionError: it has no descriptors yet.
        """
        if other.meta("fingerprint") is None:
            raise CollectionError(f"{other.name}: holds no photos yet; run resight index first")
        keys = ("config", "selection_config", "model", "fingerprint", "created", "precisions")
        values = {key: other.meta(key) for key in keys}
        values["model"] = {**values["model"], "path": None}
        infos: dict[str, dict[str, Any]] = {
            name: info for name in FITTED if (info := other.fit_info(name)) is not None
        }
        data: dict[str, bytes] = {
            name: part for name in FITTED if (part := other.fitted_data(name)) is not None
        }
        return cls(other.name, values, infos, data)

    def meta(self, key: str) -> Any:
        """Return a value by its name, None where there is none."""
        return self.values.get(key)

    def fit_info(self, name: FittedName) -> dict[str, Any] | None:
        """Return what a part was fitted on, if there is one."""
        return self.infos.get(name)

    def fitted_data(self, name: FittedName) -> bytes | None:
        """Return a fitted part as stored, if there is one."""
        return self.data.get(name)

    def check_same(self, other: "ProvenanceSnapshot") -> None:
        """Refuse a collection whose descriptors have another provenance.

        Raises:
            CollectionMismatchError: the message names the difference.
        """
        ours, theirs = self.config.identity(), other.config.identity()
        differing = [n for n in {**ours, **theirs} if ours.get(n) != theirs.get(n)]
        if differing:
            details = ", ".join(f"{n} is {ours.get(n)}, not {theirs.get(n)}" for n in differing)
            difference = f"was indexed with another configuration ({details})"
        elif self.meta("fingerprint") != other.meta("fingerprint"):
            difference = "was indexed with other weights, or another version of the method"
        elif self.data != other.data or self.distance != other.distance:
            difference = "has another selection"
        else:
            return
        raise CollectionMismatchError(
            f"{self.name}: {difference} than {other.name}, so their distances are not comparable; "
            "push to another name, or replace that collection"
        )
