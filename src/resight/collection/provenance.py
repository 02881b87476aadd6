"""What a collection was made with: configuration, weights, selection; wherever that is kept."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resight import config as configuration
from resight.collection import fitted_params as fitted_params_io
from resight.config import MethodConfig, ReductionConfig
from resight.errors import CollectionError, CollectionMismatchError
from resight.reductions.reduction import Reduction, from_bytes

FittedName = Literal["selection", "learned", "network"]


@dataclass(frozen=True)
class Model:
    """What the descriptors were made with: a weights file, or (no path) what was learned."""

    sha256: str
    path: Path | None = None


class Provenance(ABC):
    """What a collection was made with, by its `meta` values and what was fitted on its photos."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The collection as messages name it."""

    @abstractmethod
    def meta(self, key: str) -> Any:
        """A value by its name, None where there is none."""

    @abstractmethod
    def how_fitted(self, name: FittedName) -> dict[str, Any] | None:
        """What one of them was fitted on: photos, time, configuration."""

    @abstractmethod
    def fitted_data(self, name: FittedName) -> bytes | None:
        """The fitted numbers themselves."""

    @property
    def config(self) -> MethodConfig:
        """The method's configuration."""
        return configuration.method_from_dict(self.meta("config"))

    @property
    def selection_config(self) -> ReductionConfig:
        """How a selection, or whitening, is fitted when nothing else is asked for."""
        return configuration.stored_reduction(self.meta("selection_config"))

    @property
    def model(self) -> Model | None:
        """The weights in use, or what was learned; None as long as nothing was described."""
        stored = self.meta("model")
        if stored is None:
            return None
        return Model(stored["sha256"], Path(stored["path"]) if stored["path"] else None)

    @property
    def distance(self) -> str:
        """By which distance the descriptors are compared."""
        how = self.how_fitted("selection")
        if how is None:
            return self.config.descriptor_distance
        fitted = configuration.stored_reduction(how["config"])
        return fitted.distance or self.config.descriptor_distance

    def selection(self) -> Reduction | None:
        """The fitted selection or whitening, if there is one."""
        how, data = self.how_fitted("selection"), self.fitted_data("selection")
        return None if how is None or data is None else from_bytes(data, how["config"])

    def learned(self) -> dict[str, np.ndarray] | None:
        """What the method learned from photos before it described any, once it did.

        Raises:
            CollectionError: it is damaged.
        """
        data = self.fitted_data("learned")
        try:
            return None if data is None else fitted_params_io.from_bytes(data)
        except ValueError as error:
            raise CollectionError(
                f"{self.name}: the database is damaged ({error}); restore it from a backup or "
                "index anew"
            ) from None

    def quantized_network(self) -> bytes | None:
        """The network in 8-bit integers, where the configuration asks for one."""
        return self.fitted_data("network")

    def fingerprint(self, model: Model) -> str:
        """The fingerprint of this collection's descriptors if they are made with a model."""
        provenance = model.sha256
        if model.path is not None:  # else the model is what was learned
            for how in (self.how_fitted("network"), self.how_fitted("learned")):
                provenance += "" if how is None else how["sha256"]
        return self.config.fingerprint(provenance)

    def check_model(self, model: Model) -> None:
        """Refuse a model that is not the one the descriptors were made with.

        Raises:
            CollectionMismatchError: other weights, or another version of the method.
        """
        known, stored = self.model, self.meta("fingerprint")
        if known is not None and known.sha256 != model.sha256:
            raise CollectionMismatchError(
                f"{self.name}: was made with other weights (SHA-256 {known.sha256[:12]}..., "
                f"these are {model.sha256[:12]}...); pass the same file with --weights, or make "
                "a new collection"
            )
        if stored not in (None, self.fingerprint(model)):
            raise CollectionMismatchError(
                f"{self.name}: was made by another version of the method; make a new collection"
            )
