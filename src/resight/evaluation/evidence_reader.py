"""Read the evidence of photos of a collection, in batches."""

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


class EvidenceReader:
    """Decodes the evidence of photos of a store; for one thread."""

    def __init__(self, store: Store, ids: np.ndarray) -> None:
        """Look up the contents of the photos `ids`, int64 (N,)."""
        photos = store.photos_by_id(ids.tolist())
        self.contents = [str(photos[id_].content) if id_ in photos else "" for id_ in ids.tolist()]
        self._paths = [photos[id_].path if id_ in photos else None for id_ in ids.tolist()]
        self._store = store
        self._sharpness: dict[str, float] = {}
        self._cache: cachetools.LRUCache[str, Evidence | None] = cachetools.LRUCache(CACHED)

    def any(self) -> bool:
        """Return whether some photo has evidence."""
        rows = range(min(SAMPLED, len(self.contents)))
        self.load(rows)
        return any(self.read(row) is not None for row in rows)

    def load(self, rows: Iterable[int]) -> None:
        """Read the evidence of at most `CACHED` photos at once, so that `read` is fast."""
        missing = {self.contents[row] for row in rows} - self._cache.keys()
        if missing:
            stored = self._store.evidence(missing)
            for content in missing:
                data = stored.get(content)
                evidence = None if data is None else from_bytes(data)
                self._cache[content] = evidence
                if evidence is not None:
                    self._sharpness[content] = evidence.sharpness

    def read(self, row: int) -> Evidence | None:
        """Return the evidence of the photo in a row; None if it has none."""
        content = self.contents[row]
        if content not in self._cache:
            self.load([row])
        return self._cache[content]

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

    def pairs(self, rows: np.ndarray) -> Iterator[tuple[Evidence | None, Evidence | None]]:
        """Yield the evidence of pairs of rows (P, 2), read in batches."""
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            self.load(np.unique(batch).tolist())
            for first, second in batch.tolist():
                yield self.read(first), self.read(second)
