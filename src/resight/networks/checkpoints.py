"""The layouts in which weights are published, brought into torchvision's.

`cirtorch` is that of Radenovic et al., https://github.com/filipradenovic/cnnimageretrieval-pytorch;
`dirtorch` of Gordo et al. and Revaud et al., https://github.com/naver/deep-image-retrieval. NetVLAD
on VGG-16 is read as https://github.com/Nanne/pytorch-NetVlad and
https://github.com/yxgeee/OpenIBL have it. A name that a layout does not know stays as it is, and is
refused as none of the network's.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import WeightsError
from resight.networks.backbone import IMAGENET_MEAN, IMAGENET_STD
from resight.networks.projection import NetVlad, Projection, RetrievalHead
from resight.networks.specs import BACKBONES
from resight.networks.weights import flat, read_content

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of red, green and blue in 0..1."""

POWERS = {"spoc": 1.0, "avg": 1.0, "mac": np.inf, "max": np.inf}
"""Poolings of the layouts that have no parameter, as powers of a generalized mean."""
WHITENED_ON = ("retrieval-SfM-120k", "Landmarks_clean")
"""Of several whitenings in a file the one that the authors report with; else the first."""
DIR_POWER = 0.25
"""Power of the variances in the whitening of Gordo et al., as their instructions have it."""


@dataclass(frozen=True)
class Weights:
    """A file's content.

    Attributes:
        state: name to array, in torchvision's layout.
        backbone: the network's name, where the file says it.
        head: None but for networks that were fine-tuned for retrieval, or trained with NetVLAD.
        normalization: None is that of the network's spec.
    """

    state: dict[str, np.ndarray]
    backbone: str | None = None
    head: RetrievalHead | NetVlad | None = None
    normalization: Normalization | None = None


def read_weights(path: Path) -> Weights:
    """The weights in a file of any of the layouts.

    Raises:
        WeightsError: the file cannot be read, or asks for what is not computed here.
    """
    content = read_content(path)
    nested = isinstance(content, dict) and "state_dict" in content
    state = flat(content["state_dict"] if nested else content, path)
    for layout in NETVLAD:
        if any(name.startswith(layout.network) for name in state):
            return _netvlad(layout, state, path)
    if not nested:
        return Weights(state)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    for mark, convert in LAYOUTS.items():
        if isinstance(content.get(mark), dict):
            try:
                return convert(content, state, path)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise WeightsError(f"{path}: {mark} is not as published: {error!r}") from None
    raise WeightsError(
        f"{path}: has a state_dict, but none of {', '.join(LAYOUTS)} that explains it"
    )


def _cirtorch(content: dict[str, Any], state: dict[str, np.ndarray], path: Path) -> Weights:
    meta = content["meta"]
    backbone = _known_backbone(meta["architecture"], path)
    for name in ("regional", "local_whitening"):
        if meta.get(name):
            raise WeightsError(f"{path}: {name} is on in its meta, which is not computed here")
    power = _power(meta["pooling"], state, "pool.p", path)
    projection = _projection(state, "whiten", path) if meta.get("whitening") else None
    one, several = None, None
    if projection is None and meta.get("Lw"):
        whitenings = _preferred(meta["Lw"])
        one, several = (
            _centered(whitenings[kind]["P"], whitenings[kind]["m"]) for kind in ("ss", "ms")
        )
    children = BACKBONES[backbone].children
    if children:
        state = {_of_sequence(name, children): value for name, value in state.items()}
    return Weights(
        state,
        backbone,
        _checked(RetrievalHead(power, True, projection, one, several), backbone, path),
        (_three(meta["mean"]), _three(meta["std"])),
    )


def _dirtorch(content: dict[str, Any], state: dict[str, np.ndarray], path: Path) -> Weights:
    options = content["model_options"]
    backbone = _known_backbone(str(options["arch"]).removesuffix("_rmac"), path)
    if options.get("center_bias"):
        raise WeightsError(f"{path}: center_bias is on in its options, which is not computed here")
    pooling = options.get("pooling", "gem")
    power = _power("gem" if pooling.startswith("gem") else pooling, state, "adpool.p", path)
    layer = _projection(state, "fc", path)  # there also where it is not used
    projection = None if options.get("without_fc") else layer
    whitening = None
    if content.get("pca"):
        pca = _preferred(content["pca"])
        scale = np.asarray(pca["variance"], np.float64) ** DIR_POWER
        whitening = _centered(np.asarray(pca["components"]) / scale[:, None], pca["mean"])
    normalized = content.get("preprocess") or {}
    return Weights(
        state,
        backbone,
        _checked(
            RetrievalHead(
                power, bool(options.get("norm_features")), projection, whitening, whitening
            ),
            backbone,
            path,
        ),
        (
            _three(normalized.get("mean", IMAGENET_MEAN)),
            _three(normalized.get("std", IMAGENET_STD)),
        ),
    )


LAYOUTS: Mapping[str, Callable[[dict[str, Any], dict[str, np.ndarray], Path], Weights]] = {
    "meta": _cirtorch,
    "model_options": _dirtorch,
}
"""What stands beside the `state_dict` of a layout, and how that is converted."""


