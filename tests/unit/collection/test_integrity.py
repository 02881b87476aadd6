"""The check of a collection: in parts, within a time, and of the photos themselves."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import samples
from environment import Run
from resight.collection import Collection, integrity
from resight.collection.integrity import check
from resight.collection.search_arrays import load_arrays
from resight.errors import UsageError
from shared_folders import made_once

PHOTOS = 24


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        samples.draw_many(folder / "photos", PHOTOS)
        samples.index(folder / "photos", folder / "c")
        with Collection.open(folder / "c") as opened:
            load_arrays(opened)

    return made_once(tmp_path_factory, "integrity", make)


@pytest.fixture
def folder(indexed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(indexed / "c", tmp_path / "c"))


def damage_evidence(folder: Path, every: int = 1) -> list[str]:
    """Change a byte of the evidence of every n-th content; return the contents."""
    with closing(sqlite3.connect(folder / "resight.sqlite")) as database, database:
        rows = database.execute("SELECT content, data FROM evidence ORDER BY content").fetchall()
        for content, data in rows[::every]:
            changed = bytes([data[0] ^ 1]) + data[1:]
            database.execute("UPDATE evidence SET data = ? WHERE content = ?", (changed, content))
    return [content for content, _ in rows[::every]]


def with_evidence(folder: Path) -> set[str]:
    with Collection.open(folder) as opened:
        return opened.contents_with_evidence()


def test_as_many_samples_as_their_denominator_check_everything(folder: Path) -> None:
    assert len(damage_evidence(folder)) == PHOTOS
    found = []
    for _ in range(5):
        before = len(with_evidence(folder))
        report = check(folder, sample=0.2)
        assert report.share == pytest.approx(0.2)
        found.append(before - len(with_evidence(folder)))
        assert report.intact == (found[-1] == 0)
    assert sum(found) == PHOTOS
    assert max(found) < PHOTOS / 2
    assert check(folder).intact


def test_a_check_within_a_time_goes_on_where_the_last_one_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "PIECES", 50)
    damage_evidence(folder)
    shares: list[float] = []
    while sum(shares) < 1 - 1e-6:
        report = check(folder, seconds=0.005)
        assert report.share > 0
        shares.append(report.share)
    assert len(shares) > 1
    assert with_evidence(folder) == set()


def test_a_sample_finds_damage_of_arrays_in_its_part(folder: Path) -> None:
    (array,) = folder.glob("arrays/*/global.npy")
    data = bytearray(array.read_bytes())
    data[-1] ^= 1
    array.write_bytes(data)
    reports = [check(folder, sample=0.5) for _ in range(2)]
    assert [line for r in reports for line in r.problems] == [
        "search arrays: global.npy was damaged"
    ]


@pytest.mark.parametrize("sample", [0, -1, 1.5])
def test_a_sample_is_a_fraction(folder: Path, sample: float) -> None:
    with pytest.raises(UsageError, match="sample: needs a fraction"):
        check(folder, sample=sample)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sample", "2"], "--sample: 2: expected a fraction up to 1, such as 1/30"),
        (["--sample", "1/0"], "--sample: 1/0: expected a fraction"),
        (["--for", "10"], "--for: 10: expected a time such as 30s, 10m or 2h"),
        (["--for", "0s"], "--for: 0s: expected a time"),
    ],
)
def test_invalid_shares_and_times_are_refused(
    folder: Path, resight: Run, options: list[str], message: str
) -> None:
    result = resight("check", "-c", folder, *options)
    assert result.returncode == 2
    assert result.stderr.startswith(f"resight: {message}")


def flip(path: Path) -> None:
    """Change a byte of a file, but neither its size nor its time."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_photos_that_rotted_are_told_from_changed_and_missing_ones(
    tmp_path: Path, resight: Run
) -> None:
    paths = samples.draw_many(tmp_path / "photos", 8)
    samples.index(tmp_path / "photos", tmp_path / "c")
    assert check(tmp_path / "c", read_photos=True).read == 8
    flip(paths[0])
    status = paths[1].stat()
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    os.utime(paths[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    samples.draw(paths[2], 99)
    os.utime(paths[2], ns=(0, 10**18))
    paths[3].unlink()
    os.utime(paths[4], ns=(0, 10**18))
    paths[5].unlink()
    paths[5].mkdir()
    report = check(tmp_path / "c", read_photos=True)
    assert report.intact
    rotted = dict(report.rotted)
    assert rotted.keys() == {paths[0], paths[1], paths[5]}
    assert rotted[paths[0]] == "its bytes have changed, but neither its size nor its time"
    assert rotted[paths[1]].endswith("but the same time")
    assert rotted[paths[5]] == "Is a directory"
    assert (report.changed, report.missing) == ([paths[2]], [paths[3]])
    result = resight("check", "-c", tmp_path / "c", "--read-photos", "--json")
    assert result.returncode == 3
    assert json.loads(result.stdout) == report.to_dict()
    result = resight("check", "-c", tmp_path / "c", "--read-photos")
    assert result.returncode == 3
    assert "8 photos read, 3 damaged" in result.stderr
    assert resight("check", "-c", tmp_path / "c").returncode == 0


def test_the_status_says_that_the_collection_was_damaged(folder: Path, resight: Run) -> None:
    damage_evidence(folder, every=10)
    assert resight("check", "-c", folder, "--read-photos").returncode == 1
    result = resight("check", "-c", folder, "--sample", "1/4")
    assert result.returncode == 0
    assert result.stderr.endswith("intact, 25 % checked\n")
    assert resight("check", "-c", folder / "none").returncode == 2
