"""A run that is killed at any moment loses at most the photo in progress; the next one resumes."""

import contextlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samples
from resight.backends.manage import info
from resight.collection import Collection
from resight.collection.integrity import check
from resight.collection.writer import writing
from resight.config import ExtractionConfig, SearchConfig, SelectionConfig
from resight.indexing.fitting import fit
from resight.indexing.pipeline import index
from resight.photos.files import PhotoFile
from resight.searching import search

PHOTOS = 50
MOMENTS = 5
SLOWER = replace(samples.QUICK, centers=64, max_keypoints=2000)
"""Slow enough per photo that there is something to interrupt."""


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the command line in a process that receives interrupts, whoever started this one."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from resight.cli.app import main; main()"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_index(photos: Path, folder: Path, config: Path) -> subprocess.Popen[str]:
    return start("index", photos, "-c", folder, "--config", config, "--workers", 2)


def committed(folder: Path) -> dict[bytes, tuple[Any, ...]]:
    """Return path to content, rowid and descriptor bytes, as any reader sees them; {} at first.

    The rowid shows whether a photo was described again: a replaced row gets a new one.
    """
    if not (folder / "resight.sqlite").exists():
        return {}
    with closing(sqlite3.connect(folder / "resight.sqlite", timeout=30)) as database:
        rows = database.execute(
            "SELECT p.path, p.content, d.rowid, d.global FROM photos p "
            "JOIN descriptors d USING (content) WHERE p.state = 'ok'"
        )
        return {path: tuple(rest) for path, *rest in rows}


def wait_for(process: subprocess.Popen[str], folder: Path, photos: int) -> None:
    """Wait until this many photos are committed, or the process is done."""
    while process.poll() is None and len(committed(folder)) < photos:
        time.sleep(0.002)


def kill(process: subprocess.Popen[str]) -> bool:
    """Kill a process; return whether it was still running. It must not have printed a traceback."""
    process.kill()
    _, errors = process.communicate()
    assert "Traceback" not in errors
    return process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill") / "photos"
    samples.draw_many(folder, PHOTOS)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.write_config(tmp_path_factory.mktemp("kill") / "slower.toml", SLOWER)


