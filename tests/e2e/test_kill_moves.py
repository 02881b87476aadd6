"""A move of photos that is killed at any moment, and its undo, lose no file."""

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

import samples
from resight.collection import Collection
from resight.collection.integrity import check
from resight.collection.moves import move_photos, past_moves, undo_move
from resight.collection.moves.journal import JOURNAL_NAME
from resight.collection.writer import writing
from resight.errors import UsageError
from resight.files import file_sha256

PHOTOS = 24
KILLS = 24


def work(collection: Path, photos: Path, to: Path | None, action: str) -> None:
    """Move all photos, or undo the last move."""
    with writing(collection) as writer:
        if action == "move":
            chosen = list(writer.collection.photos("ok"))
            move_photos(writer, chosen, to, roots={photos})
        else:
            with contextlib.suppress(UsageError):  # the files were back already
                undo_move(writer, None, roots={photos})


def other_disk(folder: Path) -> Path:
    """Return a folder on another file system where there is one, otherwise on the same."""
    shared = Path("/dev/shm")
    if shared.is_dir() and shared.stat().st_dev != folder.stat().st_dev:
        return shared / f"resight-{os.getpid()}"
    return folder / "away"


@pytest.mark.parametrize(
    "to",
    [
        "another disk",
        pytest.param("the same disk", marks=pytest.mark.slow),
        pytest.param("the trash", marks=pytest.mark.slow),
    ],
)
def test_a_killed_move_loses_no_file(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    photos, collection = tmp_path / "photos", tmp_path / "c"
    samples.draw_many(photos, PHOTOS)
    samples.index(photos, collection)
    before = {path: file_sha256(path) for path in photos.iterdir()}
    away = {"another disk": other_disk(tmp_path), "the same disk": tmp_path / "away"}.get(to)
    places = [photos, away or tmp_path / "data" / "Trash" / "files"]
    fork = multiprocessing.get_context("fork")
    chance, killed, journal = random.Random(to), 0, collection / JOURNAL_NAME
    try:
        for _ in range(KILLS):
            action = "undo" if past_moves(collection) else "move"
            size = journal.stat().st_size if journal.exists() else 0
            process = fork.Process(target=work, args=(collection, photos, away, action))
            process.start()
            lines = chance.randint(1, PHOTOS // 2)
            while process.is_alive() and (
                not journal.exists() or journal.stat().st_size < size + 300 * lines
            ):
                time.sleep(0.0005)
            time.sleep(chance.uniform(0, 0.003))
            process.kill()
            process.join()
            killed += process.exitcode == -signal.SIGKILL
            found = [path for place in places if place.exists() for path in place.glob("*.png")]
            whole = {file_sha256(path) for path in found if path.stat().st_size}
            assert whole == set(before.values())
        assert killed > KILLS // 2
        while past_moves(collection):
            work(collection, photos, away, "undo")
        samples.index(photos, collection)  # what an older move has taken out of the collection
        assert {path: file_sha256(path) for path in photos.iterdir()} == before
        assert [path for place in places[1:] for path in place.iterdir()] == []
        with Collection.open(collection) as opened:
            assert {photo.path for photo in opened.photos("ok")} == before.keys()
        assert check(collection).problems == []
    finally:
        if away is not None:
            shutil.rmtree(away, ignore_errors=True)
