"""Explanations: the decision on two photos, the places that agree, and similar areas.

`sameness` decides; `heatmaps` finds the areas that are similar by the descriptors of a network or
by those of local features; `overlay` draws both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resight.backends import open_store
from resight.config import ExtractionConfig, MethodConfig
from resight.descriptors.extractor import Extractor
from resight.descriptors.fusion import rescale
from resight.descriptors.pipeline import (
    NO_STATE,
    FeatureMaps,
    PoolingState,
    cam_mask,
    class_activation_map,
    describe_maps,
    fuse,
)
from resight.errors import UsageError
from resight.methods import resolve_config
from resight.methods.model import FittedMethod, ModelOptions, find_model
from resight.networks.parameters import Classifier
from resight.photos.images import data_uri
from resight.photos.transforms import Box
from resight.ranking.exact import DISTANCES
from resight.reductions import Reduction, to_query
from resight.searching import Searcher
from resight.searching.query import QueryPhoto, QuerySource, open_query
from resight.searching.sameness import Sameness, compare, compare_within
from resight.views.attribution import attribute_photo
from resight.views.heatmaps import add_layers, attributable, feature_heats, heat_map

BOX_GRID = 320
"""Cells along the longer side of the heat map of a whole photo with a box."""

NO_HEAT = np.zeros((1, 1), np.float32)
"""Of descriptors whose values are not sums over places: NetVLAD, and most of local features."""

Size = tuple[int, int]


@dataclass(frozen=True)
class SimilarAreas:
    """Areas that make the descriptors of two photos similar.

    Maps cover the whole upright photo, row by row, whatever their number of cells; with a box the
    query's are zero outside of it.

    Attributes:
        heat_query: float32 (h, w), 0 to 1: how much each place of the query makes the photos
            close; zeros where they have nothing in common, or where the descriptors of the method
            are not those of places.
        heat_other: float32 (h', w'), the same for the other photo.
        mask_query: bool (h, w), the places above the threshold of the class activation map, where
            the masked descriptors were the closer ones; else None.
        mask_other: bool (h', w'), the same for the other photo.
        distance: as in a search of the collection.
        agreement: share of the two descriptors that is common, 0 to 1.
    """

    heat_query: np.ndarray
    heat_other: np.ndarray
    mask_query: np.ndarray | None
    mask_other: np.ndarray | None
    distance: float
    agreement: float


@dataclass(frozen=True)
class Explanation(SimilarAreas):
    """The reasons for a match: the decision with the places that agree, and similar areas.

    Attributes:
        sameness: whether both show the same thing, as `same` and searches decide.
        images: the whole upright query and the other photo, RGB.
    """

    sameness: Sameness
    images: tuple[Image.Image, Image.Image] = field(repr=False, compare=False)

    @property
    def matches(self) -> np.ndarray:
        """The places by which was decided: x and y in the query, x and y in the other, (M, 4)."""
        return self.sameness.places

    @property
    def inliers(self) -> int:
        """Number M of matches."""
        return len(self.matches)

    def to_dict(self) -> dict[str, Any]:
        """Return decision, distance, agreement and matches as JSON values, without the maps."""
        return {
            **self.sameness.to_dict(),
            "distance": self.distance,
            "agreement": self.agreement,
            "inliers": self.inliers,
            "matches": self.matches.tolist(),
        }

    def _repr_html_(self) -> str:
        """Draw the explanation in a notebook."""
        from resight.views.overlay import draw_explanation

        picture = draw_explanation(self)
        return f'<img src="{data_uri(picture)}" alt="{self.sameness}">'


def explain(
    query: QuerySource,
    other: QuerySource,
    *,
    collection: Path | str | None = None,
    config: str | MethodConfig | None = None,
    box: Box | None = None,
    model: ModelOptions | None = None,
) -> Explanation:
    """Explain a match by a collection's method, or by a configuration without a collection.

    Args:
        query: a photo; it need not be in the collection.
        other: another one.
        collection: whose method, selection, strangers and model to use; a folder, or an address on
            a backend.
        config: a method, a TOML file or a configuration, instead of a collection; None and no
            collection is `auto`.
        box: the region of the query.
        model: weights and device.

    Raises:
        UsageError: a photo cannot be read, the box is not inside the query, both a collection and
            a configuration are given, or the method needs a collection.
        WeightsError: there are no weights.
        CollectionError: see `resight.errors`.
    """
    photos = open_query(query, box), open_query(other)
    for photo in photos:
        _ = photo.image  # can be read, before the network is loaded
    if collection is not None:
        if config is not None:
            raise UsageError("explain: a collection has its own configuration; give one of them")
        with open_store(collection) as opened:
            searcher = Searcher(opened, model)
            sameness = compare_within(opened, searcher.describe, *photos)
            return explain_photos(searcher, *photos, sameness)
    method, _ = resolve_config(config, cam=None)
    if not isinstance(method, ExtractionConfig) or method.learns:
        raise UsageError("explain: the method needs a collection, from whose photos it learns")
    model = model or ModelOptions()
    extractor = FittedMethod(method, find_model(method, model)).load_extractor(model)
    return _explain(extractor, None, *photos, compare(*photos))


def explain_photos(
    searcher: Searcher, query: QueryPhoto, other: QueryPhoto, sameness: Sameness
) -> Explanation:
    """Explain a decision on two photos by the method of an open collection.

    Raises:
        QueryError: a photo cannot be read.
        WeightsError: there are no weights.
    """
    reduction = searcher.store.provenance.reduction()
    return _explain(searcher.extractor(), reduction, query, other, sameness)


def _explain(
    extractor: Extractor,
    reduction: Reduction | None,
    query: QueryPhoto,
    other: QueryPhoto,
    sameness: Sameness,
) -> Explanation:
    from resight.descriptors.cnn_extractor import CnnExtractor

    if isinstance(extractor, CnnExtractor):
        maps = [extractor.feature_maps(extractor.prepare(each.image)) for each in (query, other)]
        areas = explain_maps(
            maps[0],
            maps[1],
            extractor.config,
            classifier=extractor.classifier,
            reduction=reduction,
            state=extractor.state,
        )
    else:
        areas = _explain_features(extractor, reduction, query.image, other.image)
    if query.box is not None:
        areas = _on_whole(areas, query.box, query.size)
    whole = replace(query, box=None).image
    return Explanation(**vars(areas), sameness=sameness, images=(whole, other.image))


def explain_maps(
    query: Sequence[FeatureMaps],
    other: Sequence[FeatureMaps],
    config: ExtractionConfig,
    *,
    classifier: Classifier | None = None,
    reduction: Reduction | None = None,
    state: PoolingState = NO_STATE,
) -> SimilarAreas:
    """Explain why two photos are close, from their feature maps.

    With a classifier, the local descriptors are explained where they are the closer ones. The heat
    is that of the reduced descriptors, of a selection with a whitening that of the selection.
    """
    photos = (query, other)
    pooled = [describe_maps(maps, config, classifier, state) for maps in photos]
    distance_name = config.descriptor_distance if reduction is None else reduction.distance

    def compare(pair: list[np.ndarray]) -> tuple[list[np.ndarray], float]:
        a, b = pair if reduction is None else map(reduction.apply, pair)
        a = to_query(reduction, a)
        return [a, b], float(DISTANCES[distance_name](a, b[None])[0])

    vectors, distance = compare([p.global_ for p in pooled])
    masks = None
    if classifier is not None:
        local, local_distance = compare([p.local for p in pooled if p.local is not None])
        if local_distance < distance:
            vectors, distance = local, local_distance
            masks = [_mask(maps, config, classifier) for maps in photos]
    heats = NO_HEAT, NO_HEAT
    if config.pooling != "netvlad":
        parts = [
            attribute_photo(
                maps, config, mask=masks[i] if masks else None, reduction=reduction, state=state
            )
            for i, maps in enumerate(photos)
        ]
        heats = add_layers(parts[0], parts[1])
    grids = [_on_grid(*pair) for pair in zip(masks, heats, strict=True)] if masks else [None, None]
    return SimilarAreas(
        heat_query=heats[0],
        heat_other=heats[1],
        mask_query=grids[0],
        mask_other=grids[1],
        distance=distance,
        agreement=_agreement(vectors, distance, distance_name),
    )


def _agreement(vectors: Sequence[np.ndarray], distance: float, distance_name: str) -> float:
    """Return the common share of the sum of two descriptors; at unit length, their cosine."""
    total, difference = 1.0, distance
    if distance_name == "manhattan":
        total = float(sum(np.abs(vector).sum() for vector in vectors))
    elif distance_name == "euclidean":
        difference = distance**2 / 2
    return min(1.0, max(0.0, 1 - difference / total)) if total > 0 else 0.0


def _on_grid(mask: np.ndarray, heat: np.ndarray) -> np.ndarray:
    return rescale(mask[None], heat.shape, "nearest")[0] > 0


def _mask(
    resolutions: Sequence[FeatureMaps], config: ExtractionConfig, classifier: Classifier
) -> np.ndarray:
    cam_layer = config.spec.cam_layer
    assert cam_layer is not None  # the configuration checks it
    heat = class_activation_map(fuse(resolutions, cam_layer, config), classifier)
    return cam_mask(heat, config.cam_threshold)


def _explain_features(
    extractor: Extractor, reduction: Reduction | None, query: Image.Image, other: Image.Image
) -> SimilarAreas:
    """Explain descriptors that are aggregated local features; heat is that of VLAD by RootSIFT."""
    from resight.descriptors.local_extractor import LocalExtractor

    config, images = extractor.config, (query, other)
    features = [extractor.prepare(image) for image in images]
    vectors = [extractor.describe(each).global_ for each in features]
    distance_name = config.descriptor_distance
    if reduction is not None:
        distance_name = reduction.distance
        vectors = [to_query(reduction, reduction.apply(vectors[0])), reduction.apply(vectors[1])]
    distance = float(DISTANCES[distance_name](vectors[0], vectors[1][None])[0])
    heats = [NO_HEAT, NO_HEAT]
    if isinstance(extractor, LocalExtractor) and reduction is None and attributable(config):
        of_features = feature_heats(features[0], features[1], extractor.params, extractor.config)
        heats = [
            heat_map(each.points, heat, image.size)
            for each, heat, image in zip(features, of_features, images, strict=True)
        ]
    return SimilarAreas(
        heat_query=heats[0],
        heat_other=heats[1],
        mask_query=None,
        mask_other=None,
        distance=distance,
        agreement=_agreement(vectors, distance, distance_name),
    )


def _on_whole(part: SimilarAreas, box: Box, size: Size) -> SimilarAreas:
    """Convert similar areas of the region `box` to those of the whole photo."""
    mask = part.mask_query
    return replace(
        part,
        heat_query=_lay(part.heat_query, box, size, Image.Resampling.BILINEAR),
        mask_query=None if mask is None else _lay(mask, box, size, Image.Resampling.NEAREST) > 0,
    )


def _lay(cells: np.ndarray, box: Box, size: Size, how: Image.Resampling) -> np.ndarray:
    """Return a map (h, w) of a box on a grid over the whole photo, zero outside, float32."""
    share = BOX_GRID / max(size)
    whole = np.zeros([max(1, round(side * share)) for side in size[::-1]], np.float32)
    x, y, w, h = box
    left, top = (min(int(v * share), n - 1) for v, n in zip((x, y), whole.shape[::-1], strict=True))
    right, bottom = max(left + 1, round((x + w) * share)), max(top + 1, round((y + h) * share))
    right, bottom = min(right, whole.shape[1]), min(bottom, whole.shape[0])
    part = Image.fromarray(cells.astype(np.float32)).resize((right - left, bottom - top), how)
    whole[top:bottom, left:right] = np.asarray(part)
    return whole
