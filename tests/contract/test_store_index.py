"""The real indexes of remote backends return what an exhaustive scan returns."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from environment import ROOT
from resight.backends.store import Filter, as_query
from resight.backends.transfer import prepare, upload
from resight.collection import Collection
from resight.collection.writer import writing
from resight.config import BackendConfig
from resight.ranking.exact import Database, Query, distances_to, euclidean, nearest
from store_samples import Sample, Stores, make, record, stores

__all__ = ["stores"]

COUNT, QUERIES, VALUES, K = 400, 20, 768, 10
INDEXED = ["postgres", "qdrant-engine", "qdrant-server"]


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Sample, list[Query]]:
    """Make a collection of realistic descriptors, two for each photo, and similar queries."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from harness import draw_descriptors

    rng = np.random.default_rng(0)
    rows = draw_descriptors(2 * COUNT, rng)
    sample = make(tmp_path / "c", 0, cam=True, keep=np.arange(VALUES))
    sample.global_, sample.local = rows[:COUNT], rows[COUNT:]
    with writing(sample.folder) as writer:
        record(writer, sample, *range(COUNT))
    values = rows[rng.integers(0, len(rows), (QUERIES, 2))]
    values = (values * np.exp(rng.normal(0, 0.2, values.shape))).astype(np.float32)
    return sample, [Query(*sides) for sides in values]


@pytest.mark.parametrize("config", [{}, {"half": True}], ids=str)
@pytest.mark.parametrize("stores", INDEXED, indirect=True)
def test_index_equals_an_exhaustive_scan(
    stores: Stores,
    drawn: tuple[Sample, list[Query]],
    config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if config and stores.kind != "postgres":
        pytest.skip("PostgreSQL only")
    monkeypatch.setattr("resight.backends.postgres.MIN_INDEXED_PHOTOS", COUNT)
    (sample, queries), remote = drawn, stores.remote()
    with Collection.open(sample.folder) as opened:
        prepare(opened, remote, BackendConfig(**config))
        upload(opened, remote)
    remote.build_index(lambda what, done, total: None)
    row_of = {photo.id: sample.paths.index(photo.path) for photo in remote.photos("ok")}
    # A filter lets one folder of forty through.
    for where, allowed in [(None, range(COUNT)), (Filter(Path("/photos/7")), range(70, 80))]:
        rows = np.array(allowed)
        database = Database(rows, sample.global_[rows], sample.local[rows])
        shares = []
        for query, found in zip(queries, remote.nearest(queries, K, where), strict=True):
            numbers = np.array([row_of[id_] for id_ in found.ids.tolist()])
            exact = distances(query, sample)[numbers]
            np.testing.assert_allclose(found.distances, exact, rtol=0, atol=1e-5)
            shares.append(np.isin(nearest(query, database, K).ids, numbers).mean())
        assert np.mean(shares) >= 0.99
    if stores.kind == "postgres":  # which takes the index of the paths for one folder
        server = request.getfixturevalue("postgres")
        assert searches_by_index(server, remote) >= 2 * len(queries)
    if stores.kind == "qdrant-engine":
        assert stores.indexed(remote) == 4 * COUNT  # those before the selection are counted, too


@pytest.mark.parametrize("stores", INDEXED, indirect=True)
def test_index_of_an_adapted_collection(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries lack the values that correct the photos' distances; the index finds them anyway."""
    monkeypatch.setattr("resight.backends.postgres.MIN_INDEXED_PHOTOS", COUNT)
    sample = make(tmp_path / "c", COUNT, cam=True, adapted=True)
    remote = stores.of(sample)
    with Collection.open(sample.folder) as opened:
        reduction = opened.reduction()
    assert reduction is not None
    assert sample.local is not None
    sides = reduction.apply(sample.global_), reduction.apply(sample.local)
    database = Database(np.arange(COUNT), *sides)
    queries = [
        as_query(Query(sides[0][row], sides[1][row + 1]), reduction) for row in range(QUERIES)
    ]
    row_of = {photo.id: sample.paths.index(photo.path) for photo in remote.photos("ok")}
    shares = []
    for query, found in zip(queries, remote.nearest(queries, K), strict=True):
        expected = nearest(query, database, K, euclidean)
        numbers = np.array([row_of[id_] for id_ in found.ids.tolist()])
        exact = distances_to(query, database, euclidean)[numbers]
        np.testing.assert_allclose(found.distances, exact, rtol=0, atol=1e-4)
        # Copies are at the same distance.
        shares.append(np.mean(found.distances <= expected.distances[-1] + 1e-4))
    assert np.mean(shares) >= 0.99


def distances(query: Query, sample: Sample) -> np.ndarray:
    """Compute the distance of every photo the slow way, in double precision."""
    sides = zip((query.global_, query.local), (sample.global_, sample.local), strict=True)
    return np.min(
        [np.abs(rows - values.astype(np.float64)).sum(axis=1) for values, rows in sides], 0
    )


def searches_by_index(server: Any, remote: Any) -> int:
    """Return how often the server searched the indexes; connections report it when closed."""
    number = remote.stamp().partition("-")[0]
    remote.close()
    count = (
        "SELECT sum(idx_scan) FROM pg_stat_user_indexes "
        f"WHERE indexrelname IN ('photos_{number}_global', 'photos_{number}_local')"
    )
    for _ in range(100):
        found = int(server.execute(count)[0][0])
        if found:
            break
        time.sleep(0.05)
    return found
