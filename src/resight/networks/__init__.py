"""The networks by name: add one as a file with its `BackboneSpec` and a line in `BACKBONES`."""

from resight.networks.backbone import BackboneSpec
from resight.networks.efficientnet_lite import (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE1,
    EFFICIENTNET_LITE2,
)
from resight.networks.resnet import RESNET50, RESNET101
from resight.networks.vgg import VGG16

BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        RESNET50,
        RESNET101,
        VGG16,
        EFFICIENTNET_LITE0,
        EFFICIENTNET_LITE1,
        EFFICIENTNET_LITE2,
    )
}