@dataclass(frozen=True)
class NetVladLayout:
    """How names of NetVLAD on VGG-16 begin, and how pictures are normalized for it."""

    network: str
    layer: str
    whitening: str
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


NETVLAD = (
    NetVladLayout("encoder.", "pool.", "WPCA.0."),
    NetVladLayout(
        "base_model.base.",
        "net_vlad.",
        "pca_layer.",
        mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
    ),
)
"""Of pytorch-NetVlad, with the whitening that https://github.com/QVPR/Patch-NetVLAD adds, and of
OpenIBL."""


def _netvlad(layout: NetVladLayout, state: dict[str, np.ndarray], path: Path) -> Weights:
    # Trained on several devices, each part of the model has one more name around it.
    state = {".".join(p for p in n.split(".") if p != "module"): v for n, v in state.items()}
    words = _taken(state, f"{layout.layer}centroids", path)
    channels = BACKBONES["vgg16"].channels["conv5_3"]
    if words.shape[1:] != (channels,):
        raise WeightsError(
            f"{path}: {layout.layer}centroids has shape {words.shape}, not (words, {channels})"
        )
    count = len(words)
    weights = _shaped(state, f"{layout.layer}conv.weight", (count, channels, 1, 1), path)
    biases = np.zeros(count, np.float32)
    if f"{layout.layer}conv.bias" in state:
        biases = _shaped(state, f"{layout.layer}conv.bias", (count,), path)
    whitening = None
    if f"{layout.whitening}bias" in state:
        bias = _taken(state, f"{layout.whitening}bias", path)
        shape = (bias.size, count * channels, 1, 1)
        weight = _shaped(state, f"{layout.whitening}weight", shape, path)
        whitening = Projection(weight.reshape(shape[:2]), bias)
    layer = {"words": words, "weights": weights.reshape(words.shape), "biases": biases}
    named = {
        re.sub(f"^{re.escape(layout.network)}", "features.", name): value
        for name, value in state.items()
    }
    return Weights(named, "vgg16", NetVlad(layer, whitening), (layout.mean, layout.std))


def _shaped(
    state: dict[str, np.ndarray], name: str, shape: tuple[int, ...], path: Path
) -> np.ndarray:
    """An array taken out of the state dict, which has to have a shape."""
    found = _taken(state, name, path)
    if found.shape != shape:
        raise WeightsError(f"{path}: {name} has shape {found.shape}, not {shape}")
    return found


def _known_backbone(name: str, path: Path) -> str:
    if name not in BACKBONES:
        raise WeightsError(f"{path}: is a {name}, which is none of {', '.join(BACKBONES)}")
    return name


def _power(pooling: str, state: dict[str, np.ndarray], name: str, path: Path) -> float:
    """The power of a pooling; its parameter is taken out of the state dict."""
    if pooling in POWERS:
        return POWERS[pooling]
    if pooling != "gem":
        raise WeightsError(f"{path}: its pooling {pooling} is none of gem, {', '.join(POWERS)}")
    return float(_taken(state, name, path).item())


def _projection(state: dict[str, np.ndarray], name: str, path: Path) -> Projection:
    """A fully connected layer, taken out of the state dict."""
    return Projection(_taken(state, f"{name}.weight", path), _taken(state, f"{name}.bias", path))


def _taken(state: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    if name not in state:
        raise WeightsError(f"{path}: {name} is missing")
    return state.pop(name)


def _centered(weight: Any, mean: Any) -> Projection:
    """`weight (x - mean)`."""
    matrix = np.asarray(weight, np.float64)
    bias = -matrix @ np.asarray(mean, np.float64).reshape(-1)
    return Projection(matrix.astype(np.float32), bias.astype(np.float32))


def _preferred(whitenings: Mapping[str, Any]) -> Any:
    names = [name for name in WHITENED_ON if name in whitenings] or list(whitenings)
    return whitenings[names[0]]


def _checked(head: RetrievalHead, backbone: str, path: Path) -> RetrievalHead:
    """The head, if its projections fit the network's maps and each other."""
    spec = BACKBONES[backbone]
    inputs = spec.channels[spec.last_map]
    for projection in (head.projection, head.whitening, head.whitening_of_several):
        if projection is None:
            continue
        outputs = len(projection.bias)
        if projection is not head.projection and head.projection is not None:
            inputs = len(head.projection.bias)
        if projection.weight.shape != (outputs, inputs):
            raise WeightsError(
                f"{path}: a projection has shape {projection.weight.shape}, not {(outputs, inputs)}"
            )
    if head.power <= 0:
        raise WeightsError(f"{path}: the power of its pooling is {head.power:g}, not above 0")
    return head


def _three(values: Any) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if len(found) != 3:
        raise ValueError(f"{len(found)} values of mean or std, not 3")
    return found


def _of_sequence(name: str, children: tuple[str, ...]) -> str:
    """Return `layer1.0.conv1.weight` for `features.4.0.conv1.weight`."""
    match = re.fullmatch(r"features\.(\d+)\.(.+)", name)
    if match is None or int(match[1]) >= len(children):
        return name
    return f"{children[int(match[1])]}.{match[2]}"
