"""Reductions of descriptors before they are compared (sections 6 and 12 of the method)."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from resight.config.base import (
    Config,
    NonNegative,
    NonNegativeInt,
    PositiveInt,
    Seed,
    Share,
    from_table,
    option,
)

AUTO_FIT_PHOTOS = 128
"""An index run fits the first selection from this many photos on."""

PHOTOS_PER_VALUE = 2
"""Photos that a whitening without shrinkage needs per value, or it learns noise."""

GROWTH = 2
"""A whitening is fitted again when the collection has grown by this factor."""


@dataclass(frozen=True, kw_only=True)
class ReductionConfig(Config):
    """Reduction of descriptors to fewer values."""

    method: str

    @property
    def distance(self) -> str | None:
        """The distance of reduced descriptors; None: the method's own."""
        return None

    @property
    def features(self) -> int | None:
        """Number of values (of each layer, for a whitening); None: chosen by the spectrum."""
        return None

    @property
    def size_text(self) -> str:
        """Number of values to keep, or what decides it; empty for all."""
        return str(self.features or "by the spectrum")

    @property
    def label(self) -> str:
        """Its name in messages, with the article."""
        return "a selection"

    @property
    def auto_fit_photos(self) -> int:
        """Number of photos from which on an index run fits it."""
        return AUTO_FIT_PHOTOS

    @property
    def required_photos(self) -> int:
        """Number of photos below which neither it nor a fallback can be fitted."""
        return 0

    @property
    def copies(self) -> int:
        """Number of varied copies of each sampled photo that it is fitted on."""
        return 0

    @property
    def sample(self) -> int:
        """Maximum number of sampled photos."""
        return 0

    def refit_photos(self, photos: int, *, fallback: bool) -> int | None:
        """Return the number of photos from which on an index run fits it again; None: never.

        The current one was fitted on `photos`, perhaps as the fallback for few photos.
        """
        return None

    def with_features(self, features: int, photos: int) -> "ReductionConfig":
        """Return it with a number of values that a paper published, fitted on some photos."""
        return self

    def for_photos(self, photos: int) -> "ReductionConfig":
        """Return what is fitted on a number of photos: this, or the fallback for few photos."""
        return self


@dataclass(frozen=True, kw_only=True)
class SelectionConfig(ReductionConfig):
    """Principal feature analysis (section 6)."""

    method: Literal["pfa"] = option("pfa", "one of pfa, whitening, wccn, none")
    features: PositiveInt = option(768, "number of values to select")
    variance: Share = option(0.9, "share of the variance that the components keep")
    components: PositiveInt | None = option(None, "number of components, instead of the share")
    restarts: PositiveInt = option(4, "runs of k-means; the best one is used")
    absolute: bool = option(False, "cluster absolute values of the rows, as Lu et al. do")
    renormalize: bool = option(False, "normalize the selected descriptor to unit length")
    seed: Seed = option(0, "seed of the k-means")

    @property
    def distance(self) -> str:
        """Manhattan."""
        return "manhattan"

    def with_features(self, features: int, photos: int) -> ReductionConfig:
        """Return it with another number of values."""
        return dataclasses.replace(self, features=features)


