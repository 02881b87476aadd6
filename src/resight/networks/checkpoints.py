"""Conversion of published checkpoint layouts to torchvision's.

`cirtorch` is that of Radenovic et al., https://github.com/filipradenovic/cnnimageretrieval-pytorch;
`dirtorch` of Gordo et al. and Revaud et al., https://github.com/naver/deep-image-retrieval. NetVLAD
on VGG-16 is read in the layouts of https://github.com/Nanne/pytorch-NetVlad and
https://github.com/yxgeee/OpenIBL. Names that a layout does not define stay as they are; the check
against the network's spec then refuses them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from resight.errors import WeightsError
from resight.networks import BACKBONES, find_backbone
from resight.networks.backbone import IMAGENET_MEAN, IMAGENET_STD
from resight.networks.weights import check_flat, read_content
from resight.vectors import Projection

State = dict[str, np.ndarray]
"""Name to array, in torchvision's layout."""

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of red, green and blue in 0..1."""

POWERS = {"spoc": 1.0, "avg": 1.0, "mac": np.inf, "max": np.inf}
"""Poolings without a parameter, as powers of a generalized mean."""
PREFERRED_WHITENINGS = ("retrieval-SfM-120k", "Landmarks_clean")
"""The training sets of the whitenings that the authors report with, if a file has several."""
DIRTORCH_POWER = 0.25
"""Power of the variances in the whitening of Gordo et al., according to their instructions."""


@dataclass(frozen=True)
class RetrievalHead:
    """The head of weights that were fine-tuned for retrieval, on the network's last map.

    Attributes:
        power: of the generalized mean of the map; infinity is the maximum.
        unit: whether the mean has unit length before it is projected.
        projection: of each resolution's vector, trained with the network.
        whitening: of the descriptor of one resolution, fitted afterwards.
        multi_scale_whitening: of the descriptor of several resolutions.
    """

    pooling: ClassVar[str] = "fine-tuned"

    power: float
    unit: bool = True
    projection: Projection | None = None
    whitening: Projection | None = None
    multi_scale_whitening: Projection | None = None

    def whitening_for(self, resolutions: int) -> Projection | None:
        """Return the whitening for descriptors of a number of resolutions."""
        return self.whitening if resolutions == 1 else self.multi_scale_whitening

    def dimensions(self, channels: int, resolutions: int) -> int:
        """Return the length of the descriptor of a map with a number of channels."""
        for projection in (self.whitening_for(resolutions), self.projection):
            if projection is not None:
                return len(projection.bias)
        return channels


@dataclass(frozen=True)
class NetVlad:
    """The head of weights that were trained with a NetVLAD layer, on the last convolution.

    Attributes:
        layer: its `words`, `weights` and `biases`, as `descriptors.aggregation.netvlad` takes them.
        whitening: of the layer's vector; None if the weights have none.
    """

    pooling: ClassVar[str] = "netvlad"

    layer: Mapping[str, np.ndarray]
    whitening: Projection | None = None

    def dimensions(self, channels: int, resolutions: int) -> int:
        """Return the length of the descriptor, see `RetrievalHead`."""
        if self.whitening is not None:
            return len(self.whitening.bias)
        return channels * len(self.layer["words"])


@dataclass(frozen=True)
class Checkpoint:
    """Content of a weights file.

    Attributes:
        state: the parameters.
        backbone: the network's name, if the file contains it.
        head: of networks that were fine-tuned for retrieval, or trained with NetVLAD.
        normalization: of images; None is that of the network's spec.
    """

    state: State
    backbone: str | None = None
    head: RetrievalHead | NetVlad | None = None
    normalization: Normalization | None = None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a weights file in any of the layouts.

    Raises:
        WeightsError: the file cannot be read, uses an unsupported option, or holds values that
            are not finite.
    """
    content = read_content(path)
    nested = isinstance(content, dict) and "state_dict" in content
    state = check_flat(content["state_dict"] if nested else content, path)
    for name, values in state.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite")
    try:
        for layout in NETVLAD_LAYOUTS:
            if any(name.startswith(layout.network) for name in state):
                return _convert_netvlad(layout, state)
        return _convert(content, state) if nested else Checkpoint(state)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def _convert(content: dict[str, Any], state: State) -> Checkpoint:
    state = {name.removeprefix("module."): value for name, value in state.items()}
    for key, convert in LAYOUTS.items():
        if isinstance(content.get(key), dict):
            try:
                return convert(content, state)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise WeightsError(f"{key} is not as published: {error!r}") from None
    raise WeightsError(f"has a state_dict, but none of {', '.join(LAYOUTS)} that explains it")


