"""Attributions that add up exactly, heat on what two photos share, the decision's places."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resight.config import ExtractionConfig, LocalConfig
from resight.demo.objects import FAMILIES
from resight.demo.scenes import SIZE, background, lay
from resight.descriptors.aggregation import AGGREGATIONS
from resight.descriptors.local_features.rootsift import LocalFeatures, root_sift
from resight.descriptors.pipeline import (
    FeatureMaps,
    PoolingState,
    cam_mask,
    class_activation_map,
    describe_maps,
)
from resight.descriptors.pooling import POOLINGS as POOLING_TABLE
from resight.descriptors.pooling.modified_rmac import modified_rmac
from resight.errors import UsageError
from resight.methods import METHODS
from resight.networks.checkpoints import RetrievalHead
from resight.networks.parameters import Classifier
from resight.ranking.exact import manhattan
from resight.reductions.pfa import Selection
from resight.reductions.wccn import Wccn
from resight.reductions.whitening import Whitening
from resight.searching.query import VerifiedMatch, open_query
from resight.searching.sameness import Sameness
from resight.vectors import Projection
from resight.views.attribution import (
    ATTRIBUTIONS,
    Attribution,
    attribute_modified_rmac,
    attribute_photo,
    resample,
)
from resight.views.explain import Explanation, explain, explain_maps, explain_photos
from resight.views.heatmaps import (
    _coarser,
    attributable,
    feature_attribution,
    feature_heats,
    heat_map,
    shared_heat,
)
from resight.views.overlay import draw_explanation, heat_overlay, mask_outline, spread_out

pytestmark = pytest.mark.usefixtures("networks_loaded_once")

Box = tuple[float, float, float, float]
DESCRIPTORS = ExtractionConfig()


def positive(rng: np.random.Generator, channels: int, height: int, width: int) -> np.ndarray:
    """Return a map as after a ReLU, about half of it zero, its channels last in memory."""
    values = rng.standard_normal((height, width, channels), np.float32)
    return values.clip(min=0).transpose(2, 0, 1)


def random_maps(seed: int, sizes: list[tuple[int, int]]) -> list[FeatureMaps]:
    """Sparse maps, `layer4` half the size of `layer3`, for each resolution."""
    rng = np.random.default_rng(seed)
    return [
        {"layer3": positive(rng, 1024, 2 * h, 2 * w), "layer4": positive(rng, 2048, h, w)}
        for h, w in sizes
    ]


def random_classifier() -> Classifier:
    """Ten classes."""
    weight = np.random.default_rng(0).standard_normal((10, 2048), np.float32)
    return Classifier(weight, np.zeros(10, np.float32))


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 5),
    height=st.integers(1, 17),
    width=st.integers(1, 17),
    levels=st.integers(1, 5),
    stride=st.sampled_from([0.1, 0.4, 1.0]),
    values=st.sampled_from(["random", "few", "constant", "zero"]),
    seed=st.integers(0, 99),
)
def test_the_attribution_adds_up_to_the_vector(
    channels: int, height: int, width: int, levels: int, stride: float, values: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (channels, height, width)
    array = {
        "random": rng.random(shape),
        "few": rng.integers(0, 3, shape),  # many ties
        "constant": np.ones(shape),
        "zero": np.zeros(shape),
    }[values]
    feature_map = array.astype(np.float32)
    parts = attribute_modified_rmac(feature_map, levels=levels, stride=stride)
    assert parts.shape == feature_map.shape
    assert parts.dtype == np.float32
    assert (parts >= 0).all()
    assert (parts[feature_map == 0] == 0).all()
    expected = modified_rmac(feature_map, levels=levels, stride=stride)
    np.testing.assert_allclose(parts.sum(axis=(1, 2)), expected, atol=1e-6, rtol=1e-5)


def test_the_attribution_by_hand() -> None:
    # One level: one region of 2 x 2; its maximum 3 is held by two positions.
    parts = attribute_modified_rmac(np.float32([[[3, 1], [0, 3]]]), levels=1)
    assert parts.tolist() == [[[0.5, 0.0], [0.0, 0.5]]]
    # Two channels of 1 x 2, side 1: squares 9 and 16 over the norm 5; 0 and 0; length 5.
    parts = attribute_modified_rmac(np.float32([[[3, 4]], [[0, 0]]]), levels=1)
    np.testing.assert_allclose(parts, [[[0.36, 0.64]], [[0, 0]]], rtol=1e-6)


POOLINGS = [*POOLING_TABLE, "rmac-whitened"]


def pooling_case(pooling: str, channels: int) -> tuple[ExtractionConfig, PoolingState]:
    """Return a pooling of `layer4` with random parameters."""
    rng = np.random.default_rng(7)

    def projection(size: int) -> Projection:
        weight = rng.standard_normal((8, size), np.float32)
        return Projection(weight, rng.standard_normal(8, np.float32) / 10)

    if pooling == "fine-tuned":
        config = ExtractionConfig(pooling=pooling, fusion="late", layers=("layer4",))
        head = RetrievalHead(3.0, True, projection(channels), projection(8), projection(8))
        return config, PoolingState(head=head)
    state = PoolingState({"layer4": projection(channels)} if pooling == "rmac-whitened" else {})
    return ExtractionConfig(pooling=pooling, layers=("layer4",)), state


@pytest.mark.parametrize("pooling", [*POOLINGS, "fine-tuned"])
@pytest.mark.parametrize("fusion", ["early", "late"])
def test_parts_of_every_pooling_add_up_to_the_descriptor(pooling: str, fusion: str) -> None:
    config, state = pooling_case(pooling, 16)
    if pooling != "fine-tuned":
        config = dataclasses.replace(config, fusion=fusion)
    rng = np.random.default_rng(3)
    maps = [{"layer4": positive(rng, 16, *size)} for size in ((9, 12), (6, 8))]
    expected = describe_maps(maps, config, state=state).global_
    parts = attribute_photo(maps, config, state=state)["layer4"].values
    np.testing.assert_allclose(parts.sum(axis=(1, 2)), expected, atol=2e-5)


@pytest.mark.parametrize("power", [1.0, 3.0, np.inf])
@pytest.mark.parametrize("unit", [False, True])
def test_parts_of_a_head_without_projection(power: float, unit: bool) -> None:
    config, _ = pooling_case("fine-tuned", 16)
    state = PoolingState(head=RetrievalHead(power, unit))
    rng = np.random.default_rng(3)
    maps = [{"layer4": positive(rng, 16, *size)} for size in ((9, 12), (6, 8))]
    expected = describe_maps(maps, config, state=state).global_
    parts = attribute_photo(maps, config, state=state)["layer4"].values
    np.testing.assert_allclose(parts.sum(axis=(1, 2)), expected, atol=2e-5)


def catalog() -> dict[str, ExtractionConfig]:
    """Return the configurations of all methods whose descriptors are pooled feature maps."""
    configs = {name: spec.config for name, spec in METHODS.items()}
    return {
        name: config
        for name, config in configs.items()
        if isinstance(config, ExtractionConfig) and config.pooling != "netvlad"
    }


@pytest.mark.parametrize("name", catalog())
def test_parts_of_every_method_add_up_to_its_descriptor(name: str) -> None:
    config = catalog()[name]
    rng = np.random.default_rng(5)
    maps = [
        {layer: positive(rng, 12, *size) for layer in {*config.layers, config.spec.cam_layer}}
        for size in ((9, 12), (6, 8))
    ]
    _, state = pooling_case("fine-tuned" if config.required_head else config.pooling, 12)
    if state.regions:
        state = PoolingState(dict.fromkeys(config.layers, state.regions["layer4"]))
    expected = describe_maps(maps, config, state=state).global_
    parts = attribute_photo(maps, config, state=state)
    actual = np.concatenate([part.values.sum(axis=(1, 2)) for part in parts.values()])
    np.testing.assert_allclose(actual, expected, atol=5e-5)


def test_methods_without_attribution() -> None:
    """The others: their descriptors are not sums over places, or not of places as such."""
    configs = {name: spec.config for name, spec in METHODS.items()}
    attributed = {name for name, config in configs.items() if attributable(config)}
    assert attributed == {"sift-vlad", "bow", "bow-soft", "bow-aqe"}
    assert configs.keys() - catalog().keys() - attributed == {
        *("sift-fisher", "triangulation", "hamming", "hamming-wgc", "netvlad-trained"),
        *("vlad-conv", "netvlad", "mop-cnn", "razavian"),
    }


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize("adapted", [False, True])
def test_parts_of_a_whitened_descriptor(power: float, adapted: bool) -> None:
    """A whitening or adaptation is attributed, not what it is applied to."""
    maps = random_maps(0, [(6, 8), (4, 5)])
    rng = np.random.default_rng(1)
    means = np.concatenate([rng.random(2048, np.float32), rng.random(1024, np.float32)]) / 50
    projections = tuple(rng.standard_normal((size, 8), np.float32) for size in (2048, 1024))
    whitening = Whitening(means, projections, power)
    reduction = Wccn(whitening) if adapted else whitening
    parts = attribute_photo(maps, DESCRIPTORS, reduction=reduction)
    actual = np.concatenate([part.values.sum(axis=(1, 2)) for part in parts.values()])
    expected = reduction.apply(describe_maps(maps, DESCRIPTORS).global_)
    np.testing.assert_allclose(actual, expected, atol=2e-5)


def test_parts_with_layer_weights() -> None:
    config = dataclasses.replace(DESCRIPTORS, pooling="spoc", layer_weights=(3.0, 1.0))
    maps = random_maps(0, [(6, 8)])
    parts = attribute_photo(maps, config)
    result = np.concatenate([part.values.sum(axis=(1, 2)) for part in parts.values()])
    np.testing.assert_allclose(result, describe_maps(maps, config).global_, atol=1e-5)


@pytest.mark.parametrize("pooling", [*POOLINGS, "fine-tuned"])
def test_heat_of_every_pooling_lies_on_the_common_patch(pooling: str) -> None:
    config, state = pooling_case(pooling, 64)
    rng = np.random.default_rng(0)
    maps = [rng.random((64, 16, 18), np.float32).clip(min=0.6) - np.float32(0.6) for _ in range(2)]
    patch = rng.random((64, 4, 4), np.float32)
    maps[0][:, 2:6, 2:6] = patch
    maps[1][:, 9:13, 11:15] = patch
    result = explain_maps([{"layer4": maps[0]}], [{"layer4": maps[1]}], config, state=state)
    for heat, top, left in ((result.heat_query, 2, 2), (result.heat_other, 9, 11)):
        inside = np.zeros(heat.shape, bool)
        inside[top : top + 4, left : left + 4] = True
        assert inside.flat[heat.argmax()]
        assert heat[inside].mean() > 5 * heat[~inside].mean()


def test_empty_places_have_no_part_of_a_whitened_descriptor() -> None:
    """Although they lack what the mean has: two skies would count as alike."""
    config, _ = pooling_case("spoc", 16)
    rng = np.random.default_rng(0)
    feature_map = rng.random((16, 8, 9), np.float32)
    feature_map[:, :, 5:] = 0
    reduction = Whitening(np.full(16, 0.3, np.float32), (rng.random((16, 4), np.float32),))
    parts = attribute_photo([{"layer4": feature_map}], config, reduction=reduction)["layer4"]
    assert not parts.values[:, :, 5:].any()
    assert parts.values[:, :, :5].any()


@pytest.mark.parametrize("pooling", ["modified-rmac", "gem", "spoc"])
def test_heat_of_adapted_descriptors_lies_on_the_common_patch(pooling: str) -> None:
    config, _ = pooling_case(pooling, 64)
    rng = np.random.default_rng(0)
    maps = [0.05 * rng.random((64, 16, 18), np.float32) for _ in range(2)]
    patch = rng.random((64, 4, 4), np.float32)
    maps[0][:, 2:6, 2:6] = patch
    maps[1][:, 9:13, 11:15] = patch
    others = [[{"layer4": rng.random((64, 16, 18), np.float32) ** 4}] for _ in range(30)]
    means = np.mean([describe_maps(other, config).global_ for other in others], axis=0)
    projection, _ = np.linalg.qr(rng.standard_normal((64, 64)))
    reduction = Wccn(Whitening(means, (projection[:, :32].astype(np.float32),)))
    result = explain_maps([{"layer4": maps[0]}], [{"layer4": maps[1]}], config, reduction=reduction)
    for heat, top, left in ((result.heat_query, 2, 2), (result.heat_other, 9, 11)):
        inside = np.zeros(heat.shape, bool)
        inside[top : top + 4, left : left + 4] = True
        assert inside.flat[heat.argmax()]
        assert heat[inside].mean() > 5 * heat[~inside].mean()


def test_netvlad_is_not_attributed() -> None:
    config = ExtractionConfig(
        backbone="vgg16", pooling="netvlad", fusion="late", layers=("conv5_3",)
    )
    with pytest.raises(UsageError, match="NetVLAD"):
        attribute_photo([{"conv5_3": np.ones((4, 3, 3), np.float32)}], config)


def test_attributions_are_those_of_poolings() -> None:
    assert ATTRIBUTIONS.keys() <= POOLING_TABLE.keys()


def test_a_pooling_without_an_attribution_is_split_in_proportion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(ATTRIBUTIONS, "gem")
    config = dataclasses.replace(DESCRIPTORS, pooling="gem")
    maps = random_maps(0, [(6, 8), (4, 5)])
    parts = attribute_photo(maps, config)
    total = np.concatenate([part.values.sum(axis=(1, 2)) for part in parts.values()])
    np.testing.assert_allclose(total, describe_maps(maps, config).global_, atol=1e-6, rtol=1e-4)


def test_signed_parts_keep_their_sum_on_another_grid() -> None:
    parts = np.float32([[[1, -1], [2, -2 + 1e-6]]])
    resampled = resample(parts, (3, 5))
    np.testing.assert_allclose(resampled.sum(), parts.sum(), atol=1e-5)
    assert np.abs(resampled).max() < 10


@pytest.mark.parametrize("fusion", ["early", "late"])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("renormalize", [None, False, True])
def test_the_attribution_adds_up_to_the_descriptor(
    fusion: str, unit: bool, renormalize: bool | None
) -> None:
    config = dataclasses.replace(DESCRIPTORS, fusion=fusion, normalize_concatenation=unit)
    maps = random_maps(0, [(6, 8), (4, 5)])
    selection = None
    if renormalize is not None:
        selection = Selection(np.array([0, 5, 2047, 2048, 2050, 3071]), renormalize)
    descriptor = describe_maps(maps, config).global_
    expected = selection.apply(descriptor) if selection else descriptor
    attributions = attribute_photo(maps, config, reduction=selection)
    assert list(attributions) == ["layer4", "layer3"]
    actual = np.concatenate([a.values.sum(axis=(1, 2)) for a in attributions.values()])
    np.testing.assert_allclose(actual, expected, atol=1e-6, rtol=1e-4)


def test_the_masked_attribution_adds_up_to_the_local_descriptor() -> None:
    config = dataclasses.replace(DESCRIPTORS, cam=True)
    maps = random_maps(1, [(6, 8)])
    classifier = random_classifier()
    local = describe_maps(maps, config, classifier).local
    assert local is not None
    mask = cam_mask(class_activation_map(maps[0]["layer4"], classifier), config.cam_threshold)
    attributions = attribute_photo(maps, config, mask=mask)
    actual = np.concatenate([a.values.sum(axis=(1, 2)) for a in attributions.values()])
    np.testing.assert_allclose(actual, local, atol=1e-6, rtol=1e-4)


def test_distance_and_agreement_are_those_of_the_descriptors() -> None:
    config = dataclasses.replace(DESCRIPTORS, cam=True)
    a, b = random_maps(2, [(6, 8), (4, 5)]), random_maps(3, [(8, 6)])
    classifier = random_classifier()
    selection = Selection(np.arange(0, 3072, 3))
    pooled = [describe_maps(maps, config, classifier) for maps in (a, b)]
    pairs = [
        [selection.apply(v) for v in vectors if v is not None]
        for vectors in (
            [p.global_ for p in pooled],
            [p.local for p in pooled],
        )
    ]
    distances = [float(manhattan(x, y[None])[0]) for x, y in pairs]
    actual = explain_maps(a, b, config, classifier=classifier, reduction=selection)
    assert actual.distance == min(distances)
    x, y = pairs[int(np.argmin(distances))]
    assert actual.agreement == pytest.approx(2 * np.minimum(x, y).sum() / (x + y).sum(), abs=1e-5)
    assert (actual.mask_query is not None) == (distances[1] < distances[0])


def test_masks_come_with_the_local_descriptors_only() -> None:
    """The same thing at one place on quite different grounds: the masked photos are closer."""
    config = dataclasses.replace(DESCRIPTORS, cam=True)
    maps = random_maps(4, [(6, 8)]), random_maps(5, [(6, 8)])
    for one in maps:
        for layer, (top, side) in {"layer3": (2, 6), "layer4": (1, 3)}.items():
            shared = np.linspace(1, 9, len(one[0][layer]))[:, None, None]
            one[0][layer][:, top : top + side, top : top + side] = shared
    ground = Classifier(np.ones((1, 2048), np.float32), np.zeros(1, np.float32))
    actual = explain_maps(*maps, config, classifier=ground)
    assert actual.mask_query is not None
    for mask, heat in (
        (actual.mask_query, actual.heat_query),
        (actual.mask_other, actual.heat_other),
    ):
        assert mask is not None
        assert mask.shape == heat.shape == (12, 16)
        assert mask[2:8, 2:8].all()
        assert mask.sum() == 36
    assert explain_maps(*maps, config).mask_query is None


def test_heat_lies_where_the_columns_are_alike() -> None:
    """One patch of columns is the same in both maps, at different places."""
    rng = np.random.default_rng(0)
    maps = [rng.random((64, 12, 14), np.float32).clip(min=0.6) - np.float32(0.6) for _ in range(2)]
    patch = rng.random((64, 3, 3), np.float32)
    maps[0][:, 2:5, 2:5] = patch
    maps[1][:, 7:10, 9:12] = patch
    heats = shared_heat(*(Attribution(attribute_modified_rmac(fm), fm) for fm in maps))
    assert [h.shape for h in heats] == [(12, 14), (12, 14)]
    assert 2 <= heats[0].argmax() // 14 <= 4
    assert 2 <= heats[0].argmax() % 14 <= 4
    assert 7 <= heats[1].argmax() // 14 <= 9
    assert 9 <= heats[1].argmax() % 14 <= 11
    swapped = shared_heat(*(Attribution(attribute_modified_rmac(fm), fm) for fm in maps[::-1]))
    np.testing.assert_allclose(swapped[1], heats[0], rtol=1e-3, atol=1e-7)


def test_nothing_in_common_is_no_heat() -> None:
    a, b = random_maps(6, [(5, 5)]), random_maps(6, [(5, 5)])
    for layer in ("layer3", "layer4"):
        a[0][layer][::2] = 0
        b[0][layer][1::2] = 0
    actual = explain_maps(a, b, DESCRIPTORS)
    assert not actual.heat_query.any()
    assert not actual.heat_other.any()
    assert actual.agreement == pytest.approx(0, abs=1e-5)


def test_black_and_tiny_maps_are_explained() -> None:
    zeros = np.zeros((2048, 1, 2), np.float32)
    nothing = [{"layer3": zeros[:1024], "layer4": zeros[..., :1]}]
    actual = explain_maps(nothing, random_maps(0, [(2, 3)]), DESCRIPTORS)
    assert actual.heat_query.shape == (1, 2)
    assert actual.heat_other.shape == (4, 6)
    assert not actual.heat_query.any()
    assert actual.agreement == 0
    both = explain_maps(nothing, nothing, DESCRIPTORS)
    assert (both.distance, both.agreement) == (0.0, 0.0)


def test_large_maps_are_compared_on_a_coarser_grid() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.random((4, 81, 90), np.float32) for _ in range(2)]
    heats = shared_heat(*(Attribution(attribute_modified_rmac(fm), fm) for fm in maps))
    assert all(h.shape == (81, 90) and np.isfinite(h).all() for h in heats)


def test_a_coarser_grid_keeps_sums_of_attributions_and_averages_columns() -> None:
    rng = np.random.default_rng(0)
    values, columns = positive(rng, 3, 81, 90), positive(rng, 4, 81, 90)
    actual = _coarser(Attribution(values, columns))
    assert actual.values.shape == (3, 41, 45)
    assert actual.columns.shape == (4, 41, 45)
    np.testing.assert_allclose(actual.values.sum(axis=(1, 2)), values.sum(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(
        actual.columns[:, 3, 5], columns[:, 6:8, 10:12].mean(axis=(1, 2)), rtol=1e-6
    )
    # The last row is that of half squares.
    np.testing.assert_allclose(
        actual.columns[:, 40, 5], columns[:, 80, 10:12].mean(axis=1), rtol=1e-6
    )


# Verified, not decorative: what two photos share is pasted at fixed places.


def pasted_pairs(count: int, seed: int) -> list[list[tuple[Image.Image, Box]]]:
    """Pairs of photos with one object in common, each with another object, on two surfaces.

    Returns:
        For each pair, for each photo: the photo and the box (x, y, w, h) of the common object.
    """
    rng = np.random.default_rng(seed)
    textures = [family(rng).surface for family in FAMILIES]
    pairs = []
    for _ in range(count):
        chosen = rng.permutation(len(textures))
        photos = []
        for side in range(2):
            common, own = textures[chosen[0]], textures[chosen[1 + side]]
            scene = background(rng, *SIZE)
            box, own_box = apart(rng, common, own)
            for texture, (x, y, w, h) in ((own, own_box), (common, box)):
                corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
                lay(scene, texture, np.array(corners, np.float32), 6.0)
            scene += rng.normal(0, 3, scene.shape)
            photos.append((Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8)), box))
        pairs.append(photos)
    return pairs


def apart(rng: np.random.Generator, *textures: Image.Image) -> list[Box]:
    """Boxes inside the picture that do not overlap, each about a sixth of it."""
    while True:
        boxes = []
        for texture in textures:
            area = SIZE[0] * SIZE[1] / (texture.width * texture.height)
            scale = rng.uniform(0.28, 0.45) * np.sqrt(area)
            scale = min(scale, *(0.9 * s / t for s, t in zip(SIZE, texture.size, strict=True)))
            w, h = texture.width * scale, texture.height * scale
            boxes.append((rng.uniform(0, SIZE[0] - w), rng.uniform(0, SIZE[1] - h), w, h))
        (x, y, w, h), (u, v, s, t) = boxes
        if x + w < u or u + s < x or y + h < v or v + t < y:
            return boxes


def inside_and_outside(
    heat: np.ndarray, size: tuple[int, int], box: Box
) -> tuple[bool, float, float]:
    """Return whether the hottest pixel is in the box, and the mean heat inside and outside."""
    large = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR))
    x, y, w, h = (round(v) for v in box)
    inside = np.zeros(large.shape, bool)
    inside[y : y + h, x : x + w] = True
    return bool(inside.flat[large.argmax()]), large[inside].mean(), large[~inside].mean()


Explain = Callable[[Image.Image, Image.Image], tuple[np.ndarray, np.ndarray]]


def check_heat(pairs: list[list[tuple[Image.Image, Box]]], explain_pair: Explain) -> None:
    pointed, inside, outside = [], [], []
    for (image, box), (other, other_box) in pairs:
        heat, other_heat = explain_pair(image, other)
        actual = (
            inside_and_outside(heat, image.size, box),
            inside_and_outside(other_heat, other.size, other_box),
        )
        pointed.append(actual[0][0] and actual[1][0])
        inside += [f[1] for f in actual]
        outside += [f[2] for f in actual]
    assert pointed.count(False) <= 1
    assert np.mean(inside) >= 3 * np.mean(outside)
    # Not only on average.
    assert np.mean(np.array(inside) >= 3 * np.array(outside)) >= 0.9


@pytest.fixture(
    scope="module",
    params=[(6, 21), pytest.param((12, 21), marks=pytest.mark.exhaustive)],
    ids=str,
)
def pairs(request: pytest.FixtureRequest) -> list[list[tuple[Image.Image, Box]]]:
    count, seed = request.param
    return pasted_pairs(count, seed=seed)


@pytest.mark.slow
def test_the_heat_lies_on_the_common_object(
    real_weights: Path, pairs: list[list[tuple[Image.Image, Box]]]
) -> None:
    from resight.descriptors.cnn_extractor import CnnExtractor

    config = ExtractionConfig(resolutions=(400,))
    extractor = CnnExtractor(config, real_weights)

    def explain_pair(image: Image.Image, other: Image.Image) -> tuple[np.ndarray, np.ndarray]:
        maps = [extractor.feature_maps(extractor.prepare(photo)) for photo in (image, other)]
        actual = explain_maps(*maps, config)
        return actual.heat_query, actual.heat_other

    check_heat(pairs, explain_pair)


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    """Return a vocabulary for RootSIFT descriptors, fitted on a few real ones."""
    rng = np.random.default_rng(0)
    scene = background(rng, *SIZE)
    for i, family in enumerate((*FAMILIES, FAMILIES[0])):
        x, y = 320 * (i % 2), 240 * (i // 2)
        corners = [(x, y), (x + 310, y), (x + 310, y + 230), (x, y + 230)]
        lay(scene, family(rng).surface, np.array(corners, np.float32), 4.0)
    features = root_sift(Image.fromarray(scene.clip(0, 255).astype(np.uint8)), LocalConfig())
    return features.descriptors[rng.permutation(len(features.descriptors))[:64]]


@pytest.mark.slow
def test_the_heat_of_sift_vlad_lies_on_the_common_object(
    words: np.ndarray, pairs: list[list[tuple[Image.Image, Box]]]
) -> None:
    def explain_pair(image: Image.Image, other: Image.Image) -> tuple[np.ndarray, np.ndarray]:
        config = LocalConfig(method="sift-vlad", max_keypoints=1000)
        a, b = root_sift(image, config), root_sift(other, config)
        heat, other_heat = feature_heats(a, b, {"words": words}, config)
        return heat_map(a.points, heat, image.size), heat_map(b.points, other_heat, other.size)

    check_heat(pairs, explain_pair)


@given(
    count=st.integers(0, 30),
    seed=st.integers(0, 50),
    power=st.sampled_from([0.3, 0.5, 1.0]),
    assigned=st.integers(1, 3),
    aggregation=st.sampled_from(["vlad", "words"]),
)
@settings(deadline=None)
def test_the_parts_of_features_add_up_to_the_descriptor(
    count: int, seed: int, power: float, assigned: int, aggregation: str
) -> None:
    rng = np.random.default_rng(seed)
    rows = np.abs(rng.normal(size=(count, 128)))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    words = np.abs(rng.normal(size=(5, 128))).astype(np.float32) / 13
    if count > 2:
        rows[0] = words[0]  # a descriptor that lies on its word
    params = {"words": words, "idf": rng.random(5, np.float32)}
    config = LocalConfig(aggregation=aggregation, power=power, assigned=assigned, centers=5)
    features = LocalFeatures(np.zeros((count, 2), np.float32), rows)
    word, parts = feature_attribution(features, params, config)
    total = np.zeros((5, parts.shape[2]))
    np.add.at(total, word, parts)
    expected = AGGREGATIONS[aggregation].apply(rows, None, params, config)
    np.testing.assert_allclose(total.ravel(), expected, atol=1e-5)


def test_features_without_a_match_have_no_heat() -> None:
    none = LocalFeatures(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    some = LocalFeatures(np.ones((3, 2), np.float32), np.eye(3, 128, dtype=np.float32))
    params = {"words": np.eye(4, 128, dtype=np.float32)}
    heat, other = feature_heats(none, some, params, LocalConfig())
    assert heat.shape == (0,)
    assert other.tolist() == [0, 0, 0]
    assert not heat_map(some.points, other, (40, 30)).any()
    assert heat_map(none.points, heat, (40, 30)).shape == (48, 64)
    assert heat_map(none.points, heat, (4000, 1)).shape == (1, 64)


# The stage above: photos, boxes, collections.


def object_photo(seed: int, folder: Path, name: str) -> Path:
    rng = np.random.default_rng(seed)
    scene = background(rng, *SIZE)
    x, y = rng.uniform(20, 280, 2)
    corners = np.array([(x, y), (x + 260, y), (x + 260, y + 160), (x, y + 160)], np.float32)
    lay(scene, FAMILIES[1](np.random.default_rng(0)).surface, corners, 5.0)
    path = folder / name
    Image.fromarray(scene.clip(0, 255).astype(np.uint8)).save(path)
    return path


def check_shape(actual: Explanation) -> None:
    for heat in (actual.heat_query, actual.heat_other):
        assert heat.dtype == np.float32
        assert heat.ndim == 2
        assert heat.min() >= 0
        assert heat.max() in (0, 1)
    assert actual.matches.dtype == np.float32
    assert actual.matches.shape == (actual.inliers, 4)
    assert 0 <= actual.agreement <= 1


@pytest.mark.slow
def test_explain_by_the_network(small_weights: Path, tmp_path: Path) -> None:
    from resight.indexing.describe import describe
    from resight.methods.model import ModelOptions

    a, b = object_photo(1, tmp_path, "a.png"), object_photo(2, tmp_path, "b.png")
    config, model = ExtractionConfig(resolutions=(160, 96)), ModelOptions(small_weights)
    actual = explain(a, b, config=config, model=model)
    check_shape(actual)
    assert actual.heat_query.shape == actual.heat_other.shape == (8, 10)
    one, other = describe([a, b], config=config, model=model).descriptors
    assert actual.distance == pytest.approx(float(np.abs(one - other).sum()), rel=1e-5)
    same = explain(a, a, config=config, model=model)
    assert (same.sameness.kind, same.distance) == ("copy", 0)
    assert same.agreement == 1
    np.testing.assert_allclose(same.matches[:, :2], same.matches[:, 2:])
    np.testing.assert_allclose(same.heat_query, same.heat_other, atol=1e-4)


@pytest.mark.slow
def test_a_box_is_explained_in_the_whole_photo(small_weights: Path, tmp_path: Path) -> None:
    from resight.methods.model import ModelOptions

    photo, box = object_photo(3, tmp_path, "a.png"), (320, 120, 200, 160)
    crop = tmp_path / "crop.png"
    Image.open(photo).crop((320, 120, 520, 280)).save(crop)
    config = ExtractionConfig(resolutions=(160,), cam=True)
    model = ModelOptions(small_weights)
    whole = explain(photo, crop, config=config, box=box, model=model)
    part = explain(crop, crop, config=config, model=model)
    assert (whole.distance, whole.agreement) == (part.distance, part.agreement) == (0, 1)
    np.testing.assert_allclose(whole.matches, part.matches + np.float32([320, 120, 0, 0]))
    assert whole.heat_query.shape == (240, 320)
    outside = np.ones((240, 320), bool)
    outside[60:140, 160:260] = False
    assert not whole.heat_query[outside].any()
    assert whole.heat_query.max() == pytest.approx(1, abs=0.05)


@pytest.mark.slow
def test_explain_with_a_collection_of_sift_vlad(tmp_path: Path) -> None:
    from resight.collection import Collection
    from resight.config import SearchConfig
    from resight.indexing.pipeline import index
    from resight.searching import Searcher

    photos = tmp_path / "photos"
    photos.mkdir()
    a, b = object_photo(1, photos, "a.png"), object_photo(2, photos, "b.png")
    index(
        [photos],
        tmp_path / "c",
        config=LocalConfig(method="sift-vlad", centers=16, max_keypoints=400),
    )
    actual = explain(a, b, collection=tmp_path / "c")
    check_shape(actual)
    assert actual.inliers >= 20
    assert actual.heat_query.shape == (48, 64)
    with Collection.open(tmp_path / "c") as opened:
        searcher = Searcher(opened)
        by_path = {r.path: r.distance for r in searcher.search(a, SearchConfig()).results}
        assert actual.distance == by_path[b]
        again = explain_photos(searcher, open_query(a), open_query(b), actual.sameness)
        np.testing.assert_array_equal(again.heat_query, actual.heat_query)
    boxed = explain(a, b, collection=tmp_path / "c", box=(0, 0, 640, 480))
    assert boxed.inliers == pytest.approx(actual.inliers, abs=3)  # the evidence is not the stored


def test_unsupported_explanations(tmp_path: Path) -> None:
    photo = object_photo(1, tmp_path, "a.png")
    with pytest.raises(UsageError, match="nowhere"):
        explain(photo, tmp_path / "nowhere.jpg")
    with pytest.raises(UsageError, match="not inside the photo"):
        explain(photo, photo, box=(600, 0, 100, 100))
    with pytest.raises(UsageError, match="one of them"):
        explain(photo, photo, collection=tmp_path, config="fast")
    with pytest.raises(UsageError, match="needs a collection"):
        explain(photo, photo, config="sift-vlad")
    with pytest.raises(UsageError, match="no method or file"):
        explain(photo, photo, config="slow")


# The picture.


GRAY = Image.new("RGB", (80, 80), "gray")


def explained(
    images: tuple[Image.Image, Image.Image] = (GRAY, GRAY), places: int = 100, masks: bool = True
) -> Explanation:
    heat = np.zeros((6, 8), np.float32)
    heat[2, 3] = 1
    mask = (heat > 0) if masks else None
    points = np.random.default_rng(0).uniform(0, 70, (places, 4)).astype(np.float32)
    sameness = Sameness(0.981, "crop", VerifiedMatch(places, None, None, points))
    return Explanation(heat, heat, mask, mask, 1.5, 0.5, sameness, images)


@pytest.mark.parametrize("places", [0, 1, 100])
@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("size", [(80, 80), (3000, 20), (20, 900)])
def test_the_picture_takes_photos_of_any_shape(
    places: int, masks: bool, size: tuple[int, int]
) -> None:
    other = Image.new("RGB", size, "teal")
    drawn = draw_explanation(explained((GRAY, other), places, masks), height=120)
    assert drawn.mode == "RGB"
    assert drawn.height == 120 + 2 * 24 + 36
    caption = np.asarray(drawn)[120 + 24 + 12 :]
    written = (caption != caption[0, 0]).any(axis=(0, 2))
    assert 40 < written.sum() < drawn.width - 40  # some letters, inside the margins
    assert not written[:20].any()
    assert not written[-20:].any()


def test_the_picture_is_warm_where_the_heat_is() -> None:
    photo = Image.new("RGB", (80, 60), (90, 110, 130))
    explanation = explained((photo, photo), 0, False)
    drawn = np.asarray(draw_explanation(explanation, height=240)).astype(int)
    hot, cold = drawn[24 + 100, 24 + 140], drawn[24 + 200, 24 + 300]
    assert hot[0] - hot[2] > 40  # yellow
    assert cold[2] > cold[0]  # the photo's own blue grey
    assert abs(cold - (90, 110, 130)).max() < 20


def test_notebooks_show_the_picture_and_say_the_decision() -> None:
    assert len(explained(places=3).to_dict()["matches"]) == 3
    shown = explained(places=3)._repr_html_()
    assert shown.startswith('<img src="data:image/jpeg;base64,')
    assert 'alt="same thing (98 %), cropped: 3 places agree"' in shown


def test_the_overlay_is_clear_where_it_is_cold() -> None:
    overlay = heat_overlay(np.array([[0, 0, 0, 1.0]], np.float32), (40, 10))
    alpha = np.asarray(overlay)[..., 3]
    assert (overlay.mode, overlay.size) == ("RGBA", (40, 10))
    assert not alpha[:, :20].any()
    assert (alpha[:, 36:] > 150).all()


def test_the_outline_surrounds_the_mask() -> None:
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:3] = True
    (line,) = mask_outline(mask, (40, 40))
    assert line.min(axis=0).tolist() == pytest.approx([10, 10], abs=1.5)
    assert line.max(axis=0).tolist() == pytest.approx([29, 29], abs=1.5)
    assert mask_outline(np.zeros((4, 4), bool), (40, 40)) == []


def test_lines_are_spread_over_the_photo() -> None:
    crowd = np.random.default_rng(0).normal(50, 1, (500, 2))
    corners = np.array([(0.0, 0.0), (100, 0), (0, 100), (100, 100)])
    chosen = spread_out(np.concatenate([crowd, corners]), 10)
    assert len(chosen) == 10
    assert {500, 501, 502, 503} <= set(chosen.tolist())
    assert spread_out(corners, 10).tolist() == [0, 1, 2, 3]
    assert len(spread_out(np.zeros((30, 2)), 10)) <= 10
