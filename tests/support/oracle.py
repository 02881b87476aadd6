"""Reference implementation of the method in plain, slow float32 PyTorch and NumPy.

It shares no code with `resight`: networks are written out over torchvision's state dicts, with
unfolded batch normalization; regions are slices in loops; rescaling is a sum of four neighbors.
Each function names its section of docs/method.md. Feature maps are `(C, H, W)`.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

State = Mapping[str, Tensor]
Maps = dict[str, Tensor]

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def load_state(path: Path) -> dict[str, Tensor]:
    """Load weights of any float type as float32."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: value.float() for name, value in state.items()}


def random_state(depth: int, seed: int) -> dict[str, Tensor]:
    """Draw weights of the right shapes with activations that neither vanish nor explode."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def convolution(name: str, outputs: int, inputs: int, side: int) -> None:
        scale = math.sqrt(2 / (inputs * side * side))
        state[name] = torch.randn(outputs, inputs, side, side, generator=generator) * scale

    def normalization(name: str, channels: int, gain: float = 1.0) -> None:
        state[f"{name}.weight"] = gain * (0.5 + torch.rand(channels, generator=generator))
        state[f"{name}.bias"] = 0.1 * torch.randn(channels, generator=generator)
        state[f"{name}.running_mean"] = 0.1 * torch.randn(channels, generator=generator)
        state[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(1)

    convolution("conv1.weight", 64, 3, 7)
    normalization("bn1", 64)
    inputs = 64
    for stage, blocks in enumerate(BLOCKS[depth], start=1):
        width = 64 * 2 ** (stage - 1)
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            convolution(f"{name}.conv1.weight", width, inputs, 1)
            normalization(f"{name}.bn1", width)
            convolution(f"{name}.conv2.weight", width, width, 3)
            normalization(f"{name}.bn2", width)
            convolution(f"{name}.conv3.weight", 4 * width, width, 1)
            normalization(f"{name}.bn3", 4 * width, gain=0.3)
            if block == 0:
                convolution(f"{name}.downsample.0.weight", 4 * width, inputs, 1)
                normalization(f"{name}.downsample.1", 4 * width)
            inputs = 4 * width
    state["fc.weight"] = 0.05 * torch.randn(1000, 2048, generator=generator)
    state["fc.bias"] = 0.05 * torch.randn(1000, generator=generator)
    return state


# Section 1: the network


def backbone(pixels: np.ndarray, state: State, depth: int = 50) -> Maps:
    """Section 1: compute `layer3` (1024, h, w) and `layer4` (2048, h', w') of uint8 (H, W, 3)."""
    maps = resnet(pixels, state, depth)
    return {"layer3": maps["layer3"], "layer4": maps["layer4"]}


def resnet(pixels: np.ndarray, state: State, depth: int = 50) -> Maps:
    """Compute a ResNet: `conv1` (after its ReLU), `layer1` to `layer4`."""
    maps: Maps = {}
    with torch.no_grad():
        x = _normalized(pixels)
        x = F.relu(_normalize(_convolve(x, state, "conv1", stride=2, padding=3), state, "bn1"))
        maps["conv1"] = x[0]
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        for stage, blocks in enumerate(BLOCKS[depth], start=1):
            for block in range(blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                x = _bottleneck(x, state, f"layer{stage}.{block}", stride)
            maps[f"layer{stage}"] = x[0]
    return maps


def vgg16(pixels: np.ndarray, state: State) -> Maps:
    """Compute VGG-16: `conv1` to `conv5`, `pool5`, and with a classifier `fc6` and `fc7`.

    The fully connected layers need an image of 224 x 224 pixels.
    """
    maps: Maps = {}
    with torch.no_grad():
        x, place = _normalized(pixels), 0
        for stage, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
            for _ in range(convolutions):
                bias = state[f"features.{place}.bias"]
                x = F.relu(
                    _convolve(x, state, f"features.{place}", padding=1) + bias[:, None, None]
                )
                place += 2
            maps[f"conv{stage}"] = x[0]
            x = F.max_pool2d(x, kernel_size=2, stride=2)
            place += 1
        maps["pool5"] = x[0]
        if "classifier.0.weight" in state:
            for name, layer in (("fc6", "classifier.0"), ("fc7", "classifier.3")):
                x = F.relu(F.linear(x.flatten(), state[f"{layer}.weight"], state[f"{layer}.bias"]))
                maps[name] = x[:, None, None]
    return maps


def random_vgg16_state(seed: int, *, codes: int = 0) -> dict[str, Tensor]:
    """Draw weights of VGG-16, with fully connected layers of `codes` values (4,096 in VGG-16)."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    inputs, place = 3, 0
    for channels, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            weight = torch.randn(channels, inputs, 3, 3, generator=generator)
            state[f"features.{place}.weight"] = weight * math.sqrt(2 / (9 * inputs))
            state[f"features.{place}.bias"] = 0.1 * torch.randn(channels, generator=generator)
            inputs, place = channels, place + 2
        place += 1
    shapes = ((0, codes, 25088), (3, codes, codes), (6, 1000, codes))
    for place, outputs, inputs in shapes if codes else ():
        weight = torch.randn(outputs, inputs, generator=generator)
        state[f"classifier.{place}.weight"] = weight * math.sqrt(2 / inputs)
        state[f"classifier.{place}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    return state


def _normalized(pixels: np.ndarray) -> Tensor:
    image: np.ndarray = pixels.astype(np.float32) / np.float32(255)
    image = (image - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


def _bottleneck(x: Tensor, state: State, name: str, stride: int) -> Tensor:
    shortcut = x
    if f"{name}.downsample.0.weight" in state:
        shortcut = _convolve(x, state, f"{name}.downsample.0", stride=stride)
        shortcut = _normalize(shortcut, state, f"{name}.downsample.1")
    y = F.relu(_normalize(_convolve(x, state, f"{name}.conv1"), state, f"{name}.bn1"))
    # The stride is in the 3x3 convolution, as in torchvision.
    y = _convolve(y, state, f"{name}.conv2", stride=stride, padding=1)
    y = F.relu(_normalize(y, state, f"{name}.bn2"))
    y = _normalize(_convolve(y, state, f"{name}.conv3"), state, f"{name}.bn3")
    return F.relu(y + shortcut)


def _convolve(x: Tensor, state: State, name: str, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"].float(), stride=stride, padding=padding)


def _normalize(x: Tensor, state: State, name: str) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"].float()
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=1e-5)


# Section 2: the copies


def upright(photo: Path | Image.Image) -> Image.Image:
    """Section 2: decode at full size, apply the EXIF orientation, convert to 8-bit RGB."""
    if isinstance(photo, Image.Image):
        return ImageOps.exif_transpose(photo).convert("RGB")
    with Image.open(photo) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def pre_process(
    image: Image.Image, resolutions: Sequence[int], *, upscale: bool = True
) -> list[np.ndarray]:
    """Section 2: resize to uint8 (h, w, 3), each from the full-size image."""
    copies = []
    for resolution in resolutions:
        longest = max(image.size)
        target = resolution if upscale else min(resolution, longest)
        # Halves go to the even side, as `round` does: 320 x 240 at 550 is 550 x 412.
        size = [max(1, round(Fraction(side * target, longest))) for side in image.size]
        copies.append(np.array(image.resize((size[0], size[1]), Image.Resampling.BILINEAR)))
    return copies


# Section 3: fusion


def early_fusion(maps: Sequence[Tensor]) -> Tensor:
    """Section 3: add all maps at the size of the first."""
    height, width = maps[0].shape[1:]
    total = torch.zeros_like(maps[0])
    for feature_map in maps:
        total = total + rescale_bilinear(feature_map, height, width)
    return total


def late_fusion(maps: Sequence[Tensor]) -> Tensor:
    """Section 3, Gordo et al.: add the unit R-MAC vectors of the maps, normalize."""
    total = torch.zeros(maps[0].shape[0])
    for feature_map in maps:
        total = total + modified_rmac(feature_map)
    return unit_length(total)


def rescale_bilinear(feature_map: Tensor, height: int, width: int) -> Tensor:
    """Rescale with pixel centers at halves, no antialiasing, edges repeated."""
    y0, y1, fy = _neighbors(feature_map.shape[1], height)
    x0, x1, fx = _neighbors(feature_map.shape[2], width)
    upper = feature_map[:, y0][:, :, x0] * (1 - fx) + feature_map[:, y0][:, :, x1] * fx
    lower = feature_map[:, y1][:, :, x0] * (1 - fx) + feature_map[:, y1][:, :, x1] * fx
    return upper * (1 - fy)[:, None] + lower * fy[:, None]


def _neighbors(old: int, new: int) -> tuple[list[int], list[int], Tensor]:
    first, second, fractions = [], [], []
    for i in range(new):
        position = max(Fraction(0), Fraction((2 * i + 1) * old, 2 * new) - Fraction(1, 2))
        whole = min(math.floor(position), old - 1)
        first.append(whole)
        second.append(min(whole + 1, old - 1))
        fractions.append(float(position - whole))
    return first, second, torch.tensor(fractions)


# Sections 4 and 5: pooling


def modified_rmac(feature_map: Tensor) -> Tensor:
    """Section 4: pool to (C,) of unit length, or zeros for a zero map."""
    channels, height, width = feature_map.shape
    vector = torch.zeros(channels)
    for level in (1, 2, 3):
        side = max(1, -(-2 * min(height, width) // (level + 1)))
        step = max(1, 2 * side // 5)
        squares = torch.zeros(channels)
        for top in range(0, height - side + 1, step):
            for left in range(0, width - side + 1, step):
                region = feature_map[:, top : top + side, left : left + side]
                squares = squares + region.reshape(channels, -1).max(dim=1).values ** 2
        vector = vector + squares.sqrt()
    return unit_length(vector)


def two_layers(maps: Maps, layers: Sequence[str]) -> Tensor:
    """Section 5: concatenate the pooled vectors."""
    return torch.cat([modified_rmac(maps[layer]) for layer in layers])


def unit_length(vector: Tensor) -> Tensor:
    """Divide a vector by its Euclidean length; zeros stay zero."""
    length = math.sqrt(float((vector.double() ** 2).sum()))
    return vector / length if length > 0 else vector


# Section 6: principal feature analysis


def pfa_rows(
    descriptors: np.ndarray, *, variance: float = 0.9, components: int | None = None
) -> np.ndarray:
    """Section 6, step 1: compute rows V_i (D, q), float64; the signs of columns are arbitrary."""
    x = np.asarray(descriptors, np.float64)
    if x.shape[1] <= 512:
        covariance: np.ndarray = np.cov(x, rowvar=False)
        ascending, eigenvectors = np.linalg.eigh(covariance)
        values, vectors = ascending[::-1].clip(min=0), eigenvectors[:, ::-1]
    else:
        _, singular, rows = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        values, vectors = singular**2 / (len(x) - 1), rows.T
    if components is None:
        explained = 0.0
        components = 0
        while components < len(values) and explained < variance * values.sum():
            explained += values[components]
            components += 1
    return vectors[:, :components]


def pfa(
    descriptors: np.ndarray,
    features: int,
    *,
    variance: float = 0.9,
    components: int | None = None,
    absolute: bool = False,
    restarts: int = 4,
    seed: int = 0,
) -> np.ndarray:
    """Section 6: select `features` distinct columns, ascending."""
    from sklearn.cluster import KMeans

    rows = pfa_rows(descriptors, variance=variance, components=components)
    if absolute:
        rows = np.abs(rows)
    kmeans = KMeans(features, init="k-means++", n_init=restarts, random_state=seed).fit(rows)
    return pfa_choice(rows, kmeans.labels_, kmeans.cluster_centers_)


def pfa_choice(rows: np.ndarray, labels: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Section 6, step 3: take the row nearest to each center, the lowest index of equals."""
    chosen = []
    for cluster, center in enumerate(centers):
        best, best_distance = -1, math.inf
        for index in range(len(rows)):
            if labels[index] == cluster:
                distance = math.sqrt(float(((rows[index] - center) ** 2).sum()))
                if distance < best_distance - 1e-9:  # two of a pair are equal but for rounding
                    best, best_distance = index, distance
        chosen.append(best)
    return np.array(sorted(chosen))


# Section 7: localization


def winning_class(feature_map: Tensor, state: State) -> int:
    """Section 7: average the class scores of all positions; the highest wins."""
    weight, bias = state["fc.weight"].float(), state["fc.bias"].float()
    scores = F.conv2d(feature_map[None], weight[:, :, None, None], bias)[0]
    return int(scores.mean(dim=(1, 2)).argmax())


def cam_mask(feature_map: Tensor, state: State, threshold: float = 0.9) -> Tensor:
    """Section 7: return (H, W) bool, where the winner's heat exceeds 0.9 of its mean."""
    weight = state["fc.weight"].float()[winning_class(feature_map, state)]
    heat = (weight[:, None, None] * feature_map).sum(dim=0)
    return heat > threshold * heat.mean()


def local_descriptor(maps: Maps, layers: Sequence[str], state: State) -> Tensor:
    """Section 7: apply sections 4 and 5 to the masked fused maps."""
    mask = cam_mask(maps["layer4"], state)
    masked = {}
    for layer in layers:
        height, width = maps[layer].shape[1:]
        masked[layer] = maps[layer] * rescale_nearest(mask, height, width)
    return two_layers(masked, layers)


def rescale_nearest(mask: Tensor, height: int, width: int) -> Tensor:
    """Rescale by the nearest neighbor: position i takes floor(i * old / new)."""
    rows = [i * mask.shape[0] // height for i in range(height)]
    columns = [j * mask.shape[1] // width for j in range(width)]
    return mask[rows][:, columns]


def describe(
    photo: Path | Image.Image,
    state: State,
    *,
    resolutions: Sequence[int] = (1050, 800, 550),
    fusion: str = "early",
    layers: Sequence[str] = ("layer4", "layer3"),
    cam: bool = False,
    depth: int = 50,
    upscale: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Sections 1-5 and 7: compute the global descriptor (D,) and, with `cam`, the local one."""
    copies = pre_process(upright(photo), resolutions, upscale=upscale)
    maps = [backbone(copy, state, depth) for copy in copies]
    if fusion == "late":
        if cam:
            raise ValueError("the mask needs the fused map")
        vectors = [late_fusion([m[layer] for m in maps]) for layer in layers]
        return torch.cat(vectors).numpy(), None
    fused = {layer: early_fusion([m[layer] for m in maps]) for layer in ("layer3", "layer4")}
    local = local_descriptor(fused, layers, state).numpy() if cam else None
    return two_layers(fused, layers).numpy(), local


# Section 8: distance and ranking


def distance(
    query: np.ndarray,
    other: np.ndarray,
    query_local: np.ndarray | None = None,
    other_local: np.ndarray | None = None,
) -> float:
    """Section 8: Manhattan distance, or the smaller one of global and local descriptors."""
    result = float(np.abs(query.astype(np.float64) - other.astype(np.float64)).sum())
    if query_local is not None and other_local is not None:
        result = min(result, distance(query_local, other_local))
    return result


def rank(distances: Sequence[float]) -> list[int]:
    """Section 8: sort image ids by distance, then by id."""
    return sorted(range(len(distances)), key=lambda image_id: (distances[image_id], image_id))


# Section 9: measures


def average_precision(relevance: Sequence[int | bool], positives: int) -> float:
    """Section 9: area by trapezoids; `relevance` of the ranked images, without junk."""
    area, retrieved = 0.0, 0
    for position, relevant in enumerate(relevance):
        if relevant:
            before = 1.0 if position == 0 else retrieved / position
            after = (retrieved + 1) / (position + 1)
            area += (before + after) / (2 * positives)
            retrieved += 1
    return area


def mean_average_precision(distances: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    """Use every image of a group of two or more as a query, excluding itself.

    Args:
        distances: (N, N).
        groups: image ids of the same object.
    """
    precisions = []
    for group in groups:
        for query in group if len(group) > 1 else ():
            ranking = [i for i in rank(list(distances[query])) if i != query]
            precisions.append(average_precision([i in group for i in ranking], len(group) - 1))
    return sum(precisions) / len(precisions)


def ns_score(distances: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    """Section 9: count the images of the query's group among the first four, the query included."""
    counts = [
        sum(i in group for i in rank(list(distances[query]))[:4])
        for group in groups
        for query in group
    ]
    return sum(counts) / len(counts)
