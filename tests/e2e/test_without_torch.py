"""The main job on OpenVINO in a process that cannot import torch."""

import subprocess
import sys
from pathlib import Path

import pytest

import samples

BLOCKED = """
import importlib.machinery, importlib.util, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: (
    None if name.partition(".")[0] in ("torch", "torchvision", "timm") else find_spec(name, *rest)
)
sys.meta_path.insert(0, Finder())
from resight.cli.app import main
sys.exit(main())
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("photos")
    samples.draw_many(home / "photos", 3)
    return home


@pytest.fixture
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the process read weights instead of cached parameters."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_empty_cache")
def test_photos_are_indexed_searched_and_explained(home: Path) -> None:
    photo, other = home / "photos" / "001.png", home / "photos" / "002.png"
    done = run("index", home / "photos", "-c", home / "c")
    assert done.returncode == 0, done.stderr
    assert "3 photos (3 new)" in done.stderr
    done = run("search", photo, "-c", home / "c")
    assert done.returncode == 0, done.stderr
    assert str(photo) in done.stdout.splitlines()[1]
    done = run("explain", photo, other, "-c", home / "c", "-o", home / "why.png")
    assert done.returncode == 0, done.stderr
    assert (home / "why.png").is_file()


@pytest.mark.usefixtures("_empty_cache")
def test_the_papers_method_runs(home: Path, small_weights: Path) -> None:
    options = ("--config", "paper", "--weights", small_weights)
    done = run("index", home / "photos" / "000.png", "-c", home / "paper", *options)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "extra"),
    [
        (("--runtime", "torch"), "torch"),
        (("--device", "cuda"), "torch"),
        (("--config", "paper@timm:resnet18"), "timm"),
    ],
)
def test_what_needs_torch_says_how_to_install_it(
    options: tuple[str, ...], extra: str, home: Path, tmp_path: Path
) -> None:
    done = run("index", home / "photos", "-c", tmp_path / "c", *options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"pip install 'resight[{extra}]'" in done.stderr
