"""The method of Seddati et al. and its steps (docs/method.md, sections 1-7)."""

from collections.abc import Mapping

from resight.config import ExtractionConfig, SelectionConfig
from resight.methods.spec import GORDO, SEDDATI, MethodSpec, Published

PAPER = ExtractionConfig()
"""M-R l_{j&j-1}: three resolutions, both stages."""

PFA_FEATURES = {"oxford5k": 320, "paris6k": 384}

METHODS: Mapping[str, MethodSpec] = {
    "baseline": MethodSpec(
        title="modified R-MAC at 800 pixels",
        source=SEDDATI,
        config=ExtractionConfig(resolutions=(800,), layers=("layer4",)),
        published=Published(tables=(1,), scores={"holidays": 90.57}),
    ),
    "mr-late": MethodSpec(
        title="M-R: three resolutions, vectors added",
        source=f"{SEDDATI}; after {GORDO}",
        config=ExtractionConfig(layers=("layer4",), fusion="late"),
        published=Published(tables=(1,), scores={"holidays": 91.47}),
    ),
    "mr-lj": MethodSpec(
        title="M-R l_j: three resolutions, maps added",
        source=SEDDATI,
        config=ExtractionConfig(layers=("layer4",)),
        published=Published(
            tables=(1, 4), scores={"holidays": 92.16, "oxford5k": 67.77, "paris6k": 82.00}
        ),
    ),
    "mr-lj1": MethodSpec(
        title="M-R l_{j-1}: the stage before",
        source=SEDDATI,
        config=ExtractionConfig(layers=("layer3",)),
        published=Published(
            tables=(1, 4), scores={"holidays": 85.04, "oxford5k": 54.05, "paris6k": 69.48}
        ),
    ),
    "mr-lj-lj1": MethodSpec(
        title="M-R l_{j&j-1}: both stages",
        source=SEDDATI,
        config=PAPER,
        published=Published(
            tables=(1, 4), scores={"holidays": 91.10, "oxford5k": 66.82, "paris6k": 81.88}
        ),
    ),
    "paper": MethodSpec(
        title="M-R l_{j&j-1} + FS: 768 values selected",
        source=SEDDATI,
        config=PAPER,
        reduction=SelectionConfig(),
        published=Published(
            tables=(1, 2, 3, 4, 5),
            scores={"holidays": 93.98, "ukb": 3.91, "oxford5k": 72.27, "paris6k": 87.10},
            features=PFA_FEATURES,
        ),
    ),
    "paper-cam": MethodSpec(
        title="M-R l_{j&j-1} + FS + CAM: also a masked descriptor",
        source=SEDDATI,
        config=ExtractionConfig(cam=True),
        reduction=SelectionConfig(),
        published=Published(
            tables=(1, 3, 4),
            scores={"holidays": 93.97, "ukb": 3.91, "oxford5k": 70.54, "paris6k": 82.55},
            features=PFA_FEATURES,
        ),
    ),
    "fast": MethodSpec(
        title="paper at 550 pixels only",
        source=SEDDATI,
        config=ExtractionConfig(resolutions=(550,)),
        reduction=SelectionConfig(),
    ),
}
