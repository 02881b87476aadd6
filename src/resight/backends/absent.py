"""A collection in a folder that does not exist yet."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import numpy as np

from resight.backends.store import Filter, Store
from resight.collection import Photo, State
from resight.collection.provenance import ProvenanceSnapshot
from resight.errors import CollectionEmptyError
from resight.methods import resolve_config
from resight.ranking.exact import Database, Neighbors, Query
from resight.reductions import Reduction


class AbsentStore(Store):
    """A collection without a database: it has no photos, and the default method."""

    def __init__(self, name: str) -> None:
        method, reduction = resolve_config(None, None)
        values = {"config": method.to_dict(), "selection_config": reduction.to_dict()}
        self.name = name
        self._provenance = ProvenanceSnapshot(name, values, {}, {})

    @property
    def provenance(self) -> ProvenanceSnapshot:
        return self._provenance

    def close(self) -> None:
        pass

    def check(self, *, approximate: bool = False) -> NoReturn:
        raise CollectionEmptyError(f"{self.name}: holds no photos yet; index some")

    def snapshot(self) -> "AbsentStore":
        return self

    def stamp(self) -> str:
        self.check()

    def reduction(self) -> Reduction | None:
        return None

    def count(self, state: State) -> int:
        return 0

    def ids(self) -> np.ndarray:
        return np.empty(0, np.int64)

    def rows(self, ids: np.ndarray) -> Database:
        self.check()

    def nearest(
        self,
        queries: Sequence[Query],
        k: int,
        where: Filter | None = None,
        *,
        approximate: bool = False,
    ) -> list[Neighbors]:
        self.check()

    def photos(self, state: State) -> Iterator[Photo]:
        return iter(())

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        return {}

    def photos_after(self, after: int, count: int) -> list[Photo]:
        return []

    def photos_under(self, place: Path) -> list[Photo]:
        return []

    def photos_where(self, where: Filter) -> list[Photo]:
        return []

    def taken_times(self, photos: Sequence[Photo]) -> dict[int, datetime]:
        return {}

    def stored_query(self, content: str) -> Query | None:
        return None