@dataclass(frozen=True, kw_only=True)
class WhiteningConfig(ReductionConfig):
    """PCA and whitening of each layer of the descriptor (section 12), compared by cosine."""

    method: Literal["whitening"] = option("whitening", "one of pfa, whitening, wccn, none")
    features: PositiveInt | None = option(
        None, "components kept of each layer; none: chosen by the spectrum"
    )
    variance: Share = option(
        0.75, "share of the whitened variance kept when the spectrum chooses the components"
    )
    max_components: PositiveInt = option(
        384, "maximum number of components of a layer when the spectrum chooses them"
    )
    shrinkage: NonNegative | None = option(
        None, "share of the mean variance added to each; none is prior / photos"
    )
    prior: NonNegative = option(
        1000.0, "strength of the prior (equal variances), in photos, if shrinkage is none"
    )
    whiten: bool = option(True, "divide the components by their standard deviation")
    power: Share = option(1.0, "exponent of a signed power law that comes first")
    min_photos: Annotated[int, Meta(ge=2)] = option(30, "minimum number of photos")
    fallback: Literal["none", "pfa"] = option(
        "none", "fitted below that number: nothing, or the paper's selection"
    )
    combine_with: Literal["none", "pfa"] = option(
        "none",
        "concatenate the whitened values with nothing, or with the paper's selection, and compare "
        "by Manhattan distance",
    )
    weight: Annotated[float, Meta(gt=0, lt=1)] = option(
        0.25, "share of the whitened values in the combined distance"
    )

    @property
    def distance(self) -> str:
        """Cosine, or Manhattan in combination with a selection."""
        return "cosine" if self.combine_with == "none" else "manhattan"

    @property
    def label(self) -> str:
        """Its name in messages."""
        return "a whitening" if self.combine_with == "none" else "a selection with whitened values"

    @property
    def auto_fit_photos(self) -> int:
        """Number of photos from which on an index run fits it, or its fallback."""
        if self.fallback == "pfa":
            return min(self.min_photos, AUTO_FIT_PHOTOS)
        return self.min_photos

    @property
    def required_photos(self) -> int:
        """Number of photos below which neither it nor a fallback can be fitted."""
        return self.min_photos if self.fallback == "none" else 0

    def refit_photos(self, photos: int, *, fallback: bool) -> int:
        """Return the number of photos from which on an index run fits it again."""
        return self.min_photos if fallback else GROWTH * photos

    def with_features(self, features: int, photos: int) -> ReductionConfig:
        """Return it with a number of values and no shrinkage, as in the papers.

        Unchanged on fewer than `PHOTOS_PER_VALUE` photos per value.
        """
        if photos < PHOTOS_PER_VALUE * features:
            return self
        return dataclasses.replace(self, features=features, shrinkage=0.0)

    def for_photos(self, photos: int) -> ReductionConfig:
        """Return what is fitted on a number of photos: this, or the fallback for few photos."""
        if self.fallback == "pfa" and photos < self.min_photos:
            return SelectionConfig()
        return self


@dataclass(frozen=True, kw_only=True)
class WccnConfig(ReductionConfig):
    """Within-class covariance normalization, fitted on varied copies of photos (section 16).

    Compared by Euclidean distance, corrected by each photo's distances to its neighbors.
    """

    method: Literal["wccn"] = option("wccn", "one of pfa, whitening, wccn, none")
    copies: PositiveInt = option(8, "varied copies of each sampled photo")
    sample: Annotated[int, Meta(ge=2)] = option(256, "maximum number of sampled photos")
    shrinkage: NonNegative = option(0.05, "share of the mean variance added to each")
    features: PositiveInt = option(128, "maximum number of components of each layer")
    neighbors: NonNegativeInt = option(
        20, "neighbors whose mean distance corrects a photo's distances; 0: none"
    )
    correction: NonNegative = option(0.5, "weight of that mean distance")
    min_photos: Annotated[int, Meta(ge=2)] = option(8, "minimum number of photos")

    @property
    def distance(self) -> str:
        """Euclidean."""
        return "euclidean"

    @property
    def label(self) -> str:
        """Its name in messages."""
        return "an adaptation"

    @property
    def auto_fit_photos(self) -> int:
        """Number of photos from which on an index run fits it."""
        return self.min_photos

    @property
    def required_photos(self) -> int:
        """Number of photos below which it cannot be fitted."""
        return self.min_photos

    def refit_photos(self, photos: int, *, fallback: bool) -> int:
        """Return the number of photos from which on an index run fits it again."""
        return GROWTH * photos


@dataclass(frozen=True, kw_only=True)
class NoReduction(ReductionConfig):
    """All values of the descriptors, as they are."""

    method: Literal["none"] = option("none", "one of pfa, whitening, wccn, none")

    @property
    def size_text(self) -> str:
        """Empty: all values."""
        return ""


REDUCTIONS: dict[str, type[ReductionConfig]] = {
    "pfa": SelectionConfig,
    "whitening": WhiteningConfig,
    "wccn": WccnConfig,
    "none": NoReduction,
}

STORED_NAMES = {
    "share": "variance",
    "most": "max_components",
    "fewest": "min_photos",
    "below": "fallback",
    "beside": "combine_with",
    "part": "weight",
}
"""Fields of whitenings in collections of earlier versions, and their names today."""


def reduction_from_dict(fields: Any) -> ReductionConfig:
    """Return the reduction named by `method` in plain values (`pfa` by default).

    Raises:
        UsageError: an unknown method or field, or an invalid value.
    """
    return from_table(REDUCTIONS, fields, "pfa")


def stored_reduction(fields: dict[str, Any]) -> ReductionConfig:
    """Return a reduction that a collection of this or an earlier version stored."""
    return reduction_from_dict({STORED_NAMES.get(n, n): v for n, v in fields.items()})
