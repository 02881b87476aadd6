"""Collections whose extractors have fitted parameters: whitened regions and layer weights."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import samples
from resight.collection import Collection
from resight.config import ExtractionConfig
from resight.errors import UsageError
from resight.indexing import pipeline
from resight.indexing.describe import describe
from resight.methods.model import ModelOptions
from resight.photos.images import load_image
from resight.searching import search

pytestmark = pytest.mark.usefixtures("networks_loaded_once")

WHITENED_REGIONS = ExtractionConfig(
    resolutions=(96, 64),
    layers=("layer2",),
    fusion="late",
    pooling="rmac-whitened",
    region_values=5,
)
LAYER_WEIGHTS = ExtractionConfig(
    resolutions=(64,), layers=("layer2", "layer1"), pooling="rmac", learn_layer_weights=True
)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(WHITENED_REGIONS, marks=pytest.mark.slow, id="regions"),
        pytest.param(LAYER_WEIGHTS, id="weights"),
    ],
)
def test_parameters_are_fitted_stored_and_used_in_searches(
    config: ExtractionConfig, small_weights: Path, tmp_path: Path
) -> None:
    photos = samples.draw_many(tmp_path / "photos", 6)
    model = ModelOptions(small_weights)
    pipeline.index([tmp_path / "photos"], tmp_path / "c", config=config, model=model)
    with Collection.open(tmp_path / "c") as opened:
        assert opened.distance == "cosine"
        stored = {id_: vector for id_, vector, _ in opened.photo_descriptors()}
        extractor = opened.fitted_method(model).load_extractor(model)
        photo = next(opened.photos("ok"))
        vector = extractor.describe(extractor.prepare(load_image(photo.path))).global_
        assert vector.shape == (extractor.dimensions,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(vector, stored[photo.id], atol=1e-5)
        params = opened.fitted_params()
    assert params is not None
    if config is WHITENED_REGIONS:
        assert extractor.dimensions == 5
    else:
        assert params["weights"].sum() == pytest.approx(1, abs=1e-6)
        for vector in stored.values():
            lengths = [np.linalg.norm(part) for part in np.split(vector, [512])]
            np.testing.assert_allclose(np.square(lengths), params["weights"], atol=1e-5)
    query = samples.draw(tmp_path / "new.bmp", 5)
    assert search(query, tmp_path / "c", model=model).results[0].path == photos[5]
    with pytest.raises(UsageError, match="learns from a collection's photos"):
        describe([tmp_path / "photos"], config=config, model=model)


@pytest.mark.slow
def test_parameters_do_not_depend_on_the_number_of_workers(
    small_weights: Path, tmp_path: Path
) -> None:
    samples.draw_many(tmp_path / "photos", 4)
    model, stored = ModelOptions(small_weights), []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        pipeline.index(
            [tmp_path / "photos"], folder, config=LAYER_WEIGHTS, model=model, workers=workers
        )
        stored.append(samples.contents(folder))
    assert stored[0]["fitted"] == stored[1]["fitted"]
    assert stored[0]["descriptors"] == stored[1]["descriptors"]


def test_layer_weights_are_fitted_or_configured_not_both() -> None:
    with pytest.raises(UsageError, match="not with layer_weights"):
        dataclasses.replace(LAYER_WEIGHTS, layer_weights=(1.0, 1.0))
