"""Files of descriptors never replace photos."""

import os
from pathlib import Path

import numpy as np
import pytest

import samples
from resight.config import ExtractionConfig
from resight.errors import UsageError
from resight.files import file_sha256, user_cache
from resight.indexing import describe as describing
from resight.indexing.describe import Described, describe, ensure_npz_writable
from resight.indexing.partial import PartialResults
from resight.methods.model import ModelOptions

DESCRIBED = Described([Path("/a.jpg")], np.ones((1, 3), np.float32), None, [])


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo"])
def test_a_name_that_is_no_archive_is_refused(tmp_path: Path, name: str) -> None:
    photo = tmp_path / name
    samples.draw(tmp_path / "drawn.png", 1)
    photo.write_bytes((tmp_path / "drawn.png").read_bytes())
    before = photo.read_bytes()
    with pytest.raises(UsageError, match=r"name it with \.npz"):
        DESCRIBED.save(photo)
    assert photo.read_bytes() == before


def test_an_archive_is_written(tmp_path: Path) -> None:
    DESCRIBED.save(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["paths"].tolist() == ["/a.jpg"]
        assert (arrays["descriptors"] == 1).all()


def test_only_archives_of_descriptors_are_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "out.npz"
    DESCRIBED.save(target)
    DESCRIBED.save(target)
    np.savez(target, measured=np.ones(3))  # somebody's other work
    before = target.read_bytes()
    with pytest.raises(UsageError, match=r"out\.npz: exists"):
        DESCRIBED.save(target)
    target.write_bytes(samples.draw(tmp_path / "drawn.png", 1).read_bytes())
    with pytest.raises(UsageError, match=r"out\.npz: exists"):
        ensure_npz_writable(target)
    assert target.read_bytes() == (tmp_path / "drawn.png").read_bytes() != before


def test_an_interrupted_run_resumes(
    tmp_path: Path, small_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    photos = samples.draw_many(tmp_path / "photos", describing.MIN_KEPT)
    (tmp_path / "photos" / "copy.png").write_bytes(photos[0].read_bytes())
    config = ExtractionConfig(layers=("layer1",), resolutions=(64,))
    options = ModelOptions(small_weights)
    steps: list[int] = []

    def interrupt(what: str, done: int, total: int) -> None:
        steps.append(done)
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        describe(tmp_path / "photos", config=config, model=options, progress=interrupt)
    partial = list((user_cache() / "partial").iterdir())
    assert len(list(partial[0].iterdir())) == 5
    marked = {"global": np.full(256, 7, np.float32)}  # to see that it is not computed again
    np.savez(partial[0] / f"{file_sha256(photos[0])}.npz", **marked)
    damaged = partial[0] / f"{file_sha256(photos[1])}.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    described = describe(tmp_path / "photos", config=config, model=options)
    by_name = {path.name: descriptor for path, descriptor in described}
    assert len(by_name) == describing.MIN_KEPT + 1
    assert {name for name, values in by_name.items() if (values == 7).all()} == {
        "000.png",
        "copy.png",
    }
    expected = describe(photos[1], config=config, model=options).descriptors[0]
    np.testing.assert_allclose(by_name["001.png"], expected, atol=1e-6)
    assert not list((user_cache() / "partial").iterdir())


def test_old_partial_results_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = PartialResults("describe", ["a"])
    first.keep("key", {"values": np.ones(2)})
    assert PartialResults("describe", ["a"]).load()["key"]["values"].tolist() == [1, 1]
    (folder,) = (tmp_path / "resight" / "partial").iterdir()
    os.utime(folder, (0, 0))
    assert PartialResults("describe", ["b"]).load() == {}
    assert not folder.exists()


def test_without_a_cache_folder_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    partial = PartialResults("describe", [])
    partial.keep("key", {"values": np.ones(2)})
    assert partial.load() == {}
    partial.remove()
