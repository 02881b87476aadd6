"""Other poolings of an off-the-shelf network (section 4), plain and PCA-whitened."""

from collections.abc import Mapping

from resight.config import ExtractionConfig, WhiteningConfig
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


def pooled(pooling: str, resolution: int = 800) -> ExtractionConfig:
    """Return a pooling of the last stage at one resolution."""
    return ExtractionConfig(resolutions=(resolution,), layers=("layer4",), pooling=pooling)


def _fully_connected(layer: str) -> ExtractionConfig:
    return ExtractionConfig(
        backbone="vgg16", resolutions=(224,), square=True, layers=(layer,), pooling="mac"
    )


METHODS: Mapping[str, MethodSpec] = {
    "neural-codes": MethodSpec(
        title="the averaged last stage at 224 pixels, PCA",
        source=NEURAL_CODES,
        config=ExtractionConfig(
            resolutions=(224,), layers=("layer4",), pooling="gem", gem_power=1.0
        ),
        reduction=WhiteningConfig(whiten=False),
        published=Published(
            tables=(2, 5),
            scores={"holidays": 78.9, "oxford5k": 55.7},
            conditions="another network, retrained; 128 values",
            features=dict.fromkeys(MAP_BENCHMARKS, 128),
        ),
    ),
    "neural-codes-fc6": MethodSpec(
        title="the first fully connected layer of a square image, PCA",
        source=NEURAL_CODES,
        config=_fully_connected("fc6"),
        reduction=WhiteningConfig(whiten=False),
        published=Published(
            tables=(2, 5),
            scores={"holidays": 78.9, "oxford5k": 55.7},
            conditions="another network, retrained; 128 values",
            features=dict.fromkeys(MAP_BENCHMARKS, 128),
        ),
    ),
    "neural-codes-fc7": MethodSpec(
        title="the second fully connected layer, PCA",
        source=NEURAL_CODES,
        config=_fully_connected("fc7"),
        reduction=WhiteningConfig(whiten=False),
    ),
    "mac": MethodSpec(
        title="maximum of each channel",
        source=f"{RAZAVIAN}; {TOLIAS}",
        config=pooled("mac"),
    ),
    "spoc": MethodSpec(
        title="sums of each channel",
        source=BABENKO,
        config=pooled("spoc"),
    ),
    "spoc-pcaw": MethodSpec(
        title="SPoC, PCA-whitened",
        source=BABENKO,
        config=pooled("spoc"),
        reduction=WhiteningConfig(),
        published=Published(
            tables=(2,),
            scores={"holidays": 80.2},
            conditions="VGG-19, 256 values",
            features=dict.fromkeys(MAP_BENCHMARKS, 256),
        ),
    ),
    "spoc-center": MethodSpec(
        title="sums weighted towards the center",
        source=BABENKO,
        config=pooled("spoc-center"),
    ),
    "spoc-center-pcaw": MethodSpec(
        title="SPoC with the centering prior, PCA-whitened",
        source=BABENKO,
        config=pooled("spoc-center"),
        reduction=WhiteningConfig(),
        published=Published(
            tables=(5,),
            scores={"oxford5k": 53.1},
            conditions="VGG-19, 256 values",
            features=dict.fromkeys(MAP_BENCHMARKS, 256),
        ),
    ),
    "crow": MethodSpec(
        title="sums weighted by position and channel",
        source=KALANTIDIS,
        config=pooled("crow"),
    ),
    "crow-pcaw": MethodSpec(
        title="CroW, PCA-whitened",
        source=KALANTIDIS,
        config=pooled("crow"),
        reduction=WhiteningConfig(),
        published=Published(
            tables=(2, 5),
            scores={"holidays": 84.9, "oxford5k": 68.2, "paris6k": 79.7},
            conditions="VGG-16, 512 values",
            features=dict.fromkeys(MAP_BENCHMARKS, 512),
        ),
    ),
    "gem": MethodSpec(
        title="generalized means, p = 3",
        source=RADENOVIC,
        config=pooled("gem"),
    ),
    "gem-pcaw": MethodSpec(
        title="generalized means, PCA-whitened",
        source=RADENOVIC,
        config=pooled("gem"),
        reduction=WhiteningConfig(),
    ),
    "rmac": MethodSpec(
        title="maxima of regions, added",
        source=TOLIAS,
        config=pooled("rmac"),
    ),
    "rmac-integral": MethodSpec(
        title="R-MAC by integral maps, alpha = 10",
        source=TOLIAS,
        config=pooled("rmac-integral"),
    ),
    "rmac-pcaw": MethodSpec(
        title="R-MAC at 1024 pixels, PCA-whitened",
        source=TOLIAS,
        config=pooled("rmac", 1024),
        reduction=WhiteningConfig(),
    ),
    "rmac-whitened": MethodSpec(
        title="R-MAC at 1024 pixels, regions PCA-whitened",
        source=TOLIAS,
        config=pooled("rmac-whitened", 1024),
        published=Published(
            tables=(2, 5),
            scores={"holidays": 86.9, "oxford5k": 66.9, "paris6k": 83.0},
            conditions="VGG-16, 512 values",
        ),
    ),
    "mr-rmac": MethodSpec(
        title="R-MAC, regions PCA-whitened, at three resolutions, vectors added",
        source=GORDO,
        config=ExtractionConfig(layers=("layer4",), fusion="late", pooling="rmac-whitened"),
        published=Published(
            tables=(2,), scores={"holidays": 91.3}, conditions="ResNet-101, 2048 values"
        ),
    ),
    "ms-rmac": MethodSpec(
        title="R-MAC of five stages with learned weights",
        source=LI,
        config=ExtractionConfig(
            resolutions=(800,),
            layers=("conv1", "layer1", "layer2", "layer3", "layer4"),
            pooling="rmac",
            learn_layer_weights=True,
        ),
        published=Published(
            tables=(2, 5),
            scores={"holidays": 86.7, "oxford5k": 68.9, "paris6k": 77.6},
            conditions="VGG-16, 1472 values",
        ),
    ),
}
