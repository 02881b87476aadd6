"""The contract of every method of local features, from photos to a search, and its fit."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resight.backends.transfer import push
from resight.collection import Collection
from resight.config import (
    SETS,
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
from resight.methods import METHODS, method_name
from resight.methods.model import ModelOptions
from resight.photos.images import load_image
from resight.searching import search
from samples import QUICK, contents, draw_many, picture

pytestmark = pytest.mark.usefixtures("networks_loaded_once")

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
"""A small configuration of each kind of local features and each aggregation."""

SLOW_KINDS = ("cells", "whitened cells", "patches")

PHOTOS = 6


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    draw_many(folder, PHOTOS)
    return folder


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(kind, marks=pytest.mark.slow if kind in SLOW_KINDS else ()) for kind in KINDS
    ],
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def collection(
    kind: str, photos: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Index the photos by the kind."""
    folder = tmp_path_factory.mktemp(f"{kind}-collection") / "c"
    pair = KINDS[kind], NoReduction()
    model = ModelOptions(small_weights)
    pipeline.index([photos], folder, config=pair, model=model, evidence=False)
    return folder


@pytest.fixture(scope="module")
def extractor(collection: Path, small_weights: Path) -> Extractor:
    """Load the collection's extractor, with fitted parameters read from the disk."""
    model = ModelOptions(small_weights)
    with Collection.open(collection) as opened:
        return opened.fitted_method(model).load_extractor(model)


def stored(collection: Path) -> dict[str, np.ndarray]:
    """Return the descriptor of each photo by the name of its file."""
    with Collection.open(collection) as opened:
        names = {photo.id: photo.path.name for photo in opened.photos("ok")}
        return {names[id_]: global_ for id_, global_, _ in opened.photo_descriptors()}


def parts(vector: np.ndarray, config: LocalConfig) -> list[np.ndarray]:
    """Split a descriptor into its scales."""
    sizes = config.nominal_sizes if len(config.scales) > 1 else [len(vector)]
    return np.split(vector, np.cumsum(sizes)[:-1])


def test_shape_type_and_length(kind: str, collection: Path, extractor: Extractor) -> None:
    config, descriptors = KINDS[kind], stored(collection)
    assert len(descriptors) == PHOTOS
    if config.aggregation == "triangulation":
        assert extractor.dimensions <= sum(config.nominal_sizes)
    else:
        assert extractor.dimensions == sum(config.nominal_sizes)
    for vector in descriptors.values():
        assert vector.shape == (extractor.dimensions,)
        assert vector.dtype == np.float32
        assert np.isfinite(vector).all()
        if config.aggregation not in SETS:
            for part in parts(vector, config):
                assert np.linalg.norm(part) == pytest.approx(1, abs=1e-5)


def test_loaded_parameters_give_the_stored_descriptors(
    collection: Path, photos: Path, extractor: Extractor
) -> None:
    descriptors = stored(collection)
    for name in list(descriptors)[:2]:
        description = extractor.describe(extractor.prepare(load_image(photos / name)))
        assert description.local is None
        np.testing.assert_array_equal(description.global_, descriptors[name])


def test_a_photo_without_texture(kind: str, extractor: Extractor) -> None:
    # Without keypoints the descriptor is zero, or a table without rows.
    plain = Image.new("RGB", (64, 48), (90, 90, 90))
    vector = extractor.describe(extractor.prepare(plain)).global_
    assert vector.shape == (extractor.dimensions,)
    assert vector.dtype == np.float32
    assert np.isfinite(vector).all()
    if KINDS[kind].features == "rootsift" and KINDS[kind].aggregation in ("vlad", "fisher"):
        np.testing.assert_array_equal(vector, 0)


def test_photos_find_themselves(
    kind: str, collection: Path, photos: Path, small_weights: Path, tmp_path: Path
) -> None:
    model, photo = ModelOptions(small_weights), photos / "003.png"
    results = search(photo, collection, SearchConfig(k=3), model=model).results
    assert results[0].path == photo
    if KINDS[kind].aggregation not in SETS:  # their distance is 0 only if no features are similar
        assert results[0].distance == pytest.approx(0, abs=1e-6)
    # Rotated, so that its descriptor is not in the collection.
    picture(3).rotate(1, Image.Resampling.BICUBIC).save(tmp_path / "rotated.png")
    results = search(tmp_path / "rotated.png", collection, SearchConfig(k=1), model=model).results
    assert results[0].path == photo


@pytest.mark.parametrize("name", ["vlad", "hamming", "columns"])
def test_results_do_not_depend_on_the_number_of_workers(
    name: str, photos: Path, small_weights: Path, tmp_path: Path
) -> None:
    pair, model = (KINDS[name], NoReduction()), ModelOptions(small_weights)
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        options = {"config": pair, "model": model, "evidence": False}
        pipeline.index([photos], folder, workers=workers, **options)  # type: ignore[arg-type]
    one, three = contents(tmp_path / "1"), contents(tmp_path / "3")
    assert one["descriptors"] == three["descriptors"]
    assert one["fitted"] == three["fitted"]


@pytest.mark.slow
def test_verification_by_columns_needs_a_network(
    photos: Path, small_weights: Path, tmp_path: Path
) -> None:
    config = SearchConfig(k=3, verify=2, verify_by="columns")
    model, photo = ModelOptions(small_weights), photos / "001.png"
    few = sorted(photos.iterdir())[:3]
    for name in ("columns", "vlad"):
        pipeline.index(few, tmp_path / name, config=KINDS[name], model=model, evidence=False)
    results = search(photo, tmp_path / "columns", config, model=model).results
    assert results[0].path == photo
    assert results[0].inliers is not None
    with pytest.raises(UsageError, match="columns"):
        search(photo, tmp_path / "vlad", config, model=model)