def _convert_cirtorch(content: dict[str, Any], state: State) -> Checkpoint:
    meta = content["meta"]
    backbone = _check_backbone(meta["architecture"])
    for name in ("regional", "local_whitening"):
        if meta.get(name):
            raise WeightsError(f"{name} is on in its meta, which is not supported")
    power = _take_power(meta["pooling"], state, "pool.p")
    head = RetrievalHead(power)
    if meta.get("whitening"):
        head = RetrievalHead(power, projection=_take_projection(state, "whiten"))
    elif meta.get("Lw"):
        whitenings = _preferred(meta["Lw"])
        single, multi = (
            _centered_projection(whitenings[kind]["P"], whitenings[kind]["m"])
            for kind in ("ss", "ms")
        )
        head = RetrievalHead(power, whitening=single, multi_scale_whitening=multi)
    children = find_backbone(backbone).children
    if children:
        state = {_of_child(name, children): value for name, value in state.items()}
    normalization = _channel_values(meta["mean"]), _channel_values(meta["std"])
    return Checkpoint(state, backbone, _check_head(head, backbone), normalization)


def _convert_dirtorch(content: dict[str, Any], state: State) -> Checkpoint:
    options = content["model_options"]
    backbone = _check_backbone(str(options["arch"]).removesuffix("_rmac"))
    if options.get("center_bias"):
        raise WeightsError("center_bias is on in its options, which is not supported")
    pooling = options.get("pooling", "gem")
    power = _take_power("gem" if pooling.startswith("gem") else pooling, state, "adpool.p")
    layer = _take_projection(state, "fc")  # present even if it is not used
    whitening = None
    if content.get("pca"):
        pca = _preferred(content["pca"])
        scale = np.asarray(pca["variance"], np.float64) ** DIRTORCH_POWER
        whitening = _centered_projection(
            np.asarray(pca["components"]) / scale[:, None], pca["mean"]
        )
    head = RetrievalHead(
        power,
        unit=bool(options.get("norm_features")),
        projection=None if options.get("without_fc") else layer,
        whitening=whitening,
        multi_scale_whitening=whitening,
    )
    preprocess = content.get("preprocess") or {}
    mean = _channel_values(preprocess.get("mean", IMAGENET_MEAN))
    std = _channel_values(preprocess.get("std", IMAGENET_STD))
    return Checkpoint(state, backbone, _check_head(head, backbone), (mean, std))


LAYOUTS: Mapping[str, Callable[[dict[str, Any], State], Checkpoint]] = {
    "meta": _convert_cirtorch,
    "model_options": _convert_dirtorch,
}
"""The key next to `state_dict` that identifies a layout, and its conversion."""


@dataclass(frozen=True)
class NetVladLayout:
    """Prefixes of the names of NetVLAD on VGG-16, and the normalization of images."""

    network: str
    layer: str
    whitening: str
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


NETVLAD_LAYOUTS = (
    # pytorch-NetVlad, with the whitening that https://github.com/QVPR/Patch-NetVLAD adds.
    NetVladLayout("encoder.", "pool.", "WPCA.0."),
    NetVladLayout(  # OpenIBL
        "base_model.base.",
        "net_vlad.",
        "pca_layer.",
        mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
    ),
)


