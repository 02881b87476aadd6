"""Checksums of rows: every change of a row by anything but a writer's transaction is found."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import samples
from resight.backends.hints import decide
from resight.backends.names import name
from resight.collection import Collection
from resight.collection.integrity import check
from resight.collection.row_sums import row_crc32
from resight.collection.search_arrays import HEADER_NAME, load_arrays
from resight.collection.writer import writing
from resight.config import LocalConfig, SearchConfig, WccnConfig
from resight.errors import CollectionError
from resight.indexing.pipeline import index
from resight.searching import search
from shared_folders import made_once

METHOD = LocalConfig(
    method="local", aggregation="vlad", longest_side=128, max_keypoints=60, centers=4, sample=4000
)
ADAPTED = WccnConfig(min_photos=4, copies=2, features=4, neighbors=3)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with photos and an adapted collection, whose arrays are written."""

    def make(folder: Path) -> None:
        drawn = samples.draw_many(folder / "photos", 8)
        index([folder / "photos"], folder / "c", config=(METHOD, ADAPTED))
        decide("same", drawn[:2], folder / "c")
        name("a thing", drawn[:2], folder / "c")
        with Collection.open(folder / "c") as opened:
            load_arrays(opened)

    return made_once(tmp_path_factory, "adapted-sums", make)


@pytest.fixture
def folder(adapted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapted / "c", tmp_path / "c"))


def rot(folder: Path, sql: str) -> None:
    """Change rows without the triggers, as a failing disk does."""
    with closing(sqlite3.connect(folder / "resight.sqlite")) as database, database:
        triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        kept = triggers.fetchall()
        version = database.execute("PRAGMA schema_version").fetchone()[0]
        for name, _ in kept:
            database.execute(f"DROP TRIGGER {name}")
        changed = database.execute(sql).rowcount
        assert changed > 0
        for _, text in kept:
            database.execute(text)
        database.execute(f"PRAGMA schema_version = {version}")


@pytest.mark.parametrize(
    "change",
    [
        "path = x'2f6e6f'",
        "size = size + 1",
        "mtime_ns = mtime_ns + 1",
        "width = 121",
        "indexed_at = ''",
        "content = replace(content, 'a', 'b')",
        "state = 'failed'",
    ],
)
def test_a_changed_entry_is_found_and_read_again(folder: Path, change: str, adapted: Path) -> None:
    before = samples.contents(folder)["photos"]
    rot(folder, f"UPDATE photos SET {change} WHERE id = 3")
    report = check(folder)
    assert "photo 3: its entry was damaged" in report.problems
    index([adapted / "photos"], folder, prune=True)
    after = {row[1:] for row in samples.contents(folder)["photos"]}
    expected = {row[1:] for row in before}
    assert expected <= after
    # An entry whose path is lost is listed among the failures.
    assert [row[0] for row in after - expected] == ([b"/no"] if "path" in change else [])
    assert check(folder).intact


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("UPDATE meta SET value = replace(value, '128', '129') WHERE key = 'config'", "meta"),
        ("DELETE FROM meta WHERE key = 'fingerprint'", "meta"),
        ("UPDATE fitted SET data = CAST(data || x'00' AS BLOB) WHERE name = 'selection'", "fitted"),
        ("UPDATE hints SET first = second", "hints"),
        ("DELETE FROM hints", "hints"),
        ("UPDATE names SET name = 'other'", "names"),
        ("UPDATE table_sums SET name = 'mdta config' WHERE name = 'meta config'", "table_sums"),
        (
            "UPDATE table_sums SET name = 'm config', crc32 = NULL WHERE name = 'meta config'",
            "table_sums",
        ),
    ],
)
def test_changed_rows_of_small_tables_are_found_until_restored(
    folder: Path, sql: str, table: str
) -> None:
    rot(folder, sql)
    for _ in range(2):  # what a check itself stores must not hide the damage
        problems = check(folder, sample=0.5).problems
        assert [line.split(":")[0] for line in problems] == [table]
        assert problems[0].endswith("restore the collection from a backup")


def test_damaged_results_are_not_served(folder: Path, adapted: Path) -> None:
    rot(folder, "UPDATE photos SET path = path || x'00' WHERE id = 5")
    with pytest.raises(CollectionError, match=r"photo 5 is damaged; run resight check"):
        search(adapted / "photos" / "000.png", folder, SearchConfig(k=8))


def test_arrays_are_not_built_from_damaged_descriptors(folder: Path, adapted: Path) -> None:
    shutil.rmtree(folder / "arrays")
    rot(folder, "UPDATE descriptors SET global = zeroblob(length(global)) WHERE rowid = 2")
    with pytest.raises(CollectionError, match="descriptor of photo 2 is damaged"):
        search(adapted / "photos" / "000.png", folder, SearchConfig(k=8))


