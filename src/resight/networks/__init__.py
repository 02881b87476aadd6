"""The networks by name: add one as a file with its `BackboneSpec` and a line in `BACKBONES`.

`find_backbone` also knows the networks of the library timm, by `timm:NAME`.
"""

import importlib.util

from resight.errors import MissingExtraError, UsageError
from resight.networks.backbone import TIMM, BackboneSpec
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


def find_backbone(name: str) -> BackboneSpec:
    """Return a network by its name: one of `BACKBONES`, or `timm:NAME` for a model of timm.

    Raises:
        UsageError: there is none of that name.
        MissingExtraError: it is timm's, which is not installed, or torch is not.
    """
    if name.startswith(TIMM):
        if not is_installed("torch"):
            raise MissingExtraError(name, "timm")
        from resight.networks.timm_models import timm_spec  # imports torch

        return timm_spec(name)
    if name not in BACKBONES:
        raise UsageError(f"expected one of {', '.join(BACKBONES)} or {TIMM}NAME, not {name!r}")
    return BACKBONES[name]


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, which is not done."""
    return importlib.util.find_spec(package) is not None