def _convert_netvlad(layout: NetVladLayout, state: State) -> Checkpoint:
    # Training on several devices wraps each part of the model in a `module`.
    state = {".".join(p for p in n.split(".") if p != "module"): v for n, v in state.items()}
    words = _take(state, f"{layout.layer}centroids")
    channels = find_backbone("vgg16").channels["conv5_3"]
    if words.shape[1:] != (channels,):
        raise WeightsError(
            f"{layout.layer}centroids has shape {words.shape}, not (words, {channels})"
        )
    count = len(words)
    weights = _take(state, f"{layout.layer}conv.weight", (count, channels, 1, 1))
    biases = np.zeros(count, np.float32)
    if f"{layout.layer}conv.bias" in state:
        biases = _take(state, f"{layout.layer}conv.bias", (count,))
    whitening = None
    if f"{layout.whitening}bias" in state:
        bias = _take(state, f"{layout.whitening}bias")
        shape = (bias.size, count * channels, 1, 1)
        weight = _take(state, f"{layout.whitening}weight", shape)
        whitening = Projection(weight.reshape(shape[:2]), bias)
    layer = {"words": words, "weights": weights.reshape(words.shape), "biases": biases}
    renamed = {
        re.sub(f"^{re.escape(layout.network)}", "features.", name): value
        for name, value in state.items()
    }
    return Checkpoint(renamed, "vgg16", NetVlad(layer, whitening), (layout.mean, layout.std))


def _take(state: State, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Remove an array from the state dict, and check its shape."""
    if name not in state:
        raise WeightsError(f"{name} is missing")
    array = state.pop(name)
    if shape is not None and array.shape != shape:
        raise WeightsError(f"{name} has shape {array.shape}, not {shape}")
    return array


def _take_power(pooling: str, state: State, name: str) -> float:
    """Return the power of a pooling; remove its parameter from the state dict."""
    if pooling in POWERS:
        return POWERS[pooling]
    if pooling != "gem":
        raise WeightsError(f"its pooling {pooling} is none of gem, {', '.join(POWERS)}")
    return float(_take(state, name).item())


def _take_projection(state: State, name: str) -> Projection:
    """Remove a fully connected layer from the state dict."""
    return Projection(_take(state, f"{name}.weight"), _take(state, f"{name}.bias"))


def _centered_projection(weight: Any, mean: Any) -> Projection:
    """Return `weight (x - mean)`."""
    matrix = np.asarray(weight, np.float64)
    bias = -matrix @ np.asarray(mean, np.float64).reshape(-1)
    return Projection(matrix.astype(np.float32), bias.astype(np.float32))


def _preferred(whitenings: Mapping[str, Any]) -> Any:
    names = [name for name in PREFERRED_WHITENINGS if name in whitenings] or list(whitenings)
    return whitenings[names[0]]


def _check_backbone(name: str) -> str:
    if name not in BACKBONES:
        raise WeightsError(f"is a {name}, which is none of {', '.join(BACKBONES)}")
    return name


def _check_head(head: RetrievalHead, backbone: str) -> RetrievalHead:
    """Check that the head's projections fit the network's maps and each other."""
    spec = find_backbone(backbone)
    inputs = spec.channels[spec.last_map]
    if head.projection is not None:
        _check_shape(head.projection, inputs)
        inputs = len(head.projection.bias)
    for whitening in (head.whitening, head.multi_scale_whitening):
        if whitening is not None:
            _check_shape(whitening, inputs)
    if head.power <= 0:
        raise WeightsError(f"the power of its pooling is {head.power:g}, not above 0")
    return head


def _check_shape(projection: Projection, inputs: int) -> None:
    shape = (len(projection.bias), inputs)
    if projection.weight.shape != shape:
        raise WeightsError(f"a projection has shape {projection.weight.shape}, not {shape}")


def _channel_values(values: Any) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 3:
        raise ValueError(f"{len(numbers)} values of mean or std, not 3")
    return numbers


def _of_child(name: str, children: tuple[str, ...]) -> str:
    """Return `layer1.0.conv1.weight` for `features.4.0.conv1.weight`."""
    match = re.fullmatch(r"features\.(\d+)\.(.+)", name)
    if match is None or int(match[1]) >= len(children):
        return name
    return f"{children[int(match[1])]}.{match[2]}"
