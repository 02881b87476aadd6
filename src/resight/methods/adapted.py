"""Descriptors that adapt to the collection without labels (section 16)."""

from collections.abc import Mapping

from resight.config import ExtractionConfig, WccnConfig
from resight.methods.spec import OURS, MethodSpec

HATCH = "Hatch et al., Within-class covariance normalization, ICSLP 2006"

METHODS: Mapping[str, MethodSpec] = {
    "auto": MethodSpec(
        title="light network at 550 pixels, adapted to the collection",
        source=f"{OURS}; {HATCH}",
        config=ExtractionConfig(
            backbone="efficientnet-lite0",
            layers=("head", "expand"),
            resolutions=(550,),
            reduced_jpeg=True,
            precision="auto",
        ),
        reduction=WccnConfig(),
    ),
    "accurate": MethodSpec(
        title="larger light network at two resolutions, adapted to the collection",
        source=f"{OURS}; {HATCH}",
        config=ExtractionConfig(
            backbone="efficientnet-lite2",
            layers=("head", "expand"),
            resolutions=(800, 550),
            reduced_jpeg=True,
            precision="auto",
        ),
        reduction=WccnConfig(shrinkage=0.03),
    ),
}
