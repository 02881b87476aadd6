"""Every method of local features, kept to the same contract; whole, from photos to a search."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resight.backends.transfer import push
from resight.collection.reader import Collection
from resight.config import (
    LocalConfig,
    NoReduction,
    SearchConfig,
    WhiteningConfig,
)
from resight.descriptors.extractor import Extractor
from resight.descriptors.local_extractor import LocalExtractor
from resight.errors import FitError, UsageError
from resight.indexing import pipeline
from resight.indexing.describe import describe
from resight.methods.catalogue import METHODS, method_name
from resight.methods.model import ModelOptions
from resight.photos.images import load_image
from resight.searching.search import search
from samples import QUICK, contents, draw_many, picture

SMALL: dict[str, Any] = {"longest_side": 96, "max_keypoints": 60, "sample": 4000}
COLUMNS: dict[str, Any] = {"features": "columns", "layer": "layer2"}
KINDS: dict[str, LocalConfig] = {
    "sift-vlad": QUICK,
    "vlad": LocalConfig(**SMALL, centers=4, values=16, power=0.8),
    "fisher": LocalConfig(**SMALL, aggregation="fisher", centers=3, values=8),
    "triangulation": LocalConfig(**SMALL, aggregation="triangulation", centers=3),
    "words": LocalConfig(**SMALL, aggregation="words", centers=40),
    "soft words": LocalConfig(**SMALL, aggregation="words", centers=40, assigned=3),
    "hamming": LocalConfig(**SMALL, aggregation="hamming", centers=8),
    "hamming-wgc": LocalConfig(**SMALL, aggregation="hamming-wgc", centers=8),
    "columns": LocalConfig(**SMALL, **COLUMNS, centers=4, values=16),
    "netvlad": LocalConfig(**SMALL, **COLUMNS, aggregation="netvlad", centers=4),
    "cells": LocalConfig(**SMALL, features="cells", aggregation="stack", scales=(1, 2)),
    "whitened cells": LocalConfig(
        **SMALL, features="cells", aggregation="stack", scales=(1, 2), layer="layer3", values=5
    ),
    "patches": LocalConfig(
        **{**SMALL, "features": "patches", "layer": "layer1", "patch_side": 32},
        scales=(1, 2),
        centers=3,
        assigned=2,
        values=5,
    ),
}
"""A small configuration of each way to describe a photo by its local features."""

LEARNED_ON = 6


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    draw_many(folder, LEARNED_ON)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def collection(
    kind: str, photos: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A collection of the kind."""
    folder = tmp_path_factory.mktemp(f"{kind}-collection") / "c"
    preset = KINDS[kind], NoReduction()
    pipeline.index([photos], folder, config=preset, model=ModelOptions(small_weights))
    return folder


def stored(collection: Path) -> dict[str, np.ndarray]:
    """The descriptor of each photo, by the name of its file."""
    with Collection.open(collection) as opened:
        names = {photo.id: photo.path.name for photo in opened.photos("ok")}
        return {names[id_]: global_ for id_, global_, _ in opened.photo_descriptors()}


