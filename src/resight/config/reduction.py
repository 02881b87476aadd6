"""How descriptors are made shorter before they are compared (sections 6 and 12 of the method)."""

from dataclasses import dataclass
from typing import Any, Literal

from resight.config.fields import check_types, from_dict, option, require
from resight.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """Principal feature analysis (section 6)."""

    method: Literal["pfa"] = option("pfa", "one of pfa, whitening, none")
    features: int = option(768, "values of the descriptor that are kept")
    variance: float = option(0.9, "share of the variance that the components keep")
    components: int | None = option(None, "number of components, instead of the share")
    restarts: int = option(4, "runs of k-means, the best is taken")
    absolute: bool = option(False, "cluster absolute values of the rows, as Lu et al. do")
    renormalize: bool = option(False, "give the selected descriptor unit length")
    seed: int = option(0, "seed of the k-means")

    def __post_init__(self) -> None:
        check_types(self)
        require(self.features >= 1, "features: 1 or more")
        require(0 < self.variance <= 1, "variance: above 0, at most 1")
        require(self.components is None or self.components >= 1, "components: 1 or more")
        require(self.restarts >= 1, "restarts: 1 or more")
        require(0 <= self.seed < 2**32, "seed: from 0 to 4294967295")


@dataclass(frozen=True, kw_only=True)
class WhiteningConfig:
    """PCA and whitening of each layer of the descriptor (section 12), compared by cosine."""

    method: Literal["whitening"] = option("whitening", "one of pfa, whitening, none")
    features: int | None = option(
        None, "components kept of each layer; none leaves that to the spectrum"
    )
    share: float = option(0.75, "what the spectrum's choice keeps of the whitened variance")
    most: int = option(384, "components of a layer that the spectrum's choice keeps at most")
    shrinkage: float | None = option(
        None, "share of the mean variance added to each; none is prior / photos"
    )
    prior: float = option(1000.0, "photos that equal variances count for where shrinkage is none")
    whiten: bool = option(True, "divide the components by their standard deviation")
    power: float = option(1.0, "exponent of a signed power law that comes first")
    fewest: int = option(30, "photos below which nothing is whitened")
    below: Literal["none", "pfa"] = option(
        "none", "what is fitted on fewer: nothing, or the paper's selection"
    )
    beside: Literal["none", "pfa"] = option(
        "none",
        "what the whitened values stand beside, compared by Manhattan distance: nothing, or the "
        "paper's selection",
    )
    part: float = option(0.25, "the whitened values' part of the distance beside others")

    def __post_init__(self) -> None:
        check_types(self)
        require(self.features is None or self.features >= 1, "features: 1 or more")
        require(0 < self.share <= 1, "share: above 0, at most 1")
        require(self.most >= 1, "most: 1 or more")
        require(self.shrinkage is None or self.shrinkage >= 0, "shrinkage: 0 or more")
        require(self.prior >= 0, "prior: 0 or more")
        require(0 < self.power <= 1, "power: above 0, at most 1")
        require(self.fewest >= 2, "fewest: 2 or more")
        require(0 < self.part < 1, "part: between 0 and 1")

    @property
    def distance(self) -> str:
        """What descriptors are compared by that were fitted so."""
        return "cosine" if self.beside == "none" else "manhattan"


@dataclass(frozen=True, kw_only=True)
class NoReduction:
    """All values of the descriptors, as they are."""

    method: Literal["none"] = option("none", "one of pfa, whitening, none")

    def __post_init__(self) -> None:
        check_types(self)


ReductionConfig = SelectionConfig | WhiteningConfig | NoReduction
"""How descriptors are made shorter before they are compared."""


def reduction_for(
    config: SelectionConfig | WhiteningConfig, photos: int
) -> SelectionConfig | WhiteningConfig:
    """What is fitted on so many photos: on too few for a whitening, what it has for that."""
    if isinstance(config, WhiteningConfig) and config.below == "pfa" and photos < config.fewest:
        return SelectionConfig()
    return config


def reduction_from_dict(fields: dict[str, Any]) -> ReductionConfig:
    """How descriptors are made shorter, by the `method` in `fields` (`pfa` when it is not)."""
    classes: dict[str, type[ReductionConfig]] = {
        "pfa": SelectionConfig,
        "whitening": WhiteningConfig,
        "none": NoReduction,
    }
    method = fields.get("method", "pfa") if isinstance(fields, dict) else "pfa"
    if not isinstance(method, str) or method not in classes:
        raise UsageError(f"method: {method!r} is not one of {', '.join(classes)}")
    return from_dict(classes[method], fields)
