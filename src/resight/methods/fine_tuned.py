"""Networks that were trained for retrieval, with their own pooling."""

import dataclasses
from collections.abc import Mapping

from resight.config import ExtractionConfig
from resight.methods.spec import GORDO, NETVLAD, RADENOVIC_BOW, MethodSpec, Published

_TUNED = ExtractionConfig(
    resolutions=(1024,), layers=("layer4",), fusion="late", pooling="fine-tuned"
)

METHODS: Mapping[str, MethodSpec] = {
    "radenovic": MethodSpec(
        title="fine-tuned: generalized means or maxima, whitened, as in the weights",
        source=RADENOVIC_BOW,
        config=dataclasses.replace(_TUNED, backbone="vgg16", layers=("conv5",)),
        published=Published(
            tables=(2, 5),
            scores={"holidays": 82.5, "oxford5k": 79.7, "paris6k": 83.8},
            conditions="VGG-16, maxima, 512 values",
        ),
    ),
    "gordo": MethodSpec(
        title="fine-tuned: generalized means, projected, at three resolutions",
        source=f"{GORDO}; with the pooling of the authors' published networks",
        config=dataclasses.replace(_TUNED, backbone="resnet101", resolutions=(1050, 800, 550)),
        published=Published(
            tables=(2, 3, 5),
            scores={"holidays": 94.8, "ukb": 3.84, "oxford5k": 86.1, "paris6k": 94.5},
            conditions="ResNet-101, R-MAC, 2048 values",
        ),
    ),
    "netvlad-trained": MethodSpec(
        title="the NetVLAD layer and whitening of the weights",
        source=NETVLAD,
        config=ExtractionConfig(
            backbone="vgg16",
            resolutions=(1024,),
            layers=("conv5_3",),
            fusion="late",
            pooling="netvlad",
        ),
        published=Published(
            tables=(2, 5),
            scores={"holidays": 87.5, "oxford5k": 71.6, "paris6k": 79.7},
            conditions="4096 values",
        ),
    ),
}
