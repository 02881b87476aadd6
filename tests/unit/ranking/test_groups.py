"""Groups against brute force, by hand, and on collections with a reference answer."""

import csv
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from database_groups import find_groups, neighbor_lists
from resight.ranking.exact import Database, manhattan
from resight.ranking.groups import (
    MAX_DIVIDED,
    MIN_PHOTOS,
    NEAR_DUPLICATE,
    RELATIVE_LIMIT,
    Group,
    Groups,
    NeighborLists,
    estimate_limit,
    group_photos,
)


def on_a_line(*places: float) -> Database:
    values = np.array(places, np.float32)[:, None]
    return Database(np.arange(1, len(places) + 1) * 10, values)


def scattered(count: int, seed: int, size: int = 160) -> np.ndarray:
    """Photos without repeats: whitened descriptors of unit length."""
    mixed = np.random.default_rng(seed).normal(size=(count, size))
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


def with_views(things: int, views: int, singles: int, noise: float, seed: int) -> Database:
    """Draw `things` photographed `views` times each, then photos of something else each."""
    rng = np.random.default_rng(seed)
    base = scattered(things + singles, seed)
    rows = np.concatenate([np.repeat(base[:things], views, axis=0), base[things:]])
    rows[: things * views] += noise * rng.normal(size=(things * views, base.shape[1]))
    return Database(np.arange(len(rows)), rows.astype(np.float32))


def pairs_in(groups: list[Group]) -> set[tuple[int, int]]:
    return {pair for group in groups for pair in itertools.combinations(group.ids, 2)}


def test_lists_by_hand() -> None:
    lists = neighbor_lists(on_a_line(0, 1, 3, 3), k=2)
    assert lists.rows.tolist() == [[1, 2], [0, 2], [3, 1], [2, 1]]
    assert lists.distances.tolist() == [[1, 3], [1, 2], [0, 2], [0, 2]]


@given(
    values=st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=0, max_size=14),
    k=st.integers(1, 20),
    local=st.booleans(),
)
def test_lists_are_the_nearest_others(values: list[tuple[int, ...]], k: int, local: bool) -> None:
    rows = np.array(values, np.float32).reshape(-1, 3)
    database = Database(np.arange(len(rows)), rows, rows[::-1].copy() if local else None)
    lists = neighbor_lists(database, k=k)
    assert lists.rows.shape == (len(rows), max(0, min(k, len(rows) - 1)))
    for i in range(len(rows)):
        distances = np.abs(rows - rows[i]).sum(axis=1)
        if local:
            distances = np.minimum(distances, np.abs(rows[::-1] - rows[::-1][i]).sum(axis=1))
        expected = sorted((d, j) for j, d in enumerate(distances) if j != i)[:k]
        assert lists.rows[i].tolist() == [j for _, j in expected]
        assert lists.distances[i].tolist() == [d for d, _ in expected]


def test_groups_by_hand() -> None:
    # 10-20 copies, 30 another view of them; 50-60 two views; 40 and 70 are single.
    lists = neighbor_lists(on_a_line(0, 0.1, 2, 50, 100, 102.5, 200))
    assert group_photos(lists, limit=3) == [
        Group("same-thing", (10, 20, 30)),
        Group("near-duplicate", (10, 20)),
        Group("same-thing", (50, 60)),
    ]
    assert group_photos(lists, limit=0.3) == [Group("near-duplicate", (10, 20))]
    assert group_photos(lists, limit=0.2) == [Group("same-thing", (10, 20))]
    assert group_photos(lists, limit=0.05) == []


def test_a_limit_of_zero_joins_only_copies() -> None:
    lists = neighbor_lists(on_a_line(5, 1, 5, 2, 5))
    assert group_photos(lists, 0.0) == [Group("near-duplicate", (10, 30, 50))]


def test_both_must_be_near_to_one_another() -> None:
    # 30's nearest is 20, but 20's nearest is 10.
    lists = neighbor_lists(on_a_line(0, 1, 2.2))
    assert group_photos(lists, 1.8, mutual=1) == [Group("same-thing", (10, 20))]
    assert group_photos(lists, 1.8, mutual=2) == [Group("same-thing", (10, 20, 30))]
    assert group_photos(lists, 9.0, mutual=1) == [Group("near-duplicate", (10, 20, 30))]


def test_a_chain_is_divided() -> None:
    # Each is near the next one, but the ends are far apart.
    lists = neighbor_lists(on_a_line(0, 1, 2.1, 3.1))
    assert group_photos(lists, 1.2) == [
        Group("same-thing", (10, 20)),
        Group("same-thing", (30, 40)),
    ]


