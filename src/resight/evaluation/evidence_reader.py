"""Read the evidence of photos of a collection, in batches."""

import functools
import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime

import cachetools
import numpy as np

from resight.backends.store import Store
from resight.evidence import Evidence
from resight.evidence.encoding import from_bytes, sharpness_of
from resight.photos.images import taken_at

SAMPLED = 100
"""Photos among which evidence is looked for, to know whether the collection keeps any."""
CACHED = 500
"""Maximum number of photos whose decoded evidence is cached, some 150 MB."""
BATCH = 100
"""Pairs whose evidence is read at once."""


class StoredEvidence:
    """Evidence of a photo that is decoded on first use, in any process."""

    def __init__(self, data: bytes | None) -> None:
        self._data = data

    @functools.cached_property
    def decoded(self) -> Evidence | None:
        """The evidence; None if there is none, or it is damaged or of another version."""
        return None if self._data is None else from_bytes(self._data)

    def __reduce__(self) -> tuple[type["StoredEvidence"], tuple[bytes | None]]:
        """Pickle without the decoded form, which is ten times as large."""
        return StoredEvidence, (self._data,)


class EvidenceReader:
    """Reads the evidence of photos of a store; for one thread."""

    def __init__(self, store: Store, ids: np.ndarray) -> None:
        """Look up the contents of the photos `ids`, int64 (N,)."""
        photos = store.photos_by_id(ids.tolist())
        self.contents = [str(photos[id_].content) if id_ in photos else "" for id_ in ids.tolist()]
        self._paths = [photos[id_].path if id_ in photos else None for id_ in ids.tolist()]
        self._store = store
        self._sharpness: dict[str, float] = {}
        self._cache: cachetools.LRUCache[str, StoredEvidence] = cachetools.LRUCache(CACHED)

    def any(self) -> bool:
        """Return whether some photo has evidence."""
        stored = self._load(self.contents[:SAMPLED])
        return any(evidence.decoded is not None for evidence in stored.values())

    def sharpness(self, contents: Iterable[str]) -> dict[str, float]:
        """Return the sharpness of photos by content; without evidence there is none."""
        missing = sorted(set(contents) - self._sharpness.keys())
        for start in range(0, len(missing), BATCH):
            for content, data in self._store.evidence(missing[start : start + BATCH]).items():
                sharpness = sharpness_of(data)
                if sharpness is not None:
                    self._sharpness[content] = sharpness
        return self._sharpness

    def taken(self, row: int) -> datetime | None:
        """Return when the photo in a row was taken, from its file; None if unknown."""
        path = self._paths[row]
        return None if path is None else taken_at(path)

    def pairs(self, rows: np.ndarray) -> Iterator[tuple[StoredEvidence, StoredEvidence]]:
        """Yield the evidence of pairs of rows (P, 2), read in batches."""
        for start in range(0, len(rows), BATCH):
            batch = [
                (self.contents[first], self.contents[second])
                for first, second in rows[start : start + BATCH].tolist()
            ]
            stored = self._load(itertools.chain(*batch))
            for first, second in batch:
                yield stored[first], stored[second]

    def _load(self, contents: Iterable[str]) -> dict[str, StoredEvidence]:
        """Return the evidence of some photos, by content."""
        wanted = dict.fromkeys(contents)
        found = {content: self._cache[content] for content in wanted if content in self._cache}
        missing = wanted.keys() - found.keys()
        if missing:
            data = self._store.evidence(missing)
            for content in sorted(missing):
                found[content] = self._cache[content] = StoredEvidence(data.get(content))
                sharpness = sharpness_of(data[content]) if content in data else None
                if sharpness is not None:
                    self._sharpness[content] = sharpness
        return found
