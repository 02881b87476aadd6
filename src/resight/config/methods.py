"""Any method: what kind of one a configuration is, and the fingerprint of all that it decides."""

import hashlib
import json
from typing import Any, TypeGuard

from resight.config.extraction import BROUGHT, ExtractionConfig
from resight.config.fields import from_dict, to_dict
from resight.config.local import SETS, LocalConfig, SiftVladConfig
from resight.config.reduction import NoReduction, ReductionConfig, SelectionConfig
from resight.errors import UsageError

ALGORITHM_VERSION = 1
"""Raised whenever the same configuration would give other numbers than before."""

MethodConfig = ExtractionConfig | SiftVladConfig | LocalConfig

Preset = tuple[MethodConfig, ReductionConfig]
"""What a collection is made with."""


def has_network(config: MethodConfig) -> TypeGuard[ExtractionConfig | LocalConfig]:
    """Whether a method needs the weights of a network."""
    if isinstance(config, LocalConfig):
        return config.features != "rootsift"
    return isinstance(config, ExtractionConfig)


def reducible(config: MethodConfig) -> bool:
    """Whether a method's descriptors can be made shorter; those of Hamming embedding are sets."""
    if isinstance(config, LocalConfig):
        return config.aggregation not in SETS
    return isinstance(config, ExtractionConfig)


def own_distance(config: MethodConfig) -> str:
    """The distance that descriptors are compared by where nothing was fitted on them."""
    if isinstance(config, ExtractionConfig):
        by_cosine = config.learns or config.layer_weights or config.pooling in BROUGHT
        return "cosine" if by_cosine else "manhattan"
    return config.aggregation if config.aggregation in SETS else config.distance


def default_reduction(config: MethodConfig) -> ReductionConfig:
    """How a method's descriptors become shorter where nothing is said of it."""
    return NoReduction() if isinstance(config, LocalConfig) else SelectionConfig()


def method_from_dict(fields: dict[str, Any]) -> MethodConfig:
    """The configuration whose `method` is named in `fields` (`cnn` when it is not)."""
    classes: dict[str, type[MethodConfig]] = {
        "cnn": ExtractionConfig,
        "sift-vlad": SiftVladConfig,
        "local": LocalConfig,
    }
    method = fields.get("method", "cnn")
    if not isinstance(method, str) or method not in classes:
        raise UsageError(f"method: {method!r} is not one of {', '.join(classes)}")
    return from_dict(classes[method], fields)


BEFORE_THERE_WAS_A_CHOICE = {
    "precision": "float32",
    "pooling": "modified-rmac",
    "gem_power": 3.0,
    "square": False,
    "region_values": None,
    "layer_weights": [],
    "learn_layer_weights": False,
}
"""Fields that came later: with these values a fingerprint is what it was before."""


def fingerprint(config: MethodConfig, model_sha256: str) -> str:
    """SHA-256 (hex) of all that decides a descriptor's numbers.

    Args:
        config: the method's configuration.
        model_sha256: hash of the weights file (and the network quantised from it), or of the
            vocabulary of `sift-vlad`.
    """
    content = {"algorithm": ALGORITHM_VERSION, "model": model_sha256, **to_dict(config)}
    for name, first in BEFORE_THERE_WAS_A_CHOICE.items():
        if name in content and content[name] == first:
            del content[name]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
