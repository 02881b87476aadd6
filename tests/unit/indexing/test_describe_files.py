"""Files of descriptors never replace photos."""

from pathlib import Path

import numpy as np
import pytest

import samples
from resight.errors import UsageError
from resight.indexing.describe import Described, ensure_npz_writable

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
