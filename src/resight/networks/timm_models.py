"""Networks of the library timm by name, `timm:NAME`: their specs, weights and feature maps.

A spec comes from timm's configuration of the model and from a trace of it without values, on the
meta device, so that a configuration is checked before any weights exist. Convolutional networks
yield their stages (`features_only`), transformers the tokens of their blocks as maps
(`forward_intermediates`, after the final norm).

Source: Wightman, "PyTorch image models", https://github.com/huggingface/pytorch-image-models.
"""

import contextlib
import difflib
import functools
import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resight.errors import MissingExtraError, UsageError, WeightsError
from resight.networks.backbone import TIMM, BackboneSpec, Layer, WeightsSpec
from resight.networks.meta_trace import Tracer, first_line, run_on_meta, smallest_side, trace_maps
from resight.networks.weights import read_tensors

MIN_VERSION = (1, 0, 31)
"""Earlier versions cannot create all models without values."""
PYRAMID = 5
"""Maximum number of layers in the pyramid of a network with stages."""
QUARTERS = 4
"""Layers in the pyramid of a network whose blocks all have one stride."""


@functools.cache
def timm_spec(name: str) -> BackboneSpec:
    """Return the spec of a network of timm.

    Args:
        name: `timm:` and a name of timm's, with or without the tag of its weights.

    Raises:
        MissingExtraError: timm is not installed.
        UsageError: timm has no such model, or one without feature maps of images of any size.
    """
    timm = import_timm(name)
    model = name.removeprefix(TIMM)
    config = pretrained_config(timm, model)
    if config.input_size[0] != 3:
        raise UsageError(f"{name}: takes images of {config.input_size[0]} channels, not of 3")
    options, net = _features_on_meta(timm, model)
    infos = net.feature_info.info
    strides = [int(info["reduction"]) for info in infos]
    by_tokens = isinstance(net, timm.models._features.FeatureGetterNet)
    if by_tokens:
        net = _Tokens(_on_meta(timm, model, **options), range(len(infos)))
    else:
        net = _Stages(_on_meta(timm, model, features_only=True, out_indices=_all(infos), **options))
    multiple, maps, bytes_per_pixel = trace_maps(net, name, max(strides))
    prefix = "block" if _is_single_scale(strides) else "stage"
    min_side = smallest_side(net, max(strides), multiple)
    layers = tuple(
        Layer(f"{prefix}{number}", channels, stride, min_side, signed)
        for number, (stride, (channels, signed)) in enumerate(
            zip(strides, maps, strict=True), start=1
        )
    )
    pyramid = tuple(layers[i].name for i in _pyramid(strides))
    linear = not by_tokens and _has_linear_classifier(timm, model, infos[-1]["module"])
    return BackboneSpec(
        name=name,
        title=f"timm's {model}",
        layers=layers,
        pyramid=pyramid,
        matching_layer=pyramid[max(0, len(pyramid) - 2)],
        cam_layer=layers[-1].name if linear else None,
        weights=WeightsSpec(
            sha256="",
            paper="timm",
            url=config.url or "",
            license=config.license or "not stated by timm",
            requirement="'resight[timm]'",
        ),
        bytes_per_pixel=bytes_per_pixel,
        mean=tuple(config.mean),
        std=tuple(config.std),
        multiple=multiple,
        runtimes=("torch",),
    )


def load_timm(
    name: str, path: Path
) -> tuple[Callable[[Sequence[str]], nn.Module], tuple[Tensor, Tensor] | None]:
    """Load weights into a network of timm, whose own conversion and check they must pass.

    Args:
        name: as in `timm_spec`.
        path: a state dict of the model, as `.safetensors`, or as torch's file without any code.
            The classifier may be missing.

    Returns:
        A function from names of layers to a module, which maps a batch of normalized images,
        float32 (B, 3, H, W), to the maps by name; and the weight (classes, D) and bias (classes,)
        of a classifier that is linear on the average of the last map, else None.

    Raises:
        WeightsError: the file cannot be read, or names or shapes are not exactly the model's.
    """
    timm, spec, model = import_timm(name), timm_spec(name), name.removeprefix(TIMM)
    state = _state(read_tensors(path))
    for key, values in state.items():
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise WeightsError(f"{path}: {key} holds values that are not finite")
    options, meta = _features_on_meta(timm, model)
    by_tokens = isinstance(meta, timm.models._features.FeatureGetterNet)
    if not state:
        raise WeightsError(f"{path}: is not a flat state dict (names with tensors)")
    classes: int | None
    error: Exception | None = None
    for classes in (None, 0):  # with a classifier and without
        try:
            full = _create(timm, model, state, classes, **options)
            break
        except Exception as exception:  # noqa: BLE001 - timm's conversions can raise anything
            error = error or exception
    else:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(f"{path}: are not weights of {name}: {reason}") from None
    classifier = None
    if spec.cam_layer is not None and classes is None:
        linear = full.get_classifier()
        bias = torch.zeros(len(linear.weight)) if linear.bias is None else linear.bias
        classifier = linear.weight.detach(), bias.detach()

    def build(layers: Sequence[str]) -> nn.Module:
        names = [layer.name for layer in spec.layers if layer.name in layers]
        indices = [i for i, layer in enumerate(spec.layers) if layer.name in layers]
        if by_tokens:
            return _Named(_Tokens(full, indices), names)
        features = _create(
            timm, model, state, classes, features_only=True, out_indices=tuple(indices), **options
        )
        return _Named(_Stages(features), names)

    return build, classifier


