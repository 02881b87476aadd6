"""Matching of columns, and what it adds to decisions."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from resight.descriptors.columns import Columns, code_columns
from resight.evidence import Evidence
from resight.evidence.decision import decide
from resight.evidence.encoding import from_bytes, to_bytes
from resight.evidence.extraction import extract_evidence
from resight.evidence.matching import COLUMNS, match
from resight.evidence.probability import TRIED_BY_COLUMNS
from views import near, texture


def scene(seed: int) -> np.ndarray:
    """Draw a map of random columns, each of which also shows in its neighbors."""
    noise = np.maximum(np.random.default_rng(seed).normal(size=(64, 30, 40)), 0)
    return sum(np.roll(noise, (dy, dx), (1, 2)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))


def view(whole: np.ndarray, top: int, left: int, seed: int) -> Columns:
    """Return a part of a map, with noise."""
    part = whole[:, top : top + 18, left : left + 22]
    noise = np.random.default_rng(seed).normal(0, 0.3, part.shape)
    columns = code_columns((part + noise).astype(np.float32))
    assert columns is not None
    return columns


def test_parts_of_one_map_agree_where_they_overlap() -> None:
    whole = scene(0)
    first, second = view(whole, 0, 0, 1), view(whole, 4, 7, 2)
    found = match(first, second, rules=COLUMNS)
    assert found.log10_nfa < -10
    shifts = first.places[found.matches[:, 0]] - second.places[found.matches[:, 1]].astype(int)
    assert (np.abs(shifts - [7, 4]).max(axis=1) <= 1).mean() > 0.9


def test_unrelated_maps_do_not_agree() -> None:
    others = [
        match(view(scene(0), 0, 0, 1), view(scene(n), 2, 3, n), rules=COLUMNS) for n in range(1, 9)
    ]
    assert min(found.log10_nfa for found in others) > -TRIED_BY_COLUMNS


def photo(seed: int, columns: Columns | None) -> Evidence:
    return extract_evidence(Image.fromarray(texture(400, 300, seed=seed)), columns)


def test_columns_decide_where_sift_features_do_not_agree() -> None:
    whole = scene(3)
    query = photo(1, view(whole, 0, 0, 1))
    others = [photo(2, view(whole, 3, 3, 2)), photo(3, view(scene(4), 3, 3, 3)), photo(4, None)]
    decisions = decide(query, others, near(*[0.15] * 3))
    same, other, without = decisions
    assert same.columns is not None
    assert other.columns is not None
    assert without.columns is None
    assert same.probability > 0.85
    assert other.probability < 0.5
    first, second = same.points(query, others[0])
    assert len(first) == len(second) == len(same.columns)
    assert (first >= 0).all()
    assert (first <= np.array(query.size)).all()


def test_columns_are_not_compared_where_sift_features_are_sure() -> None:
    columns = view(scene(5), 0, 0, 1)
    query = photo(1, columns)
    (decision,) = decide(query, [query], near(0.9))
    assert decision.columns is None
    assert decision.probability > 0.99
    assert len(decision.points(query, query)[0]) == len(decision.match or ())


def test_columns_that_strangers_share_are_background() -> None:
    """A shared table is truly the same in all photos of it."""
    table = scene(6)
    own = [scene(seed) for seed in range(20, 31)]
    views = []
    for number, thing in enumerate(own):
        whole = table.copy()
        whole[:, 12:28, 16:36] = thing[:, 12:28, 16:36]
        views.append(view(whole, 1 + number, 6 + number % 5, number))
    query = photo(50, views[0])
    others = [photo(51 + n, columns) for n, columns in enumerate(views[1:])]
    decisions = decide(query, others, near(*[-0.05] * len(others)))
    alone = decide(query, others[:1], near(-0.05))[0]
    assert alone.columns is not None
    assert alone.columns.log10_nfa < -TRIED_BY_COLUMNS
    assert max(decision.probability for decision in decisions) < 0.5


@pytest.mark.parametrize("count", [0, 1, 200])
def test_columns_are_stored_exactly(count: int) -> None:
    whole = view(scene(7), 0, 0, 1)
    columns = replace(whole, places=whole.places[:count], codes=whole.codes[:count])
    restored = from_bytes(to_bytes(photo(1, columns)))
    assert restored is not None
    assert restored.columns is not None
    assert restored.columns.shape == columns.shape
    np.testing.assert_array_equal(restored.columns.places, columns.places)
    np.testing.assert_array_equal(restored.columns.codes, columns.codes)


def test_evidence_without_a_network_has_no_columns() -> None:
    restored = from_bytes(to_bytes(photo(1, None)))
    assert restored is not None
    assert restored.columns is None


def test_columns_at_the_same_places_show_a_layout() -> None:
    """Blank walls and pages of one layout have like columns at like places."""
    whole = scene(8)
    query = photo(1, view(whole, 3, 3, 1))
    same_place, shifted = photo(2, view(whole, 3, 3, 2)), photo(3, view(whole, 7, 9, 3))
    decisions = decide(query, [same_place, shifted], near(0, 0))
    assert decisions[0].columns is not None
    assert len(decisions[0].columns) == 0
    assert decisions[1].columns is not None
    assert len(decisions[1].columns) > 20