def test_the_network_sees_a_photo_once(
    photos: Path, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos that a method learned from are described from what was seen of them then."""
    seen: list[str] = []
    plain = LocalExtractor._extract

    def counted(self: LocalExtractor, prepared: Any) -> Any:
        seen.append(self.config.features)
        return plain(self, prepared)

    monkeypatch.setattr(LocalExtractor, "_extract", counted)
    options = ModelOptions(small_weights)
    for kind, times in (("patches", 1), ("columns", 1), ("vlad", 2)):  # SIFT is not a network's
        seen.clear()
        preset = KINDS[kind], NoReduction()
        pipeline.index([photos], tmp_path / kind, config=preset, model=options)
        assert len(seen) == times * LEARNED_ON
    monkeypatch.setattr("resight.descriptors.local_extractor.MAX_CACHED_BYTES", 0)
    seen.clear()
    preset = KINDS["patches"], NoReduction()
    pipeline.index([photos], tmp_path / "again", config=preset, model=options)
    assert len(seen) == 2 * LEARNED_ON
    once, twice = stored(tmp_path / "patches"), stored(tmp_path / "again")
    assert all(np.array_equal(once[name], twice[name]) for name in once)


def opened_extractor(collection: Path, weights: Path) -> Extractor:
    """What made a collection's descriptors, with what it had learned, read from the disk."""
    with Collection.open(collection) as opened:
        return opened.fitted_method(ModelOptions(weights)).load_extractor(ModelOptions(weights))


def parts(vector: np.ndarray, config: LocalConfig) -> list[np.ndarray]:
    """The parts of a descriptor, one for each scale."""
    sizes = config.nominal_sizes if len(config.scales) > 1 else [len(vector)]
    return np.split(vector, np.cumsum(sizes)[:-1])


def test_shape_type_and_length(kind: str, collection: Path, small_weights: Path) -> None:
    config, extractor = KINDS[kind], opened_extractor(collection, small_weights)
    descriptors = stored(collection)
    assert len(descriptors) == LEARNED_ON
    assert extractor.dimensions <= sum(config.nominal_sizes)
    if config.aggregation != "triangulation":
        assert extractor.dimensions == sum(config.nominal_sizes)
    for vector in descriptors.values():
        assert vector.shape == (extractor.dimensions,)
        assert vector.dtype == np.float32
        assert np.isfinite(vector).all()
        for part in parts(vector, config) if config.reducible else []:
            assert np.linalg.norm(part) == pytest.approx(1, abs=1e-5)


def test_the_same_after_save_and_load(collection: Path, photos: Path, small_weights: Path) -> None:
    extractor = opened_extractor(collection, small_weights)
    for name, expected in stored(collection).items():
        found = extractor.describe(extractor.prepare(load_image(photos / name)))
        assert found.local is None
        np.testing.assert_array_equal(found.global_, expected)


def test_the_same_whoever_prepares_it(
    kind: str, collection: Path, photos: Path, small_weights: Path, tmp_path: Path
) -> None:
    preset, model = (KINDS[kind], NoReduction()), ModelOptions(small_weights)
    pipeline.index([photos], tmp_path / "c", config=preset, model=model, workers=3)
    found, expected = contents(tmp_path / "c"), contents(collection)
    assert found["descriptors"] == expected["descriptors"]
    assert found["fitted"] == expected["fitted"]


def test_a_photo_without_texture(kind: str, collection: Path, small_weights: Path) -> None:
    # No keypoint, for those that need any: a descriptor of zeros, or a table without a row.
    extractor = opened_extractor(collection, small_weights)
    plain = Image.new("RGB", (64, 48), (90, 90, 90))
    found = extractor.describe(extractor.prepare(plain)).global_
    assert found.shape == (extractor.dimensions,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    if KINDS[kind].features == "rootsift" and KINDS[kind].aggregation in ("vlad", "fisher"):
        np.testing.assert_array_equal(found, 0)


def test_photos_find_themselves(
    kind: str, collection: Path, photos: Path, small_weights: Path
) -> None:
    model = ModelOptions(small_weights)
    for photo in sorted(photos.glob("*.png"))[:2]:
        found = search(photo, collection, SearchConfig(k=3), model=model).results
        assert found[0].path == photo
        if KINDS[kind].reducible:  # a set whose features are like each other is not at distance 0
            assert found[0].distance == pytest.approx(0, abs=1e-6)


def test_a_photo_that_is_no_longer_known_by_its_content_is_found(
    collection: Path, photos: Path, small_weights: Path, tmp_path: Path
) -> None:
    # Turned by a degree: described anew for the search.
    picture(3).rotate(1, Image.Resampling.BICUBIC).save(tmp_path / "turned.png")
    model = ModelOptions(small_weights)
    found = search(tmp_path / "turned.png", collection, SearchConfig(k=1), model=model)
    assert found.results[0].path == photos / "003.png"


def test_columns_of_the_network_verify_where_there_is_one(
    kind: str, collection: Path, photos: Path, small_weights: Path
) -> None:
    config = SearchConfig(k=3, verify=2, verify_by="columns")
    model, photo = ModelOptions(small_weights), photos / "001.png"
    if KINDS[kind].needs_network:
        found = search(photo, collection, config, model=model).results
        assert found[0].path == photo
        assert found[0].inliers is not None
        return
    with pytest.raises(UsageError, match=f"columns: needs a network; {KINDS[kind].method} has"):
        search(photo, collection, config, model=model)


def test_a_configuration_goes_by_the_name_of_its_recipe() -> None:
    assert method_name(METHODS["bow-soft"].config) == "bow-soft"
    assert method_name(METHODS["hamming"].config) == "hamming"
    assert method_name(LocalConfig(method="sift-vlad")) == "sift-vlad"
    assert method_name(LocalConfig(centers=77)) == "local"


def test_whitened_descriptors(small_weights: Path, photos: Path, tmp_path: Path) -> None:
    preset = KINDS["vlad"], WhiteningConfig(min_photos=4)
    run = pipeline.index([photos], tmp_path / "c", config=preset)
    assert run.selection_note is not None
    assert run.selection_note.startswith("fitted a whitening of")
    found = search(photos / "002.png", tmp_path / "c", SearchConfig(k=1)).results
    assert found[0].path == photos / "002.png"


def test_without_a_word_of_it_all_values_are_compared(photos: Path, tmp_path: Path) -> None:
    assert pipeline.index([photos], tmp_path / "c", config=KINDS["vlad"]).selection_note is None
    with Collection.open(tmp_path / "c") as opened:
        assert opened.reduction_config == NoReduction()
        assert opened.distance == "cosine"


# What is learned


def rows(photos: int, count: int, size: int, seed: int = 0) -> list[list[np.ndarray]]:
    """Features of one kind of some photos, any numbers."""
    random = np.random.default_rng(seed)
    spread = np.linspace(2, 0.1, size)
    return [
        [(random.normal(size=(count, size)) * spread + 1).astype(np.float32)] for _ in range(photos)
    ]


def test_the_principal_components_are_those_of_the_covariance() -> None:
    config = dataclasses.replace(KINDS["vlad"], values=5)
    features = rows(8, 50, 12)
    learned = LocalExtractor(config).fit(features)
    together = np.concatenate([photo[0] for photo in features]).astype(np.float64)
    variances, vectors = np.linalg.eigh(np.cov(together.T))
    leading = vectors[:, ::-1][:, :5]
    np.testing.assert_allclose(learned["pca.mean"], together.mean(axis=0), atol=1e-5)
    agreement = np.abs((leading * learned["pca.components"]).sum(axis=0))
    np.testing.assert_allclose(agreement, 1, atol=1e-4)
    # Words are of the projected features.
    assert learned["words"].shape == (4, 5)
    projected = (together - together.mean(axis=0)) @ learned["pca.components"]
    np.testing.assert_allclose(np.cov(projected.T), np.diag(variances[::-1][:5]), atol=0.02)


def test_the_whole_photo_keeps_all_its_values() -> None:
    # It is one feature a photo: three photos could not have five principal components of it.
    config = KINDS["patches"]
    photos = [
        [*whole, *many] for whole, many in zip(rows(3, 1, 256), rows(3, 25, 256), strict=True)
    ]
    learned = LocalExtractor(config).fit(photos)
    assert {name.partition(".")[0] for name in learned} == {"1"}
    assert learned["1.pca.components"].shape == (256, 5)
    assert config.nominal_sizes == [256, 15]


def test_too_few_directions_for_the_components() -> None:
    config = dataclasses.replace(KINDS["vlad"], values=12)
    flat = [[np.pad(photo[0], ((0, 0), (0, 4)))] for photo in rows(8, 50, 8)]
    with pytest.raises(FitError, match="vary in 8 directions, and 12 are to be kept"):
        LocalExtractor(config).fit(flat)


def test_too_few_features_leave_no_collection(photos: Path, tmp_path: Path) -> None:
    config = LocalConfig(centers=4000, sample=200_000)
    with pytest.raises(FitError, match="different local descriptors are too few for 4000"):
        pipeline.index([photos], tmp_path / "c", config=config)
    assert not Collection.exists(tmp_path / "c")


def test_describe_needs_what_is_learned(photos: Path) -> None:
    with pytest.raises(UsageError, match=r"^describe: the method learns from a collection"):
        describe([photos], config=KINDS["fisher"])


def test_sets_of_codes_stay_in_folders(photos: Path, tmp_path: Path) -> None:
    pipeline.index([photos], tmp_path / "c", config=(KINDS["hamming"], NoReduction()))
    with pytest.raises(UsageError, match="sets of codes, which no runtime"):
        push(tmp_path / "c", f"qdrant+file://{tmp_path}/runtime/name")