def test_arrays_are_not_built_by_damaged_parameters(folder: Path, adapted: Path) -> None:
    shutil.rmtree(folder / "arrays")
    rot(folder, "UPDATE fitted SET data = CAST(data || x'00' AS BLOB) WHERE name = 'selection'")
    with pytest.raises(CollectionError, match="fitted parameters are damaged"):
        search(adapted / "photos" / "000.png", folder, SearchConfig(k=8))


@pytest.mark.parametrize("sql", ["UPDATE meta SET value = '{'", "UPDATE fitted SET how = '{'"])
def test_settings_that_cannot_be_read_are_damage(folder: Path, adapted: Path, sql: str) -> None:
    rot(folder, sql)
    with pytest.raises(CollectionError, match="the database is damaged"):
        search(adapted / "photos" / "000.png", folder, SearchConfig(k=8))


@pytest.mark.parametrize("name", ["global.npy", "ids.npy"])
def test_small_arrays_that_rotted_are_rebuilt_by_the_next_search(
    folder: Path, adapted: Path, name: str
) -> None:
    def found() -> list[tuple[str, float]]:
        results = search(adapted / "photos" / "001.png", folder, SearchConfig(k=8)).results
        return [(result.path.name, result.distance) for result in results]

    expected = found()
    (path,) = folder.glob(f"arrays/*/{name}")
    for place in (-1, -6, 20, 60):  # values and the header
        data = bytearray(path.read_bytes())
        data[place] ^= 0x40
        path.write_bytes(data)
        assert found() == expected
        (path,) = folder.glob(f"arrays/*/{name}")


def test_a_header_that_rotted_is_not_believed(folder: Path) -> None:
    (path,) = folder.glob(f"arrays/*/{HEADER_NAME}")
    header = json.loads(path.read_text())
    path.write_text(json.dumps({**header, "gone": [1]}))
    with Collection.open(folder) as opened:
        assert len(load_arrays(opened).database.ids) == 8
        assert load_arrays(opened).database.count == 8


def test_arrays_that_lack_a_photo_are_found(folder: Path) -> None:
    rot(folder, "UPDATE changes SET what = 'unseen' WHERE photo = 4")
    shutil.rmtree(folder / "arrays")
    with Collection.open(folder) as opened:
        load_arrays(opened)
    assert check(folder).intact  # a rebuilt array does not depend on the changes
    with writing(folder) as writer:
        writer.remove([photo for photo in writer.collection.photos() if photo.id == 6])
    rot(folder, "UPDATE changes SET photo = 99 WHERE number = (SELECT max(number) FROM changes)")
    report = check(folder)
    assert report.problems == ["search arrays: they did not hold the photos"]
    assert check(folder).intact


def test_collections_of_earlier_versions_get_checksums(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "resight.sqlite")) as database, database:
        for trigger in ("photo_sum_insert", "photo_sum_update", "photo_sum_delete"):
            database.execute(f"DROP TRIGGER {trigger}")
        for table in ("meta", "fitted", "hints", "names"):
            for event in ("insert", "update", "delete"):
                database.execute(f"DROP TRIGGER {table}_sum_{event}")
        database.execute("DROP TABLE photo_sums")
        database.execute("DROP TABLE table_sums")
        database.execute("UPDATE photos SET width = 121 WHERE id = 3")
    assert check(folder).intact
    rot(folder, "UPDATE photos SET width = 122 WHERE id = 3")
    assert check(folder).problems == ["photo 3: its entry was damaged"]


def test_changes_by_earlier_versions_are_no_damage(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "resight.sqlite")) as database, database:
        database.execute("UPDATE photos SET width = 121 WHERE id = 3")
        database.execute("INSERT OR REPLACE INTO meta VALUES ('precisions', '[]')")
        database.execute("DELETE FROM hints")
    with Collection.open(folder) as opened:
        assert opened.photos_by_id([3])[3].width == 121
    assert check(folder).intact
    rot(folder, "UPDATE meta SET value = '1' WHERE key = 'precisions'")
    assert [line.split(":")[0] for line in check(folder).problems] == ["meta"]


def test_databases_that_were_not_finished_are_removed(folder: Path) -> None:
    for left in ("resight.sqlite.1-2.new", "resight.sqlite.1-2.new-wal"):
        (folder / left).touch()
    (folder / "resight.sqlite.backup").touch()
    assert check(folder).intact
    assert {path.name for path in folder.glob("resight.sqlite*")} == {
        "resight.sqlite", "resight.sqlite.backup"
    }  # fmt: skip


def test_rows_of_other_types_and_lengths_have_other_checksums() -> None:
    rows = [
        (1,),
        ("1",),
        (b"1",),
        (None,),
        ("None",),
        ("1", ""),
        ("", "1"),
        ("ab", "c"),
        ("a", "bc"),
    ]
    assert len({row_crc32(row) for row in rows}) == len(rows)