@pytest.fixture(scope="module")
def straight(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Index the photos in one uninterrupted run."""
    folder = tmp_path_factory.mktemp("straight") / "c"
    samples.index(photos, folder, config=SLOWER)
    return folder


def without_ids(collection: Path) -> dict[str, Any]:
    """Return the contents without ids, which skip a number for a photo that was in progress."""
    contents = samples.contents(collection)
    contents["photos"] = sorted(row[1:] for row in contents["photos"])
    return contents


def test_an_index_run_killed_at_random_moments_resumes(
    photos: Path, config: Path, straight: Path, tmp_path: Path
) -> None:
    chance = random.Random(0)
    expected = without_ids(straight)
    kills = amid = collections = 0
    folder = tmp_path / "c0"
    while kills < MOMENTS:
        before = committed(folder)
        process = start_index(photos, folder, config)
        if kills % 4 == 0:
            # During startup, fitting of the vocabulary or creation of the collection.
            while process.poll() is None and not folder.exists():
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.4))
        else:
            wait_for(process, folder, len(before) + chance.randint(1, 9))
            time.sleep(chance.uniform(0, 0.02))
        killed = kill(process)
        kills += killed
        after = committed(folder)
        amid += killed and len(before) < len(after) < PHOTOS
        assert before.items() <= after.items()  # nothing is lost or described twice
        if (folder / "resight.sqlite").exists():
            samples.assert_whole(folder)
            assert info(folder).photos == len(after)
        if after:
            query = Path(next(iter(after)).decode())
            found = search(query, folder, SearchConfig(k=1)).results
            assert found[0].path == query
        if not killed or len(after) == PHOTOS:  # this one is complete: start another
            samples.index(photos, folder, config=SLOWER)
            assert committed(folder).items() >= after.items()
            assert without_ids(folder) == expected
            collections += 1
            folder = tmp_path / f"c{collections}"
    assert amid >= MOMENTS // 3
    before = committed(folder)
    samples.index(photos, folder, config=SLOWER)
    assert before.items() <= committed(folder).items()
    assert without_ids(folder) == expected
    assert check(folder).problems == []


def test_a_run_killed_while_photos_change_resumes(
    photos: Path, config: Path, straight: Path, tmp_path: Path
) -> None:
    # Moves and changes are transactions too: here all photos move and some change.
    moving = Path(shutil.copytree(photos, tmp_path / "photos"))
    folder = tmp_path / "c"
    samples.index(moving, folder, config=SLOWER)
    vocabulary = samples.contents(folder)["fitted"]
    (moving / "album").mkdir()
    for number, path in enumerate(sorted(moving.glob("*.png"))):
        if number % 3 == 0:
            samples.draw(path, 1000 + number)
        else:
            path.rename(moving / "album" / path.name)
    chance = random.Random(1)
    for _ in range(3):
        stamp = samples.stamp(folder)
        process = start_index(moving, folder, config)
        while process.poll() is None and samples.stamp(folder) == stamp:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        kill(process)
        with Collection.open(folder) as opened:
            assert opened.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            for photo in opened.photos("ok"):
                assert opened.is_described(str(photo.content))
    run = samples.index(moving, folder, config=SLOWER)
    assert (run.photos, run.report.vanished, run.report.failed) == (PHOTOS, [], [])
    samples.assert_whole(folder)
    assert samples.contents(folder)["fitted"] == vocabulary
    for path, content in ((p.path, p.content) for p in samples.photos_by_name(folder).values()):
        assert path.exists()
        assert content is not None
    present = {row[1] for row in samples.contents(folder)["photos"]}
    assert present == {str(path).encode() for path in moving.rglob("*.png")}


def test_an_interrupt_ends_cleanly_and_says_how_to_resume(
    photos: Path, config: Path, straight: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "c"
    process = start_index(photos, folder, config)
    wait_for(process, folder, 3)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert output == ""
    assert "Traceback" not in errors
    assert "nothing is lost: run the same command again to resume" in errors.splitlines()[-1]
    before = committed(folder)
    assert 3 <= len(before) < PHOTOS
    assert not list(folder.glob("*-wal"))  # closed, not cut off
    samples.index(photos, folder, config=SLOWER)
    assert before.items() <= committed(folder).items()
    assert samples.contents(folder) == samples.contents(straight)


def test_an_interrupt_before_the_first_photo_says_so_too(
    photos: Path, config: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "c"
    process = start_index(photos, folder, config)
    while process.poll() is None and not (folder / "resight.sqlite").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert output == ""
    (line,) = errors.splitlines()[-1:]
    assert "run the same command again to resume" in line


# Adapting

ADAPTED = """
backbone = "efficientnet-lite0"
layers = ["head", "expand"]
resolutions = [64]
reduced_jpeg = true
[selection]
method = "wccn"
copies = 4
"""


def described_copies(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the rowid and the descriptors of copies by content; {} before there are any."""
    if not (folder / "resight.sqlite").exists():
        return {}
    with closing(sqlite3.connect(folder / "resight.sqlite", timeout=30)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'copies'").fetchall():
            return {}
        rows = database.execute("SELECT content, rowid, descriptors FROM copies")
        return {content: (number, data) for content, number, data in rows}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_adaptation_that_is_stopped_resumes(
    photos: Path, tmp_path: Path, how: signal.Signals
) -> None:
    few = tmp_path / "photos"
    few.mkdir()
    for path in sorted(photos.iterdir())[:16]:
        shutil.copy(path, few)
    config, chance = tmp_path / "adapted.toml", random.Random(int(how))
    config.write_text(ADAPTED)
    stops, folder = 0, tmp_path / "c"
    while True:
        before = described_copies(folder)
        process = start_index(few, folder, config)
        wanted = len(before) + chance.randint(2, 6)
        while process.poll() is None and len(described_copies(folder)) < wanted:
            time.sleep(0.005)
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors
        if process.returncode == 0:
            break
        assert process.returncode == (-how if how == signal.SIGKILL else 130), errors
        stops += 1
        samples.assert_whole(folder)
        assert before.items() <= described_copies(folder).items(), "none is described again"
    assert stops >= 2
    index(few, folder, config=str(config))
    index(few, tmp_path / "straight", config=str(config))
    stopped, straight = samples.contents(folder), samples.contents(tmp_path / "straight")
    assert stopped["fitted"] == straight["fitted"]
    assert {c: data for c, (_, data) in described_copies(folder).items()} == {
        c: data for c, (_, data) in described_copies(tmp_path / "straight").items()
    }
    assert check(folder).problems == []


# Fitting and checking


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a collection of the network's kind with random descriptors, and a selection."""
    folder = tmp_path_factory.mktemp("described") / "c"
    generator = np.random.default_rng(0)
    basis = generator.random((40, 3072))
    with writing(folder, (ExtractionConfig(), SelectionConfig(features=40))) as writer:
        writer.collection.connection.execute("PRAGMA synchronous = OFF")
        for number in range(600):
            values = (generator.normal(size=40) @ basis).astype(np.float32)
            file = PhotoFile(Path(f"/photos/{number}.jpg"), 1, 1)
            writer.record_described(file, f"content {number}", (4, 3), values, None)
    fit(folder, restarts=1)
    return folder


def kill_during(command: str, folder: Path, seconds: float, *options: object) -> bool:
    """Kill a command some time after it took the lock; return whether it was running."""
    lock = folder / "writer.lock"
    lock.unlink(missing_ok=True)
    process = start(command, "-c", folder, *options)
    while process.poll() is None and not lock.exists():
        time.sleep(0.002)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return kill(process)


def test_a_killed_fit_leaves_the_selection_before_or_the_one_after(
    described: Path, tmp_path: Path
) -> None:
    before = samples.contents(described)
    finished = Path(shutil.copytree(described, tmp_path / "finished"))
    fit(finished, features=30, seed=1)
    after = samples.contents(finished)["fitted"]
    assert after != before["fitted"]
    killed = 0
    for number, seconds in enumerate((0.0, 0.4)):
        folder = Path(shutil.copytree(described, tmp_path / str(number)))
        killed += kill_during("fit", folder, seconds, "--set", "features=30", "--set", "seed=1")
        samples.assert_whole(folder)
        current = samples.contents(folder)
        assert current["fitted"] in (before["fitted"], after)
        assert {**current, "fitted": None} == {**before, "fitted": None}
        assert check(folder).problems == []
        fit(folder, features=30, seed=1)
        assert samples.contents(folder)["fitted"] == after
    assert killed


def test_a_killed_check_leaves_everything(described: Path, tmp_path: Path) -> None:
    before = samples.contents(described)
    killed = 0
    for number, seconds in enumerate((0.0, 0.03, 0.1)):
        folder = Path(shutil.copytree(described, tmp_path / str(number)))
        shutil.rmtree(folder / "arrays", ignore_errors=True)
        killed += kill_during("check", folder, seconds)
        samples.assert_whole(folder)
        assert samples.contents(folder) == before
        report = check(folder)
        assert (report.photos, report.problems) == (600, [])
    assert killed
