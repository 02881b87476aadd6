"""Every choice that changes a number, in frozen dataclasses: the only source of defaults.

The method configuration (`ExtractionConfig`, `SiftVladConfig` or `LocalConfig`) says how a photo
becomes a descriptor; together with the weights it has a fingerprint, which a collection stores.
`SelectionConfig` and `WhiteningConfig` say which values of the descriptors are kept, `SearchConfig`
how to answer. Section numbers refer to `docs/method.md`.
"""

from resight.config.extraction import (
    BROUGHT,
    ExtractionConfig,
)
from resight.config.fields import (
    from_dict,
    to_dict,
)
from resight.config.local import (
    SETS,
    LocalConfig,
    SiftVladConfig,
)
from resight.config.methods import (
    MethodConfig,
    Preset,
    default_reduction,
    fingerprint,
    has_network,
    method_from_dict,
    own_distance,
    reducible,
)
from resight.config.reduction import (
    NoReduction,
    ReductionConfig,
    SelectionConfig,
    WhiteningConfig,
    reduction_for,
    reduction_from_dict,
)
from resight.config.search import (
    BackendConfig,
    Geometry,
    RerankConfig,
    Reranking,
    SearchConfig,
    VerifiedBy,
)

__all__ = [
    "BROUGHT",
    "SETS",
    "BackendConfig",
    "ExtractionConfig",
    "Geometry",
    "LocalConfig",
    "MethodConfig",
    "NoReduction",
    "Preset",
    "ReductionConfig",
    "RerankConfig",
    "Reranking",
    "SearchConfig",
    "SelectionConfig",
    "SiftVladConfig",
    "VerifiedBy",
    "WhiteningConfig",
    "default_reduction",
    "fingerprint",
    "from_dict",
    "has_network",
    "method_from_dict",
    "own_distance",
    "reducible",
    "reduction_for",
    "reduction_from_dict",
    "to_dict",
]
