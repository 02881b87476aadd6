"""Decide whether two photos show the same thing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resight.backends import Location, open_store
from resight.backends.store import Store, reduced_query
from resight.collection import Photo
from resight.config import SearchConfig
from resight.descriptors.extractor import Description
from resight.evidence import Kind
from resight.methods.model import ModelOptions
from resight.ranking.exact import DISTANCES, Database, Query, distances_to
from resight.ranking.strangers import Nearness, nearness
from resight.searching import Searcher
from resight.searching.hinted import obey
from resight.searching.nearest import Ranking, rank_by_distance
from resight.searching.pipeline import Described, locate_descriptors
from resight.searching.query import (
    Decided,
    QueryPhoto,
    QuerySource,
    Verdict,
    VerifiedMatch,
    open_query,
    verdict_of,
)

if TYPE_CHECKING:
    from resight.searching.deciding import Decider

VERDICTS: dict[Verdict, str] = {
    "same": "same thing",
    "probable": "probably the same thing",
    "different": "not the same thing",
}
KINDS: dict[Kind, str] = {
    "copy": "identical file",
    "resized": "resized or re-saved",
    "crop": "cropped",
    "edited": "edited",
    "mirrored": "mirrored",
    "rotated": "rotated",
    "view": "another view",
}


@dataclass(frozen=True)
class Sameness:
    """The decision on a pair of photos.

    Attributes:
        probability: that they do, from 0 to 1.
        kind: how the second differs from the first; None where they show something else.
        match: the places that agree, in pixels of the photos.
        distance: between their descriptors; None without a collection.
        hint: the decision is a person's, remembered in the collection.
    """

    probability: float
    kind: Kind | None
    match: VerifiedMatch | None
    distance: float | None = None
    hint: bool = False

    def __str__(self) -> str:
        """Return the decision as a phrase.

        >>> print(Sameness(0.981, "crop", VerifiedMatch(61, None, None)))
        same thing (98 %), cropped: 61 places agree
        """
        kind = f", {KINDS[self.kind]}" if self.kind else ""
        count = self.match.inliers if self.match else 0
        places = f"{count or 'no'} place{' agrees' if count == 1 else 's agree'}"
        return f"{VERDICTS[self.verdict]} ({100 * self.probability:.0f} %){kind}: {places}"

    @property
    def verdict(self) -> Verdict:
        """The probability as a word."""
        return verdict_of(self.probability)

    @property
    def places(self) -> np.ndarray:
        """The places that agree, see `VerifiedMatch`, float32 (n, 4)."""
        if self.match is None or self.match.places is None:
            return np.zeros((0, 4), np.float32)
        return self.match.places

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        entry: dict[str, Any] = {"verdict": self.verdict, "probability": self.probability}
        if self.kind is not None:
            entry["kind"] = self.kind
        if self.hint:
            entry["hint"] = True
        if self.distance is not None:
            entry["distance"] = self.distance
        return entry | (self.match.to_dict() if self.match else {})


def same(
    first: QuerySource,
    second: QuerySource,
    *,
    collection: Location | None = None,
    model: ModelOptions | None = None,
) -> Sameness:
    """Decide whether two photos show the same thing.

    Without a collection only the local features decide: then photos count as different where these
    do not agree, as at night or from another side.

    Args:
        first: a file, or an upright image: PIL, or uint8 (H, W, 3).
        second: the other photo.
        collection: compare the photos' descriptors as well, by the method of this collection and
            against the strangers in it; its hints are obeyed.
        model: weights, runtime and device, for photos that the collection does not hold.

    Raises:
        QueryError: one of the photos cannot be read.
        CollectionError: the collection is empty.
        WeightsError: a photo must be described and there are no weights.
    """
    photos = open_query(first), open_query(second)
    if collection is None:
        return compare(*photos)
    with open_store(collection) as store:
        return compare_within(store, Searcher(store, model).describe, *photos)


def compare(
    first: QueryPhoto,
    second: QueryPhoto,
    near: Nearness | None = None,
    decider: "Decider | None" = None,
) -> Sameness:
    """Decide by the evidence of two photos, and by how near their descriptors are, if known.

    A decider knows the evidence of a collection's photos, and the columns of others.

    Raises:
        QueryError: one of the photos cannot be read.
    """
    from resight.evidence.extraction import extract_evidence  # imports OpenCV
    from resight.searching.deciding import decide_on

    width, height = second.size
    path = second.path or Path("second")
    photo = Photo(0, path, 0, 0, second.content, width, height, "ok", None)
    evidence = [
        (decider and decider.evidence_of(each)) or extract_evidence(each.image)
        for each in (first, second)
    ]
    near = near or Nearness.unknown(1)
    (decided,) = decide_on(first, evidence[0], [photo], [evidence[1]], near)
    return Sameness(decided.probability, decided.kind, decided.match)


def compare_within(
    store: Store,
    describe: Callable[[QueryPhoto], Description],
    first: QueryPhoto,
    second: QueryPhoto,
) -> Sameness:
    """Decide also by the descriptors of two photos, against the strangers in a collection.

    The decision on a photo that a search with the first decides on is that of the search.

    Args:
        store: the collection.
        describe: computes the descriptors of a photo that the collection does not hold.
        first: a photo.
        second: the other one.

    Raises:
        QueryError: one of the photos cannot be read.
        CollectionError: the collection is empty.
        WeightsError: a photo must be described and there are no weights.
    """
    from resight.searching.deciding import Decider  # imports OpenCV

    store.check()
    described = Described(describe)
    decider = Decider(store, described.columns)
    query = locate_descriptors(store, first, described)
    ranking = rank_by_distance(store, query, SearchConfig(), None)
    found = _decide_in_search(store, decider, ranking, first, second.content)
    if found is None:
        distance = _distance(store, described, query, second)
        near = nearness(np.array([distance]), ranking.strangers)
        found = replace(compare(first, second, near, decider), distance=distance)
    content = first.content if first.box is None else None
    decided = Decided(found.probability, found.match, found.kind)
    obeyed = obey(store.hints(), content, second.content, decided)
    return replace(found, probability=obeyed.probability, kind=obeyed.kind, hint=obeyed.hint)


def _decide_in_search(
    store: Store, decider: "Decider", ranking: Ranking, first: QueryPhoto, content: str | None
) -> Sameness | None:
    """Return the decision of a search on the photo with a content; None if it does not compare it.

    Its strangers tell what of the photos is background.
    """
    photos = store.photos_by_id(ranking.ids.tolist())
    contents = [photos[id_].content if id_ in photos else None for id_ in ranking.ids.tolist()]
    if content is None or content not in contents:
        return None
    rank = contents.index(content)
    decisions = decider.decide(
        first, ranking.ids, ranking.distances, ranking.strangers, store.hints()
    )
    if rank >= len(decisions) or decisions[rank].match is None:
        return None
    decided = decisions[rank]
    distance = float(ranking.distances[rank])
    return Sameness(decided.probability, decided.kind, decided.match, distance)


def _distance(
    store: Store, describe: Callable[[QueryPhoto], Description], query: Query, photo: QueryPhoto
) -> float:
    """Return the distance of a query to a photo, in the collection or not."""
    stored = None if photo.content is None else store.stored_query(photo.content)
    other = stored or reduced_query(describe(photo), store.reduction())
    row = Database(
        np.zeros(1, np.int64),
        other.global_[None, :],
        None if other.local is None else other.local[None, :],
    )
    return float(distances_to(query, row, DISTANCES[store.distance])[0])
