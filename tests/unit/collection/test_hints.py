"""Hints: what follows from them, contradictions, merging, and the stored form."""

import itertools
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import samples
from resight.collection import Collection
from resight.collection.hints import Hint, Hints, combine, next_moment
from resight.collection.writer import writing
from resight.config import HintVerdict
from resight.errors import UsageError


def hash_of(name: str) -> str:
    return f"{ord(name):064x}"


def hint(verdict: HintVerdict, names: str, second: int = 0) -> Hint:
    contents = tuple(sorted(map(hash_of, names)))
    return Hint(verdict, contents, f"2026-01-01T00:00:{second:02}.000000+00:00")


def test_same_is_transitive_and_different_holds_for_all_that_are_the_same() -> None:
    hints = Hints([hint("same", "ab"), hint("same", "bc"), hint("different", "cd")])
    names = {pair: hints.verdict(*map(hash_of, pair)) for pair in ("ac", "ca", "ad", "da", "ae")}
    assert names == {"ac": "same", "ca": "same", "ad": "different", "da": "different", "ae": None}
    assert hints.same_as(hash_of("a")) == {hash_of("b"), hash_of("c")}
    assert hints.same_as(hash_of("d")) == hints.same_as(hash_of("x")) == set()


def test_two_differences_say_nothing_about_each_other() -> None:
    hints = Hints([hint("different", "ab"), hint("different", "bc")])
    assert hints.verdict(hash_of("a"), hash_of("c")) is None


def test_a_contradiction_is_the_chain_that_leads_to_it() -> None:
    chain = [hint("same", "ab"), hint("same", "bc"), hint("different", "ac")]
    hints = Hints([*chain, hint("same", "bx"), hint("keep", "a")])
    assert hints.contradiction() == chain
    assert Hints(chain[1:]).contradiction() == []


def test_the_newest_of_contradictory_hints_win() -> None:
    old, new = hint("same", "ab", 1), hint("different", "ab", 2)
    combined, left_out = combine([new, old])
    assert (list(combined), left_out) == ([new], [old])
    chain = [hint("same", "ab", 3), hint("same", "bc", 1), hint("different", "ac", 2)]
    combined, left_out = combine(chain)
    assert list(combined) == [chain[2], chain[0]]
    assert left_out == [chain[1]]


def test_merging_accepts_as_a_plain_search_does() -> None:
    rng = random.Random(1)
    for _ in range(100):
        pairs = list(itertools.combinations("abcdefg", 2))
        rng.shuffle(pairs)
        hints = [
            hint(rng.choice(["same", "different"]), "".join(pair), second)
            for second, pair in enumerate(pairs)
        ]
        expected: list[Hint] = []
        for each in reversed(hints):
            if not Hints([*expected, each]).contradiction():
                expected.append(each)
        combined, left_out = combine(hints)
        assert list(combined) == expected[::-1]
        assert len(left_out) == len(hints) - len(expected)


def test_merging_does_not_depend_on_the_order() -> None:
    rng = random.Random(0)
    for _ in range(50):
        pairs = rng.sample(list(itertools.combinations("abcdef", 2)), 8)
        hints = [
            hint(rng.choice(["same", "different"]), "".join(pair), rng.randrange(4))
            for pair in pairs
        ]
        first, _ = combine(hints)
        second, _ = combine(rng.sample(hints, len(hints)))
        assert list(first) == list(second)
        assert first.contradiction() == []
        assert list(combine([*first, *hints])[0]) == list(first)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "verdict"),
        ({"verdict": "maybe"}, "verdict"),
        ({"verdict": "same"}, "2 photos"),
        ({"verdict": "same", "contents": [hash_of("a")] * 2}, "2 photos"),
        ({"verdict": "keep", "contents": [hash_of("a"), hash_of("b")]}, "1 photo"),
        ({"verdict": "keep", "contents": ["ABC"]}, "SHA-256"),
        ({"verdict": "keep", "contents": [7]}, "SHA-256"),
        ({"verdict": "keep", "contents": [hash_of("a")]}, "time"),
        ({"verdict": "keep", "contents": [hash_of("a")], "decided": "now"}, "time"),
        (
            {
                "verdict": "keep",
                "contents": [hash_of("a")],
                "decided": "9999-12-31T23:59:59-23:59",
            },
            "time",
        ),
    ],
)
def test_what_is_no_hint_is_refused(value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Hint.from_dict(value)


def test_times_of_any_zone_compare() -> None:
    entry = {"verdict": "keep", "contents": [hash_of("a")], "decided": "2026-01-01T02:00+02:00"}
    assert Hint.from_dict(entry) == hint("keep", "a")
    assert Hint.from_dict(hint("same", "ba").to_dict()) == hint("same", "ab")


def test_a_collection_stores_hints_and_searches_see_the_change(tmp_path: Path) -> None:
    samples.draw_many(tmp_path / "photos", 3)
    samples.index(tmp_path / "photos", tmp_path / "c")
    before, rows = samples.stamp(tmp_path / "c"), samples.contents(tmp_path / "c")
    stored = [hint("same", "ab"), hint("keep", "a", 1)]
    with writing(tmp_path / "c") as writer:
        writer.store_hints(Hints(stored))
    with Collection.open(tmp_path / "c") as collection:
        assert list(collection.hints()) == stored
        assert collection.changed_since(0) == [1, 2, 3]  # no photo 0
    assert samples.stamp(tmp_path / "c") != before
    assert samples.contents(tmp_path / "c") == rows


def test_a_new_decision_is_the_newest_although_the_clock_was_set_back() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert next_moment([], now) == "2026-01-01T00:00:00.000000+00:00"
    future = Hint("keep", (hash_of("a"),), "2999-12-31T23:59:59.999999+00:00")
    others = [hint("same", "ab").decided, future.decided]
    assert next_moment(others, now) == "3000-01-01T00:00:00.000000+00:00"
    end = Hint("keep", (hash_of("a"),), "9999-12-31T23:59:59.999999+00:00")
    assert next_moment([end.decided], now) == end.decided