def import_timm(name: str) -> Any:
    """Import timm.

    It needs none of torchvision's operators. With a build of torch that they do not fit, such as
    one for the CPU only, torchvision cannot be imported unless the names of two are defined.

    Raises:
        MissingExtraError: timm or torchvision is not installed.
        UsageError: they cannot be imported, or timm is too old.
    """
    if not all(map(importlib.util.find_spec, ("timm", "torchvision"))):
        raise MissingExtraError(name, "timm")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _import_torchvision()
            import timm
            import timm.models._features
    except (ImportError, RuntimeError, OSError) as error:
        raise UsageError(f"{name}: timm cannot be imported: {first_line(error)}") from None
    if tuple(int(part) for part in timm.__version__.split(".")[:3]) < MIN_VERSION:
        raise UsageError(
            f"{name}: timm {timm.__version__} is too old: pip install --upgrade 'resight[timm]'"
        )
    # Each loading of a feature extractor warns that the classifier is not needed.
    logging.getLogger("timm").setLevel(logging.ERROR)
    return timm


def _import_torchvision() -> None:
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{operator}", schema)
        import torchvision  # noqa: F401


def pretrained_config(timm: Any, model: str) -> Any:
    """Return timm's configuration of a model.

    Raises:
        UsageError: there is no such model or tag; the message lists names that are close.
    """
    config = None
    with contextlib.suppress(RuntimeError):  # an unknown tag
        if timm.is_model(model):
            config = timm.get_pretrained_cfg(model)
    if config is None:
        architecture, dot, _ = model.partition(".")
        known = [*timm.list_models(), *timm.list_models(pretrained=True)]
        if dot and timm.is_model(architecture):
            known = timm.list_models(f"{architecture}.*", pretrained=True) or [architecture]
        close = difflib.get_close_matches(model, dict.fromkeys(known), n=4, cutoff=0.4)
        hint = f"; close names: {', '.join(close)}" if close else ""
        raise UsageError(f"timm has no model {model!r}{hint}")
    return config


# Construction


def _create(
    timm: Any, model: str, state: Mapping[str, Tensor] | None, classes: int | None, **options: Any
) -> Any:
    """Create a model, without weights or with those of a state dict."""
    if state is not None:
        options |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(state)}}
    if classes is not None:
        options["num_classes"] = classes
        options.setdefault("pretrained_cfg_overlay", {})["num_classes"] = classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        created = timm.create_model(model, **options)
    return created.eval().requires_grad_(False)


def _on_meta(timm: Any, model: str, **options: Any) -> Any:
    """Create a model without memory for its parameters."""
    with torch.device("meta"):
        return _create(timm, model, None, None, **options)


def _features_on_meta(timm: Any, model: str) -> tuple[dict[str, bool], Any]:
    """Return the options by which a model takes images of any size, and its feature extractor.

    Raises:
        UsageError: it has no feature maps.
    """
    error = None
    for options in ({"dynamic_img_size": True}, {"strict_img_size": False}, {}):
        try:
            return options, _on_meta(timm, model, features_only=True, **options)
        except Exception as exception:  # noqa: BLE001 - each model refuses in its own way
            error = exception
    assert error is not None
    raise UsageError(f"{TIMM}{model} has no feature maps: {first_line(error)}")


def _all(infos: Sequence[Any]) -> tuple[int, ...]:
    return tuple(range(len(infos)))


class _Stages(nn.Module):
    """The maps (B, C, h, w) of a feature extractor, in the order of the forward pass."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.channels_last = str(getattr(net, "output_fmt", "")).endswith("NHWC")

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = list(self.net(x))
        return [m.permute(0, 3, 1, 2) for m in maps] if self.channels_last else maps


class _Tokens(nn.Module):
    """The tokens of some blocks of a transformer as maps (B, C, h, w), after its final norm."""

    def __init__(self, model: Any, indices: Sequence[int]) -> None:
        super().__init__()
        self.model, self.indices = model, list(indices)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.model.forward_intermediates(
            x, indices=self.indices, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return maps


class _Named(nn.Module):
    """Gives the maps of a module their names."""

    def __init__(self, maps: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.maps, self.names = maps, names

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.names, self.maps(x), strict=True))


def _state(content: Any) -> dict[str, Tensor]:
    """Return the state dict in the content of a file; empty if there is none."""
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    flat = isinstance(content, dict) and all(map(torch.is_tensor, content.values()))
    return content if flat else {}


def _has_linear_classifier(timm: Any, model: str, last: str) -> bool:
    """Return whether the classifier is linear on the average of the last map."""
    with contextlib.suppress(Exception):
        full = _on_meta(timm, model)
        classifier = full.get_classifier()
        if not isinstance(classifier, nn.Linear):
            return False
        seen: dict[str, Any] = {}
        full.get_submodule(last).register_forward_hook(
            lambda module, inputs, output: seen.update(map=output)
        )
        classifier.register_forward_pre_hook(lambda module, inputs: seen.update(input=inputs[0]))
        tracer = Tracer()
        with tracer:
            run_on_meta(full, 224, 224)
        return tracer.averaged(seen["input"]) is seen["map"]
    return False


def _is_single_scale(strides: Sequence[int]) -> bool:
    return len(set(strides)) < 3


def _pyramid(strides: Sequence[int]) -> list[int]:
    """Return the indices of layers of decreasing size, or at the quarters of equal ones."""
    count = len(strides)
    if _is_single_scale(strides):
        return sorted({max(0, count * i // QUARTERS - 1) for i in range(1, QUARTERS + 1)})
    last_of_stride = {stride: i for i, stride in enumerate(strides)}
    return sorted(last_of_stride.values())[-PYRAMID:]
