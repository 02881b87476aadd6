"""Photos in an object store: a real server of the S3 protocol, and what can be wrong with one."""

import http.server
import importlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import samples
from environment import Run
from resight.backends.manage import remove
from resight.collection.integrity import check
from resight.config import SearchConfig
from resight.errors import ImageError, UsageError
from resight.indexing import pipeline
from resight.photos import is_remote, to_url
from resight.photos.files import find_photos, read_lists
from resight.photos.images import load_image
from resight.searching import search


@pytest.fixture
def reached(object_store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the store, with this process's environment set to reach it."""
    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    return Path(object_store["DRAWN"])


@pytest.mark.slow
def test_a_bucket_is_listed_like_a_folder(reached: Path) -> None:
    place = Path("s3://photos/2026")
    scan = find_photos([place, Path("s3://photos/other/y.png"), place])
    names = [*(f"2026/{n:03}.png" for n in range(6)), "2026/bad.jpg", "other/y.png"]
    assert [to_url(photo.path) for photo in scan.photos] == [
        f"s3://photos/{name}" for name in names
    ]
    assert scan.ignored == {".txt": 2}
    first = scan.photos[0]
    assert first.size == (reached / "000.png").stat().st_size
    assert first.mtime_ns > 10**18
    assert load_image(first.path).tobytes() == load_image(reached / "000.png").tobytes()


def test_a_photo_that_is_not_there(reached: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        load_image(Path("s3://photos/none.jpg"))


def test_a_bucket_is_indexed_and_searched_like_a_folder(reached: Path, tmp_path: Path) -> None:
    collection = tmp_path / "c"
    run = pipeline.index([Path("s3://photos/2026/")], collection, config=samples.QUICK)
    assert (run.photos, [reason for _, reason in run.report.failed]) == (
        6,
        ["not an image, or damaged beyond recognition"],
    )
    samples.index(reached, tmp_path / "disk")
    stored = samples.contents(collection)["descriptors"]
    assert stored == samples.contents(tmp_path / "disk")["descriptors"]
    again = pipeline.index([Path("s3://photos/2026/")], collection)
    assert (again.report.new, again.report.unchanged, again.report.vanished) == (0, 6, [])
    found = search(reached / "002.png", collection, SearchConfig(k=1, verify=1)).results
    assert to_url(found[0].path) == "s3://photos/2026/002.png"
    assert found[0].inliers
    removed = remove([Path("s3://photos/2026/000.png")], collection)
    assert [to_url(path) for path in removed] == ["s3://photos/2026/000.png"]


def test_a_check_reads_the_photos_of_a_bucket(reached: Path, tmp_path: Path) -> None:
    place, collection = Path("s3://photos/checked"), tmp_path / "c"
    s3fs = pytest.importorskip("s3fs")
    store = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for number in range(3):
        store.pipe_file(f"photos/checked/{number}.png", (reached / f"00{number}.png").read_bytes())
    pipeline.index([place], collection, config=samples.QUICK)
    assert check(collection, read_photos=True).read == 3
    time.sleep(1.1)  # the store's times are whole seconds
    store.pipe_file("photos/checked/0.png", b"changed")
    store.rm_file("photos/checked/1.png")
    report = check(collection, read_photos=True)
    assert report.intact
    assert ([p.name for p in report.changed], [p.name for p in report.missing]) == (
        ["0.png"],
        ["1.png"],
    )
    assert report.rotted == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("s3://nowhere/x", "cannot be listed: The specified bucket does not exist"),
        ("s3://photos/none", "no such bucket or folder, or it is empty"),
        ("nope://a/b", "Protocol not known: nope"),
    ],
)
def test_what_cannot_be_listed(place: str, line: str, reached: Path) -> None:
    with pytest.raises(UsageError) as refused:
        find_photos([Path(place)])
    assert str(refused.value).startswith(f"{place}: {line}")


@pytest.mark.slow
def test_a_store_without_its_credentials(
    object_store: dict[str, str], tmp_path: Path, resight_process: Run
) -> None:
    variables = {**object_store, "AWS_ACCESS_KEY_ID": "", "HOME": str(tmp_path)}
    command = ["index", "s3://photos/2026", "-c", tmp_path / "c", "--config", "sift-vlad"]
    done = resight_process(*command, env={**os.environ, **variables})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("resight: s3://photos/2026: cannot be listed: ")
    assert not (tmp_path / "c").exists()


def test_a_store_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = importlib.import_module("fsspec.registry")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(registry._registry, "s3", raising=False)
    with pytest.raises(UsageError, match=r"s3://b: .*pip install 'resight\[s3\]'"):
        find_photos([Path("s3://b")])


def test_lists_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a b.jpg", "c\u2028d.jpg", "@e.jpg"]
    for name in names:
        Path(name).write_bytes(b"")
    Path("list").write_text(f"{tmp_path}/a b.jpg\r\n\ns3://photos/2026\n{names[1]}\n", "utf-8")
    places = read_lists([Path("x"), Path("@list"), Path("@e.jpg")])
    assert [str(place) for place in places] == [
        *("x", f"{tmp_path}/a b.jpg", "s3:/photos/2026", names[1], "@e.jpg"),
    ]
    with pytest.raises(UsageError, match="@none: the list cannot be read: No such file"):
        read_lists([Path("@none")])
    Path("list").write_text("a b.jpg\ngone.jpg\nalso gone.jpg\n", "utf-8")
    line = "@list: 2 of its 3 lines name no existing file or folder; the first is gone.jpg"
    with pytest.raises(UsageError, match=line):
        read_lists([Path("@list")])


def test_only_urls_are_remote() -> None:
    names = ["s3://b/x", "gs://b", "/s3:/x", "C:/x", "a/b:", "https://h/x"]
    assert [is_remote(Path(name)) for name in names] == [True, True, False, False, False, True]


def test_photos_of_a_web_server(tmp_path: Path) -> None:
    samples.draw_many(tmp_path / "photos", 2)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "photos"))

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            run = pipeline.index([Path(f"{url}/000.png")], tmp_path / "c", config=samples.QUICK)
            assert (run.photos, run.report.failed) == (1, [])
            run = pipeline.index([Path(f"{url}/")], tmp_path / "c")
            assert (run.photos, run.report.failed) == (2, [])
            with pytest.raises(UsageError, match=r"none\.png: no such bucket or folder"):
                pipeline.index([Path(f"{url}/none.png")], tmp_path / "c")
        finally:
            server.shutdown()
            thread.join()
    paths = [photo.path for photo in samples.photos_by_name(tmp_path / "c").values()]
    assert list(map(to_url, paths)) == [f"{url}/000.png", f"{url}/001.png"]
