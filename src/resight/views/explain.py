"""Explanations of a match: heat maps, masks and matching places of two photos.

`heatmaps` explains the descriptors of a network and those of SIFT; `overlay` draws them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from resight.backends import open_store
from resight.config import ExtractionConfig, MethodConfig
from resight.descriptors.extractor import Extractor
from resight.descriptors.fusion import rescale
from resight.descriptors.local_features.rootsift import root_sift
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
from resight.photos.transforms import Box, check_box, crop_box
from resight.ranking.exact import DISTANCES, Distance, manhattan
from resight.ranking.geometry import verify
from resight.reductions import Reduction, to_query
from resight.reductions.combined import SelectionPlusWhitening
from resight.reductions.pfa import Selection
from resight.searching import Searcher
from resight.searching.query import QuerySource, open_query
from resight.views.attribution import attribute_photo
from resight.views.heatmaps import add_layers, column_matches, feature_heats, heat_map

if TYPE_CHECKING:
    from resight.descriptors.local_extractor import LocalExtractor

BOX_GRID = 320
"""Cells along the longer side of the heat map of a whole photo with a box."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Explanation:
    """The reasons for a match.

    Maps cover the whole upright photo, row by row, whatever their number of cells; with a box the
    query's are zero outside of it.

    Attributes:
        heat_query: float32 (h, w), 0 to 1: how much each place of the query makes the photos
            close; zeros where they have nothing in common.
        heat_other: float32 (h', w'), the same for the other photo.
        mask_query: bool (h, w), the places above the threshold of the class activation map, where
            the masked descriptors were the closer ones; else None.
        mask_other: bool (h', w'), the same for the other photo.
        matches: float32 (M, 4), places that match and agree on one geometry: x and y in the
            query, x and y in the other, in pixels of the upright photos.
        distance: as in a search of the collection.
        agreement: share of the two descriptors that is common, 0 to 1.
        images: the upright query and the other photo, RGB; None if only maps were explained.
    """

    heat_query: np.ndarray
    heat_other: np.ndarray
    mask_query: np.ndarray | None
    mask_other: np.ndarray | None
    matches: np.ndarray
    distance: float
    agreement: float
    images: tuple[Image.Image, Image.Image] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return distance, agreement and matches as JSON values, without the maps."""
        return {
            "distance": self.distance,
            "agreement": self.agreement,
            "inliers": self.inliers,
            "matches": self.matches.tolist(),
        }

    def _repr_html_(self) -> str | None:
        """Draw the explanation in a notebook."""
        from resight.views.overlay import draw_explanation

        if self.images is None:
            return None
        picture = draw_explanation(*self.images, self)
        return f'<img src="{data_uri(picture)}" alt="explanation of the match">'

    @property
    def inliers(self) -> int:
        """Number M of matches."""
        return len(self.matches)


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
        collection: whose method, selection and model to use; a folder, or an address on a backend.
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
    images = open_query(query).image, open_query(other).image
    if box is not None:
        check_box(box, images[0].size)  # before the network is loaded
    if collection is not None:
        if config is not None:
            raise UsageError("explain: a collection has its own configuration; give one of them")
        with open_store(collection) as opened:
            return explain_images(Searcher(opened, model), *images, box=box)
    method, _ = resolve_config(config, cam=None)
    if not isinstance(method, ExtractionConfig) or method.learns:
        raise UsageError("explain: the method needs a collection, from whose photos it learns")
    model = model or ModelOptions()
    extractor = FittedMethod(method, find_model(method, model)).load_extractor(model)
    return _explain(extractor, None, manhattan, *images, box)


def explain_images(
    searcher: Searcher, query: Image.Image, other: Image.Image, *, box: Box | None = None
) -> Explanation:
    """Explain the match of two upright RGB photos by the method of an open collection.

    Raises:
        UsageError: the box is not inside the query.
        WeightsError: there are no weights.
    """
    provenance = searcher.store.provenance
    distance = DISTANCES[provenance.distance]
    return _explain(searcher.extractor(), provenance.reduction(), distance, query, other, box)


def _explain(
    extractor: Extractor,
    selection: Reduction | None,
    distance: Distance,
    query: Image.Image,
    other: Image.Image,
    box: Box | None,
) -> Explanation:
    from resight.descriptors.local_extractor import LocalExtractor

    part = query if box is None else crop_box(query, box)
    if isinstance(extractor, LocalExtractor):
        explanation = _explain_sift(extractor, distance, part, other)
    else:
        explanation = _explain_cnn(extractor, selection, part, other)
    if box is not None:
        explanation = _on_whole(explanation, box, query.size)
    return replace(explanation, images=(query, other))


def _explain_cnn(
    extractor: Extractor, selection: Reduction | None, query: Image.Image, other: Image.Image
) -> Explanation:
    from resight.descriptors.cnn_extractor import CnnExtractor

    if not isinstance(extractor, CnnExtractor):
        raise UsageError(f"explain: does not know the method {type(extractor).__name__}")
    config = extractor.config
    a, b = (extractor.feature_maps(extractor.prepare(image)) for image in (query, other))
    result = explain_maps(
        a, b, config, classifier=extractor.classifier, reduction=selection, state=extractor.state
    )
    stage = config.spec.matching_layer
    columns = fuse(a, stage, config), fuse(b, stage, config)
    return replace(result, matches=column_matches(*columns, query.size, other.size))


def explain_maps(
    query: Sequence[FeatureMaps],
    other: Sequence[FeatureMaps],
    config: ExtractionConfig,
    *,
    classifier: Classifier | None = None,
    reduction: Reduction | None = None,
    state: PoolingState = NO_STATE,
) -> Explanation:
    """Explain why two photos are close, from their feature maps; without matches.

    With a classifier, the local descriptors are explained where they are the closer ones. With a
    selection only its values count; with whitening the heat is that of the values before it, and
    the distance is that after it.

    Raises:
        UsageError: the pooling is NetVLAD.
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
    selection = reduction
    if isinstance(reduction, SelectionPlusWhitening):
        selection = reduction.selection
    parts = [
        attribute_photo(
            maps,
            config,
            mask=masks[i] if masks else None,
            selection=selection if isinstance(selection, Selection) else None,
            state=state,
        )
        for i, maps in enumerate(photos)
    ]
    heats = add_layers(parts[0], parts[1])
    # The common share of the sum; for vectors of unit length the cosine.
    total, difference = 1.0, distance
    if distance_name == "manhattan":
        total = float(sum(np.abs(vector).sum() for vector in vectors))
    elif distance_name == "euclidean":
        difference = distance**2 / 2
    grids = [_on_grid(*pair) for pair in zip(masks, heats, strict=True)] if masks else [None, None]
    return Explanation(
        heat_query=heats[0],
        heat_other=heats[1],
        mask_query=grids[0],
        mask_other=grids[1],
        matches=np.zeros((0, 4), np.float32),
        distance=distance,
        agreement=min(1.0, max(0.0, 1 - difference / total)) if total > 0 else 0.0,
    )