@pytest.mark.slow
def test_the_network_computes_a_sampled_photo_once(
    photos: Path, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracted: list[str] = []
    original = LocalExtractor._extract

    def counted(self: LocalExtractor, prepared: Any) -> Any:
        extracted.append(self.config.features)
        return original(self, prepared)

    monkeypatch.setattr(LocalExtractor, "_extract", counted)
    options, few = ModelOptions(small_weights), sorted(photos.iterdir())[:3]
    for name, times in (("patches", 1), ("vlad", 2)):  # keypoints need no network
        extracted.clear()
        pair = KINDS[name], NoReduction()
        pipeline.index(few, tmp_path / name, config=pair, model=options, evidence=False)
        assert len(extracted) == times * len(few)
    monkeypatch.setattr("resight.descriptors.local_extractor.MAX_CACHED_BYTES", 0)
    extracted.clear()
    pair = KINDS["patches"], NoReduction()
    pipeline.index(few, tmp_path / "uncached", config=pair, model=options, evidence=False)
    assert len(extracted) == 2 * len(few)
    cached, uncached = stored(tmp_path / "patches"), stored(tmp_path / "uncached")
    assert all(np.array_equal(cached[name], uncached[name]) for name in cached)


def test_a_configuration_has_the_name_of_its_method() -> None:
    assert method_name(METHODS["bow-soft"].config) == "bow-soft"
    assert method_name(METHODS["hamming"].config) == "hamming"
    assert method_name(LocalConfig(method="sift-vlad")) == "sift-vlad"
    assert method_name(LocalConfig(centers=77)) == "local"


def test_whitened_descriptors(small_weights: Path, photos: Path, tmp_path: Path) -> None:
    pair = KINDS["vlad"], WhiteningConfig(min_photos=4)
    run = pipeline.index([photos], tmp_path / "c", config=pair)
    assert run.selection_note is not None
    assert run.selection_note.startswith("fitted a whitening of")
    results = search(photos / "002.png", tmp_path / "c", SearchConfig(k=1)).results
    assert results[0].path == photos / "002.png"


def test_no_reduction_by_default(photos: Path, tmp_path: Path) -> None:
    assert pipeline.index([photos], tmp_path / "c", config=KINDS["vlad"]).selection_note is None
    with Collection.open(tmp_path / "c") as opened:
        assert opened.reduction_config == NoReduction()
        assert opened.distance == "cosine"


# Fit


def rows(photos: int, count: int, size: int, seed: int = 0) -> list[list[np.ndarray]]:
    """Return random features of one scale for each photo."""
    random = np.random.default_rng(seed)
    spread = np.linspace(2, 0.1, size)
    return [
        [(random.normal(size=(count, size)) * spread + 1).astype(np.float32)] for _ in range(photos)
    ]


def test_principal_components_equal_those_of_the_covariance() -> None:
    config = dataclasses.replace(KINDS["vlad"], values=5)
    features = rows(8, 50, 12)
    params = LocalExtractor(config).fit(features)
    together = np.concatenate([photo[0] for photo in features]).astype(np.float64)
    variances, vectors = np.linalg.eigh(np.cov(together.T))
    leading = vectors[:, ::-1][:, :5]
    np.testing.assert_allclose(params["pca.mean"], together.mean(axis=0), atol=1e-5)
    agreement = np.abs((leading * params["pca.components"]).sum(axis=0))
    np.testing.assert_allclose(agreement, 1, atol=1e-4)
    # The words are fitted on projected features.
    assert params["words"].shape == (4, 5)
    projected = (together - together.mean(axis=0)) @ params["pca.components"]
    np.testing.assert_allclose(np.cov(projected.T), np.diag(variances[::-1][:5]), atol=0.02)


def test_the_whole_photo_is_not_projected() -> None:
    # It is one feature per photo: three photos do not have five principal components.
    config = KINDS["patches"]
    photos = [
        [*whole, *many] for whole, many in zip(rows(3, 1, 256), rows(3, 25, 256), strict=True)
    ]
    params = LocalExtractor(config).fit(photos)
    assert {name.partition(".")[0] for name in params} == {"1"}
    assert params["1.pca.components"].shape == (256, 5)
    assert config.nominal_sizes == [256, 15]


def test_too_few_directions_for_the_components() -> None:
    config = dataclasses.replace(KINDS["vlad"], values=12)
    flat = [[np.pad(photo[0], ((0, 0), (0, 4)))] for photo in rows(8, 50, 8)]
    with pytest.raises(FitError, match="vary in 8 directions, fewer than the 12 values"):
        LocalExtractor(config).fit(flat)


def test_too_few_features_leave_no_collection(photos: Path, tmp_path: Path) -> None:
    config = LocalConfig(centers=4000, sample=200_000)
    with pytest.raises(FitError, match="different local descriptors are too few for 4000"):
        pipeline.index([photos], tmp_path / "c", config=config)
    assert not Collection.exists(tmp_path / "c")


def test_describe_refuses_methods_that_are_fitted(photos: Path) -> None:
    with pytest.raises(UsageError, match=r"^describe: the method learns from a collection"):
        describe([photos], config=KINDS["fisher"])


def test_sets_of_features_cannot_be_pushed(photos: Path, tmp_path: Path) -> None:
    pipeline.index([photos], tmp_path / "c", config=(KINDS["hamming"], NoReduction()))
    with pytest.raises(UsageError, match="sets of codes, which no"):
        push(tmp_path / "c", f"qdrant+file://{tmp_path}/backend/name")
