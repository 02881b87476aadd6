"""Measures of decisions: hand-counted, on collections, and on a benchmark."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import samples
from environment import Run
from resight.config import SearchConfig
from resight.evaluation import evaluate
from resight.evaluation.benchmark import BenchmarkRun, run_benchmark
from resight.evaluation.benchmark.report import as_json, html_report, markdown
from resight.evaluation.datasets import read_dataset
from resight.evaluation.decisions import (
    Decisions,
    QueryDecisions,
    calibration_error,
    judge_decisions,
    measure_decisions,
    measure_groups,
)
from resight.evaluation.measures import Judgement
from resight.methods.spec import MethodSpec
from samples import QUICK
from views import texture, view


def query(probabilities: list[float], same: list[bool], positives: int) -> QueryDecisions:
    return QueryDecisions(np.array(probabilities), np.array(same, bool), positives)


# Counted by hand


def test_measures_counted_by_hand() -> None:
    measured = measure_decisions(
        [
            query([0.9, 0.6, 0.86, 0.1], [True, True, False, False], 3),
            query([0.7, 0.2], [True, False], 1),
            query([0.95, 0.5], [False, False], 0),
            query([0.5], [False], 0),
            query([], [], 0),
        ]
    )
    assert (measured.matched, measured.unmatched, measured.compared) == (2, 3, 9)
    probable, same = measured.probable, measured.same
    assert (probable.pairs.found, probable.pairs.right, probable.pairs.true) == (7, 3, 4)
    assert probable.pairs.precision == pytest.approx(3 / 7)
    assert probable.pairs.recall == 3 / 4
    assert probable.pairs.f1 == pytest.approx(6 / 11)
    assert (same.pairs.found, same.pairs.right, same.pairs.true) == (3, 1, 4)
    assert (probable.first_matches, same.first_matches) == (1.0, 0.5)
    assert probable.false_alarms == pytest.approx(2 / 3)
    assert same.false_alarms == pytest.approx(1 / 3)


def test_measures_without_any_pair_or_query_are_unknown() -> None:
    nothing = measure_decisions([])
    assert nothing.calibration_error is None
    assert nothing.probable.pairs.precision is nothing.probable.pairs.recall is None
    assert nothing.same.first_matches is nothing.same.false_alarms is None
    missed = measure_decisions([query([0.1], [False], 2)]).probable
    assert (missed.pairs.precision, missed.pairs.recall, missed.pairs.f1) == (None, 0, 0)
    assert (missed.first_matches, missed.false_alarms) == (0, None)


def test_calibration_error_counted_by_hand() -> None:
    probabilities = np.array([0.05, 0.05, 0.62, 0.68, 1.0, 1.0])
    same = np.array([False, False, True, False, True, True])
    assert calibration_error(probabilities, same) == pytest.approx((2 * 0.05 + 2 * 0.15) / 6)
    sure = np.array([0.0, 1.0])
    assert calibration_error(sure, np.array([False, True])) == 0
    assert calibration_error(sure, np.array([True, False])) == 1


def test_junk_is_ignored_and_undecided_positives_count_as_missed() -> None:
    judged = judge_decisions(
        {4: 0.9, 7: 0.8, 2: 0.3}, Judgement(frozenset({4, 5, 7}), frozenset({7}))
    )
    assert judged.probabilities.tolist() == [0.9, 0.3]
    assert judged.same.tolist() == [True, False]
    assert judged.positives == 2


def test_groups_are_compared_by_their_pairs() -> None:
    pairs = measure_groups([[3, 1], [1, 3], [4, 5, 6]], [[1, 2, 3], [4, 5], [7]])
    assert (pairs.found, pairs.right, pairs.true) == (4, 2, 4)
    assert measure_groups([], [[1]]).f1 is None


# A collection


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two things in three views each among nine strangers, one of which is a group by itself."""
    root = tmp_path_factory.mktemp("measured")
    photos = root / "photos"
    photos.mkdir()
    groups: dict[str, list[str]] = {"alone": ["other-0.png"]}
    for thing in range(2):
        pixels = texture(320, 240, seed=1 + thing)
        names = groups[f"thing {thing}"] = [f"{thing}-{number}.png" for number in range(3)]
        for number, name in enumerate(names):
            seen = view(pixels, seed=10 * thing + number, strength=0.05)
            Image.fromarray(seen).save(photos / name)
    for number in range(9):
        other = Image.fromarray(texture(320, 240, seed=20 + number))
        other.save(photos / f"other-{number}.png")
    (photos / "groups.json").write_text(json.dumps(groups))
    samples.index(photos, root / "c")
    samples.index(photos, root / "bare", evidence=False)
    return root


@pytest.fixture(scope="module")
def decided(folder: Path) -> Decisions:
    """Return the measures of decisions on the collection."""
    decisions = evaluate(folder / "photos", folder / "c").decisions
    assert decisions is not None
    return decisions


def test_decisions_on_a_collection(decided: Decisions) -> None:
    decisions = decided
    assert decisions.evidence
    assert (decisions.matched, decisions.unmatched) == (6, 9)
    assert decisions.compared == 15 * 14
    for verdict in (decisions.probable, decisions.same):
        assert (verdict.pairs.found, verdict.pairs.right, verdict.pairs.true) == (12, 12, 12)
        assert (verdict.first_matches, verdict.false_alarms) == (1, 0)
    assert decisions.calibration_error is not None
    assert 0 < decisions.calibration_error < 0.2
    assert decisions.groups is not None
    assert (decisions.groups.found, decisions.groups.right, decisions.groups.true) == (6, 6, 6)
    assert json.loads(json.dumps(decisions.to_dict()))["groups"]["f1"] == 1