def _on_grid(mask: np.ndarray, heat: np.ndarray) -> np.ndarray:
    return rescale(mask[None], heat.shape, "nearest")[0] > 0


def _mask(
    resolutions: Sequence[FeatureMaps], config: ExtractionConfig, classifier: Classifier
) -> np.ndarray:
    cam_layer = config.spec.cam_layer
    assert cam_layer is not None  # the configuration checks it
    heat = class_activation_map(fuse(resolutions, cam_layer, config), classifier)
    return cam_mask(heat, config.cam_threshold)


def _explain_sift(
    extractor: "LocalExtractor", distance: Distance, query: Image.Image, other: Image.Image
) -> Explanation:
    config = extractor.config
    if (config.features, config.aggregation, config.assigned) != ("rootsift", "vlad", 1):
        raise UsageError(f"explain: does not know {config.aggregation} of {config.features}")
    vocabulary = extractor.params["words"]
    first, second = root_sift(query, config), root_sift(other, config)
    heat, other_heat = feature_heats(first, second, vocabulary, config.power)
    a, b = (extractor.describe(features).global_ for features in (first, second))
    return Explanation(
        heat_query=heat_map(first.points, heat, query.size),
        heat_other=heat_map(second.points, other_heat, other.size),
        mask_query=None,
        mask_other=None,
        matches=verify(first, second).points(first, second),
        distance=float(distance(a, b[None])[0]),
        # Both vectors have unit length (or are zero), whatever distance the collection uses.
        agreement=min(1.0, max(0.0, float(a @ b))),
    )


def _on_whole(part: Explanation, box: Box, size: Size) -> Explanation:
    """Convert an explanation of the region `box` to one of the whole photo."""
    matches = part.matches.copy()
    matches[:, :2] += box[:2]
    mask = part.mask_query
    return replace(
        part,
        heat_query=_lay(part.heat_query, box, size, Image.Resampling.BILINEAR),
        mask_query=None if mask is None else _lay(mask, box, size, Image.Resampling.NEAREST) > 0,
        matches=matches,
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
