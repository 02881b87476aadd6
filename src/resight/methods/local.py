"""Local features and their aggregation (sections 11 and 15)."""

import dataclasses
from collections.abc import Mapping

from resight.config import LocalConfig, RerankConfig, WhiteningConfig
from resight.methods.spec import (
    HAMMING,
    JEGOU_VLAD,
    MAP_BENCHMARKS,
    NETVLAD,
    PERRONNIN,
    RAZAVIAN,
    TRIANGULATION,
    VIDEO_GOOGLE,
    MethodSpec,
    Published,
)

_BOW = LocalConfig(aggregation="words", centers=4096)

METHODS: Mapping[str, MethodSpec] = {
    "sift-vlad": MethodSpec(
        title="RootSIFT, VLAD; no network",
        source=JEGOU_VLAD,
        config=LocalConfig(method="sift-vlad"),
    ),
    "sift-fisher": MethodSpec(
        title="RootSIFT, Fisher vector",
        source=PERRONNIN,
        config=LocalConfig(aggregation="fisher", values=64, centers=64, sample=50_000),
        published=Published(
            tables=(2,),
            scores={"holidays": 84.7},
            conditions="of [27]: supervised layers on top, 4000 values",
        ),
    ),
    "triangulation": MethodSpec(
        title="RootSIFT, triangulation embedding, democratic aggregation",
        source=TRIANGULATION,
        config=LocalConfig(
            aggregation="triangulation", centers=16, max_keypoints=1000, sample=20_000
        ),
        published=Published(
            tables=(2, 3, 5),
            scores={"holidays": 72.0, "ukb": 3.53, "oxford5k": 56.0},
            conditions="other keypoints, 1024 values",
        ),
    ),
    "bow": MethodSpec(
        title="RootSIFT, bag of visual words, tf-idf", source=VIDEO_GOOGLE, config=_BOW
    ),
    "bow-soft": MethodSpec(
        title="RootSIFT, bag of visual words, soft assignment",
        source="Philbin et al. [30], Lost in quantization, CVPR 2008",
        config=dataclasses.replace(_BOW, assigned=3),
    ),
    "bow-aqe": MethodSpec(
        title="bag of visual words, average query expansion",
        source="Chum et al. [7], Total recall, ICCV 2007",
        config=_BOW,
        rerank=RerankConfig(method="aqe"),
    ),
    "hamming": MethodSpec(
        title="RootSIFT, Hamming embedding",
        source=HAMMING,
        config=dataclasses.replace(_BOW, aggregation="hamming"),
    ),
    "hamming-wgc": MethodSpec(
        title="RootSIFT, Hamming embedding, weak geometric consistency",
        source=HAMMING,
        config=dataclasses.replace(_BOW, aggregation="hamming-wgc"),
    ),
    "vlad-conv": MethodSpec(
        title="columns of layer3, VLAD, PCA-whitened",
        source="Ng et al. [44], Exploiting local features from deep networks, CVPRW 2015",
        config=LocalConfig(
            features="columns",
            layer="layer3",
            longest_side=600,
            values=128,
            centers=100,
            sample=100_000,
        ),
        reduction=WhiteningConfig(),
        published=Published(
            tables=(2, 5),
            scores={"holidays": 83.6, "oxford5k": 59.3, "paris6k": 59.0},
            conditions="GoogLeNet or VGG-16, 128 values",
            features=dict.fromkeys(MAP_BENCHMARKS, 128),
        ),
    ),
    "netvlad": MethodSpec(
        title="columns of layer3, untrained NetVLAD layer, PCA-whitened",
        source=NETVLAD,
        config=LocalConfig(
            features="columns",
            aggregation="netvlad",
            layer="layer3",
            longest_side=600,
            centers=32,
            sample=50_000,
        ),
        reduction=WhiteningConfig(),
        published=Published(
            tables=(2, 5),
            scores={"holidays": 87.5, "oxford5k": 71.6, "paris6k": 79.7},
            conditions="VGG-16, trained, 4096 values",
        ),
    ),
    "mop-cnn": MethodSpec(
        title="patches at three scales, VLAD of each, PCA-whitened",
        source="Gong et al. [9], Multi-scale orderless pooling, ECCV 2014",
        config=LocalConfig(
            features="patches", scales=(1, 2, 4), values=256, centers=64, assigned=5
        ),
        reduction=WhiteningConfig(),
        published=Published(
            tables=(2,), scores={"holidays": 80.8}, conditions="AlexNet, 2048 values"
        ),
    ),
    "razavian": MethodSpec(
        title="maxima of a grid over the last stage, PCA-whitened",
        source=RAZAVIAN,
        config=LocalConfig(features="cells", aggregation="stack", longest_side=800, scales=(1, 2)),
        reduction=WhiteningConfig(),
    ),
}
