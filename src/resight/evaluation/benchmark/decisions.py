"""Decisions on a benchmark's rankings, by evidence that is made once for all methods."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from resight.backends.local import ArrayStore
from resight.collection import Collection, Photo
from resight.collection.writer import writing
from resight.evaluation.datasets.dataset import DatasetQuery
from resight.evaluation.decisions import (
    Decisions,
    QueryDecisions,
    judge_decisions,
    measure_decisions,
)
from resight.evaluation.measures import Judgement
from resight.indexing.evidence import complete_evidence
from resight.progress import Progress
from resight.ranking.exact import Query
from resight.searching.deciding import Decider
from resight.searching.nearest import Ranking, strangers_of
from resight.searching.query import QueryPhoto


@dataclass(frozen=True)
class StoredEvidence:
    """Evidence of a benchmark's photos and queries, in a collection of the cache.

    Attributes:
        folder: of the collection.
        photos: the collection's rows of the photos, by path.
    """

    folder: Path
    photos: Mapping[Path, Photo]

    def read(self, contents: Iterable[str]) -> dict[str, bytes]:
        """Return the evidence by content."""
        with Collection.open(self.folder) as collection:
            return collection.evidence(contents)


@dataclass(frozen=True)
class ArrayStoreWithEvidence(ArrayStore):
    """Descriptors in memory, and the evidence of their photos in a collection."""

    stored: StoredEvidence = field(kw_only=True)

    def evidence(self, contents: Iterable[str]) -> dict[str, bytes]:
        """Return the evidence by content."""
        return self.stored.read(contents)

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        """Return the rows of the photos in the collection, by ID in the arrays."""
        return {id_: self.stored.photos[self.paths[id_]] for id_ in ids}


def store_evidence(collection: Path, photos: Iterable[Path], progress: Progress) -> StoredEvidence:
    """Make the evidence of described photos in a collection of the cache, unless it is there."""
    with writing(collection) as writer:
        complete_evidence(writer, 1, progress, among=set(photos))
        return StoredEvidence(
            collection, {photo.path: photo for photo in writer.collection.photos("ok")}
        )


class RankingJudge:
    """Decides on the first photos of rankings, and compares the decisions with the ground truth."""

    def __init__(self, store: ArrayStore, rows: np.ndarray, stored: StoredEvidence) -> None:
        """Prepare to decide on photos of a store; `rows` are theirs in the dataset, int (N,)."""
        self._store = ArrayStoreWithEvidence(
            store.database, store.paths, store.config, store.fitted, stored=stored
        )
        self._rows = rows
        self._decider = Decider(self._store)
        self._judged: list[QueryDecisions] = []

    def add(self, query: DatasetQuery, file: Path, descriptors: Query, ranking: Ranking) -> None:
        """Decide on a query's ranking; `file` is that of its region."""
        content = self._store.stored.photos[file].content
        decided = self._decider.decide(
            QueryPhoto(file, file, content=content),
            ranking.ids,
            ranking.distances,
            strangers_of(self._store, descriptors),
        )
        rows = self._rows[ranking.ids[: len(decided)]].tolist()
        probabilities = {
            row: decision.probability for row, decision in zip(rows, decided, strict=True)
        }
        self._judged.append(judge_decisions(probabilities, _judgement(query)))

    def measure(self) -> Decisions:
        """Return the measures of all queries."""
        return measure_decisions(self._judged)


def _judgement(query: DatasetQuery) -> Judgement:
    """Return the judgement of a query with the most positives; its own photo is junk."""
    own = frozenset() if query.row is None else frozenset([query.row])
    judgements: Sequence[Judgement] = [
        Judgement(one.positives - own, one.junk | own) for one in query.judgements.values()
    ]
    return max(judgements, key=lambda judgement: len(judgement.positives - judgement.junk))