def test_a_wrong_ground_truth_lowers_the_measures(folder: Path, tmp_path: Path) -> None:
    photos = folder / "photos"
    wrong = {"a": [str(photos / "0-0.png"), str(photos / "other-3.png")]}
    (tmp_path / "groups.json").write_text(json.dumps(wrong))
    decisions = evaluate(tmp_path, folder / "c").decisions
    assert decisions is not None
    assert (decisions.matched, decisions.unmatched) == (2, 13)
    assert decisions.same.first_matches == decisions.same.pairs.precision == 0
    assert decisions.same.false_alarms == pytest.approx(5 / 13)
    assert decisions.groups is not None
    assert decisions.groups.precision == 0


def test_without_evidence_descriptors_decide(folder: Path) -> None:
    decisions = evaluate(folder / "photos", folder / "bare").decisions
    assert decisions is not None
    assert not decisions.evidence
    assert decisions.groups is not None


def test_rankings_only(folder: Path) -> None:
    evaluation = evaluate(folder / "photos", folder / "c", decide=False)
    assert evaluation.decisions is None
    assert evaluation.to_dict()["decisions"] is None
    assert evaluation == evaluate(folder / "photos", folder / "c", SearchConfig(decide=False))


def test_the_command_prints_decisions(folder: Path, decided: Decisions, resight: Run) -> None:
    arguments = ("evaluate", folder / "photos", "-c", folder / "c")
    done = resight(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    *_, head, probable, same, groups, last = done.stdout.splitlines()
    assert " ".join(head.split()) == "verdict precision recall F1 first matches false alarms"
    assert " ".join(probable.split()) == "at least probably 100.0 100.0 100.0 100.0 0.0"
    assert " ".join(same.split()) == "same thing 100.0 100.0 100.0 100.0 0.0"
    assert " ".join(groups.split()) == "groups 100.0 100.0 100.0"
    assert last.startswith("calibration error 0.")
    assert last.endswith("(210 pairs); 6 queries with a match, 9 without")
    printed = json.loads(resight(*arguments, "--json").stdout)
    assert printed["decisions"] == decided.to_dict()
    ranked = resight(*arguments, "--no-decide").stdout
    assert "verdict" not in ranked
    assert ranked.splitlines()[-1].startswith("mAP ")
    bare = resight("evaluate", folder / "photos", "-c", folder / "bare")
    assert "decided by descriptors alone" in bare.stderr


# A benchmark


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[bool, BenchmarkRun]:
    """Benchmark runs without decisions and with them, by one cache."""
    dataset = read_dataset("groups", folder / "photos")
    other = dataclasses.replace(QUICK, centers=3)
    methods = {
        name: MethodSpec(title=name, source="x", config=config)
        for name, config in {"one": QUICK, "other": other}.items()
    }
    return {
        decisions: run_benchmark(dataset, methods, cache=folder / "cache", decisions=decisions)
        for decisions in (False, True)
    }


def test_decisions_do_not_change_the_rankings_of_a_benchmark(
    runs: dict[bool, BenchmarkRun],
) -> None:
    for plain, decided in zip(runs[False], runs[True], strict=True):
        assert plain.decisions is None
        assert decided.values == plain.values
        assert decided.decisions is not None
        assert (decided.decisions.matched, decided.decisions.unmatched) == (6, 0)
        pairs = decided.decisions.same.pairs
        assert (pairs.found, pairs.right, pairs.true) == (12, 12, 12)


def test_a_benchmark_decides_as_a_collection_does(
    decided: Decisions, runs: dict[bool, BenchmarkRun]
) -> None:
    actual = runs[True].results[0].decisions
    assert actual is not None
    assert actual.same.pairs == decided.same.pairs
    assert actual.same.first_matches == decided.same.first_matches


def test_a_region_is_decided_on_without_its_own_photo(folder: Path) -> None:
    dataset = read_dataset("groups", folder / "photos")
    regions = tuple(
        dataclasses.replace(query, box=(15, 15, 280, 210)) for query in dataset.queries[:2]
    )
    cut = dataclasses.replace(dataset, queries=regions)
    methods = {"one": MethodSpec(title="one", source="x", config=QUICK)}
    (result,) = run_benchmark(cut, methods, cache=folder / "cache", decisions=True)
    assert result.decisions is not None
    pairs = result.decisions.same.pairs
    assert (pairs.found, pairs.right, pairs.true) == (4, 4, 4)


def test_reports_have_decisions_only_if_they_were_measured(runs: dict[bool, BenchmarkRun]) -> None:
    assert "first matches" not in markdown(runs[False])
    assert "first matches" not in html_report(runs[False])
    assert as_json(runs[False])["methods"][0]["decisions"] is None
    head, _, first, *_ = markdown(runs[True]).splitlines()
    assert "| precision | recall | F1 | first matches | calibration error |" in head
    assert "| 100.0 | 100.0 | 100.0 | 100.0 | 0." in first
    assert len(first.split("|")) == len(head.split("|"))
    assert html_report(runs[True]).count('<td class="n">100.0</td>') == 8
    entry = json.loads(json.dumps(as_json(runs[True])))["methods"][0]["decisions"]
    assert entry["same"]["f1"] == 1
    assert entry["groups"] is None
