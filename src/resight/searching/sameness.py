"""Decide whether two photos show the same thing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.backends import Location, open_store
from resight.backends.store import Store, reduced_query
from resight.collection import Photo
from resight.collection.hints import Hints
from resight.evidence import Kind
from resight.methods.model import ModelOptions
from resight.ranking.exact import DISTANCES, Database, distances_to
from resight.ranking.strangers import NEUTRAL, Strangers
from resight.searching import Searcher
from resight.searching.hinted import obey
from resight.searching.nearest import strangers_of
from resight.searching.pipeline import locate_descriptors
from resight.searching.query import (
    Decided,
    QueryPhoto,
    QuerySource,
    Verdict,
    VerifiedMatch,
    open_query,
    verdict_of,
)


@dataclass(frozen=True)
class Sameness:
    """The decision on a pair of photos.

    Attributes:
        probability: that they do, from 0 to 1.
        kind: how the second differs from the first; None where they show something else.
        match: the places that agree, in pixels of the photos.
        distance: between their descriptors; None without a collection.
        hint: whether a person decided it, by the hints of the collection.
    """

    probability: float
    kind: Kind | None
    match: VerifiedMatch | None
    distance: float | None = None
    hint: bool = False

    @property
    def verdict(self) -> Verdict:
        """The probability as a word."""
        return verdict_of(self.probability)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        entry: dict[str, Any] = {"verdict": self.verdict, "probability": self.probability}
        if self.kind is not None:
            entry["kind"] = self.kind
        if self.distance is not None:
            entry["distance"] = self.distance
        if self.hint:
            entry["hint"] = True
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
    closeness, chance, distance, hints = NEUTRAL, 0.0, None, Hints()
    if collection is not None:
        with open_store(collection) as store:
            distance, strangers = _compare(store, *photos, model)
            hints = store.hints()
        if strangers is not None:
            closeness = float(strangers.closeness(np.array([distance]))[0])
            chance = strangers.chance
    decided = _decide(*photos, closeness, chance)
    decided = obey(hints, photos[0].content, photos[1].content, decided)
    return Sameness(decided.probability, decided.kind, decided.match, distance, decided.hint)


def _compare(
    store: Store, first: QueryPhoto, second: QueryPhoto, model: ModelOptions | None
) -> tuple[float, Strangers | None]:
    """Return the distance of two photos in a collection's method, and the strangers of the first.

    The strangers are None where there are too few photos.
    """
    store.check()
    searcher = Searcher(store, model)
    query = locate_descriptors(store, first, searcher.describe)
    stored = None if second.content is None else store.stored_query(second.content)
    other = stored or reduced_query(searcher.describe(second), store.reduction())
    row = Database(
        np.zeros(1, np.int64),
        other.global_[None, :],
        None if other.local is None else other.local[None, :],
    )
    distance = float(distances_to(query, row, DISTANCES[store.distance])[0])
    return distance, strangers_of(store, query)


def _decide(first: QueryPhoto, second: QueryPhoto, closeness: float, chance: float) -> Decided:
    """Decide by the evidence of two photos, and by the closeness of their descriptors."""
    from resight.evidence.extraction import extract_evidence  # imports OpenCV
    from resight.searching.deciding import decide_on

    width, height = second.size
    path = second.path or Path("second")
    photo = Photo(0, path, 0, 0, second.content, width, height, "ok", None)
    evidence = [extract_evidence(each.image) for each in (first, second)]
    (decided,) = decide_on(
        first, evidence[0], [photo], [evidence[1]], np.array([closeness]), chance
    )
    return decided
