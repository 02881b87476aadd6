"""Explanations of a match: heat maps, masks and matching places of two photos.

`heatmaps` explains the descriptors of a network and those of SIFT; `overlay` draws them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from resight.backends.open import open_store
from resight.config import ExtractionConfig, MethodConfig
from resight.descriptors.extractor import Extractor
from resight.errors import UsageError
from resight.methods import load_config
from resight.methods.model import FittedMethod, ModelOptions, find_model
from resight.photos.transforms import Box, check_box, crop_box
from resight.ranking.exact import DISTANCES, Distance, manhattan
from resight.reductions import Reduction
from resight.searching.query import QuerySource, open_query
from resight.searching.searcher import Searcher

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
        inliers: the number M of them.
        distance: as in a search of the collection.
        agreement: share of the two descriptors that is common, 0 to 1.
    """

    heat_query: np.ndarray
    heat_other: np.ndarray
    mask_query: np.ndarray | None
    mask_other: np.ndarray | None
    matches: np.ndarray
    inliers: int
    distance: float
    agreement: float


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
            collection is `paper`.
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
    method = config if config is not None and not isinstance(config, str) else None
    method = method or load_config(str(config or "paper"))[0]
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
    return explanation if box is None else _on_whole(explanation, box, query.size)


def _explain_cnn(
    extractor: Extractor, selection: Reduction | None, query: Image.Image, other: Image.Image
) -> Explanation:
    from resight.descriptors.cnn_extractor import CnnExtractor
    from resight.descriptors.pipeline import fuse
    from resight.views.heatmaps import column_matches, explain_maps

    if not isinstance(extractor, CnnExtractor):
        raise UsageError(f"explain: does not know the method {type(extractor).__name__}")
    config = extractor.config
    a, b = (extractor.feature_maps(extractor.prepare(image)) for image in (query, other))
    result = explain_maps(
        a,
        b,
        config,
        classifier=extractor.classifier,
        reduction=selection,
        state=extractor.state,
    )
    stage = config.spec.matching_layer
    columns = fuse(a, stage, config), fuse(b, stage, config)
    matches = column_matches(*columns, query.size, other.size)
    mask_query, mask_other = result.masks or (None, None)
    return Explanation(
        heat_query=result.heats[0],
        heat_other=result.heats[1],
        mask_query=mask_query,
        mask_other=mask_other,
        matches=matches,
        inliers=len(matches),
        distance=result.distance,
        agreement=result.agreement,
    )


def _explain_sift(
    extractor: "LocalExtractor", distance: Distance, query: Image.Image, other: Image.Image
) -> Explanation:
    from resight.descriptors.local_features.rootsift import root_sift
    from resight.views.heatmaps import feature_heats, feature_matches, heat_map

    config = extractor.config
    if (config.features, config.aggregation, config.assigned) != ("rootsift", "vlad", 1):
        raise UsageError(f"explain: does not know {config.aggregation} of {config.features}")
    vocabulary = extractor.params["words"]
    first, second = root_sift(query, config), root_sift(other, config)
    heat, other_heat = feature_heats(first, second, vocabulary, config.power)
    matches = feature_matches(first, second)
    a, b = (extractor.describe(features).global_ for features in (first, second))
    return Explanation(
        heat_query=heat_map(first.points, heat, query.size),
        heat_other=heat_map(second.points, other_heat, other.size),
        mask_query=None,
        mask_other=None,
        matches=matches,
        inliers=len(matches),
        distance=float(distance(a, b[None])[0]),
        # Both vectors have unit length (or are zero), whatever distance the collection uses.
        agreement=min(1.0, max(0.0, float(a @ b))),
    )


def _on_whole(part: Explanation, box: Box, size: Size) -> Explanation:
    """Convert an explanation of the region `box` to one of the whole photo."""
    matches = part.matches.copy()
    matches[:, 0] += box[0]
    matches[:, 1] += box[1]
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
