"""Methods by name, and on another network."""

import pytest

from resight.config import ExtractionConfig, LocalConfig
from resight.errors import UsageError
from resight.methods.catalogue import METHODS, find_method


def test_methods_on_another_network() -> None:
    recipe = find_method("ms-rmac@vgg16")
    assert recipe is not None
    assert isinstance(recipe.config, ExtractionConfig)
    assert recipe.config.layers == ("conv1", "conv2", "conv3", "conv4", "conv5")
    assert recipe.values == "1472"
    columns = find_method("vlad-conv@vgg16")
    assert columns is not None
    assert isinstance(columns.config, LocalConfig)
    assert (columns.config.backbone, columns.config.layer) == ("vgg16", "conv4")
    assert columns.weights == "VGG-16"
    assert find_method("rmac") is METHODS["rmac"]
    assert find_method("nothing@vgg16") is None
    for name, message in (
        ("rmac@vgg19", "vgg19 is not one of"),
        ("sift-vlad@vgg16", "has no network"),
        ("paper-cam@vgg16", "cam: needs a ResNet"),
    ):
        with pytest.raises(UsageError, match=message):
            find_method(name)
