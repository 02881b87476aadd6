"""What the layers of a descriptor learn: whitened regions, weights; methods on another network."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import samples
from resight.collection.reader import Collection
from resight.config import ExtractionConfig, LocalConfig
from resight.descriptors.pipeline import describe_maps
from resight.descriptors.pooling.rmac import fit_region_whitening, region_vectors, rmac
from resight.errors import UsageError
from resight.indexing import pipeline
from resight.indexing.describe import describe
from resight.methods.catalogue import METHODS, find_method
from resight.methods.model import ModelOptions
from resight.photos.images import load_image
from resight.searching.search import search

CONFIG = ExtractionConfig(
    resolutions=(96, 64), layers=("layer4",), fusion="late", pooling="rmac-whitened"
)


WEIGHTED = ExtractionConfig(resolutions=(64,), pooling="rmac", learn_layer_weights=True)


def feature_map(channels: int, height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((channels, height, width), np.float32)


def test_regions_are_whitened_before_they_are_added() -> None:
    maps = [feature_map(6, 7, 9, seed) for seed in range(8)]
    vectors = np.concatenate([region_vectors(fm) for fm in maps])
    whitening = fit_region_whitening(vectors, 4)
    total = np.zeros(4)
    for row in region_vectors(maps[0]).astype(float):
        projected = whitening.weight.astype(float) @ row + whitening.bias
        total += projected / np.sqrt((projected**2).sum())
    found = rmac(maps[0], whitening=whitening)
    np.testing.assert_allclose(found, total / np.sqrt((total**2).sum()), atol=1e-5)
    assert found.dtype == np.float32
    centered = vectors @ whitening.weight.T + whitening.bias
    np.testing.assert_allclose(centered.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("config", [CONFIG, WEIGHTED])
def test_a_collection_learns_keeps_and_finds(
    config: ExtractionConfig, small_weights: Path, tmp_path: Path
) -> None:
    photos = samples.draw_many(tmp_path / "photos", 8)
    model = ModelOptions(small_weights)
    pipeline.index([tmp_path / "photos"], tmp_path / "c", config=config, model=model)
    with Collection.open(tmp_path / "c") as opened:
        assert opened.distance == "cosine"
        stored = {id_: vector for id_, vector, _ in opened.photo_descriptors()}
        extractor = opened.fitted_method(model).load_extractor(model)
        for photo in opened.photos("ok"):
            copies = extractor.prepare(load_image(photo.path))
            again = extractor.describe(copies).global_
            assert again.shape == (extractor.dimensions,)
            assert np.linalg.norm(again) == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(again, stored[photo.id], atol=1e-5)
    query = samples.draw(tmp_path / "new.bmp", 5)
    assert search(query, tmp_path / "c", model=model).results[0].path == photos[5]
    with pytest.raises(UsageError, match="learns from a collection's photos"):
        describe([tmp_path / "photos"], config=config, model=model)
    place = tmp_path / "beside"
    pipeline.index([tmp_path / "photos"], place, config=config, model=model, workers=3)
    with Collection.open(place) as opened:
        for id_, vector, _ in opened.photo_descriptors():
            assert np.array_equal(vector, stored[id_]), "the same however many work on it"


def test_so_many_values_of_a_region_are_kept(small_weights: Path, tmp_path: Path) -> None:
    samples.draw_many(tmp_path / "photos", 4)
    config, model = dataclasses.replace(CONFIG, region_values=5), ModelOptions(small_weights)
    pipeline.index([tmp_path / "photos"], tmp_path / "c", config=config, model=model)
    with Collection.open(tmp_path / "c") as opened:
        assert {vector.shape for _, vector, _ in opened.photo_descriptors()} == {(5,)}


def test_a_collection_learns_what_its_layers_count(small_weights: Path, tmp_path: Path) -> None:
    samples.draw_many(tmp_path / "photos", 6)
    model = ModelOptions(small_weights)
    pipeline.index([tmp_path / "photos"], tmp_path / "c", config=WEIGHTED, model=model)
    with Collection.open(tmp_path / "c") as opened:
        learned = opened.fitted_params()
        assert learned is not None
        assert opened.distance == "cosine"
        for _, vector, _ in opened.photo_descriptors():
            lengths = [np.linalg.norm(part) for part in np.split(vector, [2048])]
            np.testing.assert_allclose(np.square(lengths), learned["weights"], atol=1e-5)
        assert learned["weights"].sum() == pytest.approx(1, abs=1e-6)
    with pytest.raises(UsageError, match="not with layer_weights"):
        dataclasses.replace(WEIGHTED, layer_weights=(1.0, 1.0))


def test_weights_of_layers_are_shares_of_the_cosine() -> None:
    config = ExtractionConfig(pooling="mac", resolutions=(64,), layer_weights=(3, 1))
    assert config.descriptor_distance == "cosine"
    maps = {"layer4": feature_map(2048, 2, 3, 0), "layer3": feature_map(1024, 4, 6, 1)}
    found = describe_maps([maps], config).global_
    assert np.linalg.norm(found[:2048]) ** 2 == pytest.approx(0.75, abs=1e-5)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


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
