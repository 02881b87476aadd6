"""Every choice that changes a number, in frozen dataclasses: the only source of defaults.

A method configuration (`ExtractionConfig` or `LocalConfig`) tells how a photo becomes a descriptor;
together with the weights it has a fingerprint, which a collection stores. A reduction
(`SelectionConfig`, `WhiteningConfig`, `WccnConfig`, `NoReduction`) tells which values of the
descriptors are compared, `SearchConfig` how queries are answered. Section numbers refer to
`docs/method.md`.
"""

from typing import Any

from resight.config.base import from_table
from resight.config.extraction import ExtractionConfig
from resight.config.local import SETS, LocalConfig
from resight.config.method import MethodConfig
from resight.config.reduction import (
    NoReduction,
    ReductionConfig,
    SelectionConfig,
    WccnConfig,
    WhiteningConfig,
    reduction_from_dict,
    stored_reduction,
)
from resight.config.search import (
    BackendConfig,
    Geometry,
    HintVerdict,
    RerankConfig,
    Reranking,
    SearchConfig,
    VerifiedBy,
)

__all__ = [
    "DEFAULT_METHOD",
    "SETS",
    "BackendConfig",
    "ConfigPair",
    "ExtractionConfig",
    "Geometry",
    "HintVerdict",
    "LocalConfig",
    "MethodConfig",
    "NoReduction",
    "ReductionConfig",
    "RerankConfig",
    "Reranking",
    "SearchConfig",
    "SelectionConfig",
    "VerifiedBy",
    "WccnConfig",
    "WhiteningConfig",
    "method_from_dict",
    "reduction_from_dict",
    "stored_reduction",
]

DEFAULT_METHOD = "auto"
"""Name of the method where none is named; collections keep the one they were indexed with."""

ConfigPair = tuple[MethodConfig, ReductionConfig]
"""The method and the reduction of a collection."""

METHODS: dict[str, type[MethodConfig]] = {
    "cnn": ExtractionConfig,
    "sift-vlad": LocalConfig,
    "local": LocalConfig,
}


def method_from_dict(fields: dict[str, Any]) -> MethodConfig:
    """Return the configuration of the `method` named in plain values (`cnn` by default).

    Raises:
        UsageError: an unknown method or field, or an invalid value.
    """
    return from_table(METHODS, fields, "cnn")
