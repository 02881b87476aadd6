"""Decide which results of a search show the same thing, by the evidence kept with the collection.

    ids, distances --closeness--> decide --> probability and agreeing places of each

No photo of the collection is read and no network runs.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cachetools
import numpy as np

from resight.backends.store import Searchable
from resight.collection import Photo
from resight.collection.hints import Hints
from resight.descriptors.columns import Columns
from resight.errors import QueryError
from resight.evidence import Evidence
from resight.evidence.encoding import from_bytes
from resight.evidence.probability import by_descriptor
from resight.photos.transforms import bounding_box
from resight.ranking.strangers import Nearness, Strangers, nearness
from resight.searching.expansion import decide_by_views
from resight.searching.hinted import obey_hints
from resight.searching.nearest import CHUNK, DECIDABLE
from resight.searching.query import PROBABLE, Decided, MatchStrength, QueryPhoto, VerifiedMatch

if TYPE_CHECKING:
    from resight.evidence.decision import Decision

NO_HINTS = Hints()
CACHED = 2000
"""Maximum number of photos whose decoded evidence is cached, some 600 MB."""


def no_columns(query: QueryPhoto) -> None:
    """Return no columns, of whatever photo."""


class Decider:
    """Decides on results of searches in one collection; for one thread."""

    def __init__(
        self, store: Searchable, columns_of: Callable[[QueryPhoto], Columns | None] = no_columns
    ) -> None:
        """Decide by the evidence of a store, and by the columns of queries it does not hold."""
        self._store, self._columns_of = store, columns_of
        self._cache: cachetools.LRUCache[str, Evidence | None] = cachetools.LRUCache(CACHED)

    def decide(
        self,
        query: QueryPhoto,
        ids: np.ndarray,
        distances: np.ndarray,
        strangers: Strangers | None,
        hints: Hints = NO_HINTS,
    ) -> list[Decided]:
        """Decide on the first results of a search.

        Args:
            query: the photo.
            ids: of the results, best first, (n,).
            distances: of the results, (n,).
            strangers: of the query; None if there are too few photos.
            hints: are obeyed.

        Returns:
            The decisions on at least the first `CHUNK` results; those behind show something else.
        """
        decided: list[Decided] = []
        compared: list[Evidence | None] = []
        seen: list[Photo | None] = []
        evidence: Evidence | None = None
        for start in range(0, min(len(ids), DECIDABLE), CHUNK):
            chunk = slice(start, start + CHUNK)
            by_id = self._store.photos_by_id(ids[chunk].tolist())
            photos = [by_id.get(id_) for id_ in ids[chunk].tolist()]
            others = self._stored(photos)
            if evidence is None and any(other is not None for other in others):
                evidence = self.evidence_of(query)
            near = nearness(distances[chunk], strangers)
            if evidence is None:
                new = [Decided(float(p), None) for p in by_descriptor(near.log10_nfa)]
            else:
                new = decide_on(query, evidence, photos, others, near)
            new = obey_hints(hints, query, photos, new)
            decided += new
            compared += others
            seen += photos
            if not any(decision.probability >= PROBABLE for decision in new[CHUNK // 2 :]):
                break
        near = nearness(distances[: len(decided)], strangers)
        return decide_by_views(decided, compared, near, seen, hints)

    def evidence_of(self, query: QueryPhoto) -> Evidence | None:
        """Return the evidence of a photo, stored if the collection holds the same file.

        None if it is not stored and the file is gone.
        """
        if query.box is None and query.content is not None:
            (stored,) = self._stored([query])
            if stored is not None:
                return stored
        from resight.evidence.extraction import extract_evidence  # imports OpenCV

        try:
            return extract_evidence(query.image, self._columns_of(query))
        except QueryError:
            return None

    def _stored(self, photos: Sequence[Photo | QueryPhoto | None]) -> list[Evidence | None]:
        """Return the stored evidence of photos, None for those without."""
        contents = [None if photo is None else photo.content for photo in photos]
        missing = [c for c in contents if c is not None and c not in self._cache]
        for content, data in self._store.evidence(missing).items():
            self._cache[content] = from_bytes(data)
        return [None if content is None else self._cache.get(content) for content in contents]


def decide_on(
    query: QueryPhoto,
    evidence: Evidence,
    photos: Sequence[Photo | None],
    others: Sequence[Evidence | None],
    near: Nearness,
) -> list[Decided]:
    """Decide by the evidence of a query and of photos, and by how near these are."""
    from resight.evidence.decision import decide  # imports OpenCV

    return [
        _in_photos(decision, query, evidence, photo, other)
        for decision, photo, other in zip(
            decide(evidence, others, near), photos, others, strict=True
        )
    ]


def _in_photos(
    decision: "Decision",
    query: QueryPhoto,
    evidence: Evidence,
    photo: Photo | None,
    other: Evidence | None,
) -> Decided:
    """Convert a decision from pixels of the copies to those of the photos, and name its kind."""
    from resight.evidence.decision import columns_nfa  # imports OpenCV
    from resight.evidence.kinds import kind_of

    if decision.match is None or other is None or photo is None:
        return Decided(decision.probability, None)
    identical = query.box is None and query.content is not None and query.content == photo.content
    probability = 1.0 if identical else decision.probability
    kind = None
    if probability >= PROBABLE:
        kind = kind_of(evidence, other, decision.match, same_content=identical)
    points, other_points = decision.points(evidence, other)
    at_photo = _scaled(other_points, other, (photo.width or 1, photo.height or 1))
    at_query = _in_query(points, evidence, query)
    match = VerifiedMatch(
        len(points),
        None if at_query is None else bounding_box(at_query),
        bounding_box(at_photo),
        None if at_query is None else np.concatenate([at_query, at_photo], axis=1),
    )
    agreement = MatchStrength(
        decision.match.log10_nfa,
        min(len(evidence), len(other)),
        columns_nfa(evidence, other, decision.columns),
        len(evidence),
    )
    return Decided(probability, match, kind, agreement=agreement)


def _in_query(points: np.ndarray, evidence: Evidence, query: QueryPhoto) -> np.ndarray | None:
    """Convert points of a query's evidence to pixels of it; None if its file is gone by now."""
    try:
        return query.points_in_photo(_scaled(points, evidence, query.image_size))
    except QueryError:
        return None


def _scaled(points: np.ndarray, evidence: Evidence, size: tuple[int, int]) -> np.ndarray:
    """Convert points (n, 2) of evidence to pixels of its photo, of `size`: float32 (n, 2)."""
    ratio = np.array(size) / evidence.size
    return np.clip((points + 0.5) * ratio - 0.5, 0, np.array(size) - 1).astype(np.float32)