@given(
    places=st.lists(st.floats(0, 60, width=32), min_size=0, max_size=12, unique=True),
    limit=st.integers(1, 30),
)
def test_groups_are_those_of_average_linkage(places: list[float], limit: int) -> None:
    lists = neighbor_lists(on_a_line(*places))
    values = np.array(places, np.float32)
    clusters = [{i} for i in range(len(places))]
    while len(clusters) > 1:
        means = {
            (a, b): float(np.mean([abs(values[i] - values[j]) for i in a for j in b]))
            for a, b in itertools.combinations(map(frozenset, clusters), 2)
        }
        ordered = sorted(means.values())
        assume(abs(ordered[0] - limit) > 1e-3)  # rounding decides
        assume(len(ordered) < 2 or ordered[1] - ordered[0] > 1e-3)
        if ordered[0] > limit:
            break
        a, b = min(means, key=means.__getitem__)
        clusters = [c for c in clusters if c not in (a, b)] + [set(a | b)]
    expected = {tuple(10 * (i + 1) for i in sorted(c)) for c in clusters if len(c) > 1}
    # Few enough photos that each is among the nearest of all.
    groups = group_photos(lists, float(limit), mutual=11)
    copies = {g.ids for g in groups if g.kind == "near-duplicate"}
    assert {g.ids for g in groups if g.kind == "same-thing"} == expected - copies
    assert [g.ids[0] for g in groups] == sorted(g.ids[0] for g in groups)


@given(places=st.lists(st.integers(0, 60), max_size=12), limit=st.integers(0, 30))
def test_near_duplicates_are_the_connected_photos(places: list[int], limit: int) -> None:
    reach, expected = NEAR_DUPLICATE * limit, set()
    for start in range(len(places)):
        reached, border = {start}, [start]
        while border:
            i = border.pop()
            near = {j for j, p in enumerate(places) if abs(p - places[i]) <= reach}
            border += near - reached
            reached |= near
        if len(reached) > 1:
            expected.add(tuple(10 * (i + 1) for i in sorted(reached)))
    groups = group_photos(neighbor_lists(on_a_line(*places)), float(limit), mutual=11)
    assert {g.ids for g in groups if g.kind == "near-duplicate"} == expected


def test_many_linked_photos_are_divided_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resight.ranking.groups.MAX_DIVIDED", 4)
    lists = neighbor_lists(on_a_line(0, 0, 0, 0, 0, 0, 1.5, 2.9, 4.2, 50))
    assert group_photos(lists, 1.6) == [
        Group("near-duplicate", (10, 20, 30, 40, 50, 60)),
        Group("same-thing", (80, 90)),
    ]


def test_more_copies_than_are_divided_at_once_are_one_group() -> None:
    copies = Group("near-duplicate", tuple(range(10, 10 * (MAX_DIVIDED + 3), 10)))
    lists = neighbor_lists(on_a_line(*[1.0] * (MAX_DIVIDED + 2), 50, 90))
    for limit in (0.0, 2.0):
        assert group_photos(lists, limit) == [copies]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_order_of_the_photos_does_not_matter(seed: int) -> None:
    database = with_views(6, 3, 12, 0.01, seed)
    order = np.random.default_rng(seed).permutation(len(database.ids))
    shuffled = find_groups(Database(database.ids, database.global_[order]))
    actual = find_groups(database)
    assert shuffled.estimated_limit == pytest.approx(actual.estimated_limit, rel=1e-5)
    place = {int(old): new for new, old in enumerate(order)}
    moved = {tuple(sorted(place[i] for i in g.ids)) for g in actual.groups}
    assert {g.ids for g in shuffled.groups} == moved


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [12, 60, 300])
def test_a_collection_without_repeats_has_almost_no_groups(count: int, seed: int) -> None:
    database = Database(np.arange(count), scattered(count, seed))
    actual = find_groups(database)
    grouped = {id_ for group in actual.groups for id_ in group.ids}
    assert len(grouped) <= max(2, 0.05 * count)  # one pair of the few is chance


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("things", "views", "singles"), [(20, 4, 40), (60, 4, 0), (5, 10, 100)])
def test_repeats_are_found(things: int, views: int, singles: int, seed: int) -> None:
    database = with_views(things, views, singles, 0.02, seed)
    actual = pairs_in(find_groups(database).groups)
    true = {
        pair
        for thing in range(things)
        for pair in itertools.combinations(range(thing * views, (thing + 1) * views), 2)
    }
    assert len(actual & true) >= 0.95 * len(true)
    assert len(actual & true) >= 0.95 * len(actual)


def test_the_limit_scales_with_the_descriptors() -> None:
    rows = scattered(80, 0)
    limit, doubled = (
        estimate_limit(neighbor_lists(Database(np.arange(80), share * rows)))
        for share in (np.float32(1), np.float32(2))
    )
    assert limit > 0
    assert doubled == pytest.approx(2 * limit, rel=1e-5)


