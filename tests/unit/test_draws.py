"""The benchmark that compares methods on many drawn sets: the draws, and what is fitted on them."""

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
DIMENSIONS = 1952


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("draws")


def test_sets_have_their_size_and_whole_groups(draws: ModuleType) -> None:
    folder = {f"group {i}": list(range(3 * i, 3 * i + 3)) for i in range(30)}
    drawn = list(draws.samples({"photos": folder}, 150, sizes=[24, 60], seeds=[1, 2]))
    whole, everything = drawn[:2]
    assert (whole.groups, draws.count(everything.groups)) == (folder, 150)
    by_group = [
        sample for sample in drawn if (sample.folder, sample.drawn) == ("photos", "by group")
    ]
    assert {sample.size for sample in by_group} == {24, 60}
    for sample in by_group:
        assert all(folder[name] == rows for name, rows in sample.groups.items())
        assert sample.size <= draws.count(sample.groups) < sample.size + 3
    by_photo = next(sample for sample in drawn if sample.drawn == "by photo")
    assert draws.count(by_photo.groups) == by_photo.size
    others = next(sample for sample in drawn if sample.drawn == "with others")
    rows = [row for members in others.groups.values() for row in members]
    assert len(set(rows)) == others.size
    assert sum(row >= 90 for row in rows) == others.size // 2


def test_a_group_larger_than_a_set_gets_no_distractors(draws: ModuleType) -> None:
    drawn = draws.samples({"photos": {"large": list(range(40))}}, 50, sizes=[24], seeds=[1])
    assert "with others" not in {sample.drawn for sample in drawn}


@pytest.mark.slow
def test_a_method_adapts_to_the_photos_of_the_set_only(draws: ModuleType) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((30, DIMENSIONS), np.float32)
    contents = [f"{number:02}" for number in rng.permutation(30)]
    copies = {c: values[i] + rng.normal(0, 0.1, (8, DIMENSIONS)) for i, c in enumerate(contents)}
    described = draws.Described(values, contents, copies)
    rows = list(range(0, 30, 2))
    found = draws.fitted("auto", described, rows).photos.database.global_
    assert len(found) == len(rows)
    changed = values.copy()
    changed[1::2] = 0
    others = replace(
        described,
        values=changed,
        copies={c: np.zeros_like(v) if contents.index(c) % 2 else v for c, v in copies.items()},
    )
    np.testing.assert_array_equal(draws.fitted("auto", others, rows).photos.database.global_, found)
    own = replace(described, copies={content: 2 * varied for content, varied in copies.items()})
    assert not np.array_equal(draws.fitted("auto", own, rows).photos.database.global_, found)
