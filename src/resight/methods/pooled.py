"""Other poolings of an off-the-shelf network (section 4), plain and PCA-whitened."""

from collections.abc import Mapping
from typing import Any

from resight.config import ExtractionConfig, NoReduction, ReductionConfig, WhiteningConfig
from resight.methods.spec import (
    BABENKO,
    GORDO,
    KALANTIDIS,
    LI,
    MAP_BENCHMARKS,
    NEURAL_CODES,
    RADENOVIC,
    RAZAVIAN,
    TOLIAS,
    MethodSpec,
    Published,
)

ALL_VALUES = NoReduction()
PCA = WhiteningConfig(whiten=False)
PCAW = WhiteningConfig()
UNPUBLISHED = Published()


def pooled(
    title: str,
    source: str,
    pooling: str,
    reduction: ReductionConfig = ALL_VALUES,
    published: Published = UNPUBLISHED,
    **fields: Any,
) -> MethodSpec:
    """Return a pooling of the last stage at 800 pixels; `fields` change the configuration."""
    defaults: dict[str, Any] = {"resolutions": (800,), "layers": ("layer4",), "pooling": pooling}
    config = ExtractionConfig(**(defaults | fields))
    return MethodSpec(
        title=title, source=source, config=config, reduction=reduction, published=published
    )


def _published(
    scores: Mapping[str, float],
    conditions: str,
    *,
    tables: tuple[int, ...] = (2, 5),
    values: int | None = None,
) -> Published:
    """Return figures of a paper that keeps `values` values on every benchmark (None: all)."""
    features = dict.fromkeys(MAP_BENCHMARKS, values) if values else {}
    return Published(tables=tables, scores=scores, conditions=conditions, features=features)


_FULLY_CONNECTED: dict[str, Any] = {"backbone": "vgg16", "resolutions": (224,), "square": True}
_NEURAL_CODES = _published(
    {"holidays": 78.9, "oxford5k": 55.7}, "another network, retrained; 128 values", values=128
)

METHODS: Mapping[str, MethodSpec] = {
    "neural-codes": pooled(
        "the averaged last stage at 224 pixels, PCA",
        NEURAL_CODES,
        "gem",
        PCA,
        _NEURAL_CODES,
        resolutions=(224,),
        gem_power=1.0,
    ),
    "neural-codes-fc6": pooled(
        "the first fully connected layer of a square image, PCA",
        NEURAL_CODES,
        "mac",
        PCA,
        _NEURAL_CODES,
        layers=("fc6",),
        **_FULLY_CONNECTED,
    ),
    "neural-codes-fc7": pooled(
        "the second fully connected layer, PCA",
        NEURAL_CODES,
        "mac",
        PCA,
        layers=("fc7",),
        **_FULLY_CONNECTED,
    ),
    "mac": pooled("maximum of each channel", f"{RAZAVIAN}; {TOLIAS}", "mac"),
    "spoc": pooled("sums of each channel", BABENKO, "spoc"),
    "spoc-pcaw": pooled(
        "SPoC, PCA-whitened",
        BABENKO,
        "spoc",
        PCAW,
        _published({"holidays": 80.2}, "VGG-19, 256 values", tables=(2,), values=256),
    ),
    "spoc-center": pooled("sums weighted towards the center", BABENKO, "spoc-center"),
    "spoc-center-pcaw": pooled(
        "SPoC with the centering prior, PCA-whitened",
        BABENKO,
        "spoc-center",
        PCAW,
        _published({"oxford5k": 53.1}, "VGG-19, 256 values", tables=(5,), values=256),
    ),
    "crow": pooled("sums weighted by position and channel", KALANTIDIS, "crow"),
    "crow-pcaw": pooled(
        "CroW, PCA-whitened",
        KALANTIDIS,
        "crow",
        PCAW,
        _published(
            {"holidays": 84.9, "oxford5k": 68.2, "paris6k": 79.7}, "VGG-16, 512 values", values=512
        ),
    ),
    "gem": pooled("generalized means, p = 3", RADENOVIC, "gem"),
    "gem-pcaw": pooled("generalized means, PCA-whitened", RADENOVIC, "gem", PCAW),
    "rmac": pooled("maxima of regions, added", TOLIAS, "rmac"),
    "rmac-integral": pooled("R-MAC by integral maps, alpha = 10", TOLIAS, "rmac-integral"),
    "rmac-pcaw": pooled(
        "R-MAC at 1024 pixels, PCA-whitened", TOLIAS, "rmac", PCAW, resolutions=(1024,)
    ),
    "rmac-whitened": pooled(
        "R-MAC at 1024 pixels, regions PCA-whitened",
        TOLIAS,
        "rmac-whitened",
        published=_published(
            {"holidays": 86.9, "oxford5k": 66.9, "paris6k": 83.0}, "VGG-16, 512 values"
        ),
        resolutions=(1024,),
    ),
    "mr-rmac": pooled(
        "R-MAC, regions PCA-whitened, at three resolutions, vectors added",
        GORDO,
        "rmac-whitened",
        published=_published({"holidays": 91.3}, "ResNet-101, 2048 values", tables=(2,)),
        resolutions=(1050, 800, 550),
        fusion="late",
    ),
    "ms-rmac": pooled(
        "R-MAC of five stages with learned weights",
        LI,
        "rmac",
        published=_published(
            {"holidays": 86.7, "oxford5k": 68.9, "paris6k": 77.6}, "VGG-16, 1472 values"
        ),
        layers=("conv1", "layer1", "layer2", "layer3", "layer4"),
        learn_layer_weights=True,
    ),
}
