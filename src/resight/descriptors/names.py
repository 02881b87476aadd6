"""Check of the names in a configuration against the tables of this package."""

from collections.abc import Iterable

from resight.config import ExtractionConfig, LocalConfig, MethodConfig
from resight.config.extraction import HEADS
from resight.errors import UsageError


def check_names(config: MethodConfig) -> None:
    """Check that a configuration's pooling, or its local features and aggregation, exist.

    Configurations accept any name: the tables lie in the layer above them.

    Raises:
        UsageError: names the field and the valid values.
    """
    if isinstance(config, ExtractionConfig):
        from resight.descriptors.pooling import POOLINGS

        _check("pooling", config.pooling, [*POOLINGS, "rmac-whitened", *HEADS])
    if isinstance(config, LocalConfig):
        from resight.descriptors.aggregation import AGGREGATIONS
        from resight.descriptors.local_features import LOCAL_FEATURES  # imports OpenCV

        _check("features", config.features, LOCAL_FEATURES)
        _check("aggregation", config.aggregation, AGGREGATIONS)


def _check(field: str, name: str, valid: Iterable[str]) -> None:
    names = list(valid)
    if name not in names:
        raise UsageError(f"{field}: expected one of {', '.join(names)}, not {name!r}")