def test_the_limit_by_hand() -> None:
    # Of 12 photos the neighbors at ranks 4 to 8 are taken for unrelated.
    distances = np.tile(np.arange(1, 12, dtype=np.float32), (12, 1)) * np.arange(1, 13)[:, None]
    lists = NeighborLists(np.arange(12), np.zeros((12, 11), np.int32), distances)
    assert estimate_limit(lists) == pytest.approx(RELATIVE_LIMIT * 6 * 6.5)


def test_groups_of_many_views_do_not_change_the_limit() -> None:
    few, many = (
        estimate_limit(neighbor_lists(with_views(10, views, 100, 0.01, 3))) for views in (2, 19)
    )
    assert many == pytest.approx(few, rel=0.1)


def test_too_few_photos_or_all_the_same() -> None:
    few = on_a_line(*range(MIN_PHOTOS - 1))
    assert find_groups(few) == Groups(0.0, 0.0, [])
    same = find_groups(on_a_line(*[4.0] * 12))
    assert same.groups == [Group("near-duplicate", tuple(range(10, 130, 10)))]
    assert same.limit == 0.0
    empty = find_groups(Database(np.zeros(0, np.int64), np.zeros((0, 0), np.float32)))
    assert empty == Groups(0.0, 0.0, [])
    assert find_groups(on_a_line(1.0)) == Groups(0.0, 0.0, [])


def test_a_given_limit_is_applied_and_the_estimate_returned() -> None:
    database = with_views(10, 2, 20, 0.01, 1)
    estimated = find_groups(database).estimated_limit
    actual = find_groups(database, manhattan, 1e-9)
    assert (actual.limit, actual.estimated_limit, actual.groups) == (1e-9, estimated, [])


def test_progress_counts_the_photos() -> None:
    reports: list[tuple[int, int]] = []
    find_groups(on_a_line(*range(150)), progress=lambda done, total: reports.append((done, total)))
    assert reports == [(64, 150), (128, 150), (150, 150)]


@pytest.mark.slow
def test_memory_grows_with_the_photos_not_their_square() -> None:
    import tracemalloc

    # In 4 dimensions nearly all photos are connected, so that as many as possible are divided.
    database = Database(np.arange(3000), scattered(3000, 0, size=4))
    tracemalloc.start()
    lists = neighbor_lists(database, k=10)
    group_photos(lists, estimate_limit(lists))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3000 * 3000  # bytes: a matrix would take four times this


NAMES = ["a.jpg", 'with "quotes", <commas>.jpg', "línea\nnueva.jpg", "bad-\udcff.jpg", "z.jpg"]
A, QUOTED, LINES, BAD, Z = (Path("/photos", name) for name in NAMES)
EXPORTED = Groups(
    2.5,
    2.0,
    [
        Group("same-thing", (1, 3), (A, LINES), best=1),
        Group("near-duplicate", (1, 2), (A, QUOTED)),
        Group("same-thing", (7, 8), (BAD, Z)),
    ],
)


def test_json_export() -> None:
    text = json.dumps(EXPORTED.to_dict())
    text.encode("utf-8")
    read = json.loads(text)
    assert (read["limit"], read["estimated_limit"]) == (2.5, 2.0)
    assert [g["kind"] for g in read["groups"]] == ["same-thing", "near-duplicate", "same-thing"]
    assert read["groups"][0]["photos"] == ["/photos/a.jpg", "/photos/línea\nnueva.jpg"]
    assert [g["best"] for g in read["groups"]] == ["/photos/a.jpg", None, None]
    assert read["groups"][2]["photos"] == ["/photos/bad-\\udcff.jpg", "/photos/z.jpg"]


def test_csv_export() -> None:
    text = EXPORTED.to_csv()
    text.encode("utf-8")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["group", "kind", "path", "best"]
    assert rows[1:4] == [
        ["1", "same-thing", "/photos/a.jpg", "yes"],
        ["1", "same-thing", "/photos/línea\nnueva.jpg", ""],
        ["2", "near-duplicate", "/photos/a.jpg", ""],
    ]
    assert rows[4][2] == '/photos/with "quotes", <commas>.jpg'
    assert len(rows) == 7


def test_notebooks_show_escaped_paths_of_missing_files() -> None:
    shown = EXPORTED._repr_html_()
    assert shown.count("<figure") == 6
    assert "&lt;commas&gt;" in shown
    assert "<commas>" not in shown
    shown.encode("utf-8")


def test_lists_of_any_length_are_accepted() -> None:
    lists = NeighborLists(
        np.array([1, 2]), np.array([[1], [0]], np.int32), np.array([[1], [1]], np.float32)
    )
    assert group_photos(lists, 1.0) == [Group("same-thing", (1, 2))]
