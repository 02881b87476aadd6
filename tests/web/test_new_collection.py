"""A server without a collection: which folders it may begin with, and that it then works."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import samples
from resight.collection import Collection
from resight.errors import CollectionError
from resight.indexing import pipeline
from resight.web import WebSettings, index_jobs
from resight.web.app import create_app
from web_server import V1, checked

TOKEN = "0123456789abcdef-secret"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder with two folders of photos, one of them hidden; index runs are quick."""
    folder = tmp_path / "home"
    samples.draw_many(folder / "Pictures" / "sea", 3)
    samples.draw_many(folder / ".cache" / "sea", 1)
    samples.draw_many(tmp_path / "others", 1)
    (folder / "link").symlink_to(tmp_path / "others")
    monkeypatch.setenv("HOME", str(folder))
    real = pipeline.index
    monkeypatch.setattr(
        index_jobs.pipeline,
        "index",
        lambda *places, **options: real(*places, config=samples.QUICK, **options),
    )
    return folder


def client_of(collection: Path, **settings: Any) -> TestClient:
    app = create_app(collection, WebSettings(**{"token": TOKEN, **settings}))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return TestClient(app, base_url="http://127.0.0.1:8765", headers=headers)


@pytest.fixture
def client(home: Path) -> Iterator[TestClient]:
    with client_of(home / "c") as client:
        yield client


def index(client: TestClient, *folders: Path, status: int = 202) -> dict[str, Any]:
    """Start an index job; return it at its end, or the refusal."""
    named = {"folders": [str(folder) for folder in folders]} if folders else {}
    answer = checked(client.post(f"{V1}/jobs", json={"action": "index", **named}), status)
    while status == 202 and answer.get("state", "running") == "running":
        answer = checked(client.get(f"{V1}/jobs/{answer['id']}"), 200)
        time.sleep(0.02)
    return answer


def test_the_first_photos_are_indexed_and_the_server_then_works(client, home):
    def get(path: str, status: int = 200) -> dict[str, Any]:
        return checked(client.get(f"{V1}{path}"), status)

    info = get("/collection")
    assert (info["new"], info["photos"], info["folders_allowed"]) == (True, 0, True)
    assert info["index_folders"] == [str(home / "Pictures")]
    empty = [get(path) for path in ("/photos", "/failed", "/folders", "/names", "/hints", "/moves")]
    assert all(not value for answer in empty for value in answer.values())
    get("/groups", 409)
    photo = (home / "Pictures" / "sea" / "000.png").read_bytes()
    search = {"files": {"file": ("a.png", photo, "image/png")}}
    assert "no photos yet" in checked(client.post(f"{V1}/search", **search), 409)["detail"]
    assert "name a folder" in index(client, status=409)["detail"]
    (home / "none").mkdir()
    assert "no photos there" in index(client, home / "none")["detail"]
    assert not (home / "c").exists()  # only an index run with photos creates it
    assert index(client, home / "Pictures")["result"]["new"] == 3
    info = get("/collection")
    assert (info["new"], info["photos"], info["folders_allowed"]) == (False, 3, False)
    assert info["index_folders"] == []
    assert checked(client.post(f"{V1}/search", **search), 200)["results"][0]["name"] == "000.png"
    with Collection.open(home / "c") as opened:
        assert opened.meta("folders") == [str(home / "Pictures")]


def test_only_folders_at_home_may_be_the_first_and_only_once(client, home, tmp_path):
    for folder in (tmp_path / "others", home / "link", Path("/etc")):
        assert "below your home folder" in index(client, folder, status=403)["detail"]
    assert "Hidden" in index(client, home / ".cache" / "sea", status=403)["detail"]
    index(client, Path("Pictures"), status=422)
    assert index(client, home / "Pictures" / "sea")["state"] == "done"
    index(client, home, status=403)
    ids = [photo["id"] for photo in checked(client.get(f"{V1}/photos"), 200)["photos"]]
    job = checked(client.post(f"{V1}/jobs", json={"action": "remove", "photos": ids}), 202)
    while checked(client.get(f"{V1}/jobs/{job['id']}"), 200)["state"] == "running":
        time.sleep(0.02)
    assert checked(client.get(f"{V1}/collection"), 200)["photos"] == 0
    index(client, home, status=403)  # else whoever may remove photos could look at all others


def test_allowed_folders_replace_the_home_folder(home, tmp_path):
    with client_of(home / "c", index_folders=(tmp_path / "others",)) as client:
        info = checked(client.get(f"{V1}/collection"), 200)
        assert info["index_folders"] == [str(tmp_path / "others")]
        assert "neither" in index(client, home / "Pictures", status=403)["detail"]
        assert index(client, tmp_path / "others")["result"]["new"] == 1


@pytest.mark.parametrize(
    ("folder", "settings", "message"),
    [
        ("c", {"token": None}, "no collection here"),  # other users could read the home folder
        ("c", {"host": "0.0.0.0"}, "no collection here"),
        ("disk/c", {}, "no collection here"),  # as where a disk is not connected
        ("home", {}, "not empty"),
    ],
)
def test_a_server_without_a_collection_is_refused(home, tmp_path, folder, settings, message):
    with pytest.raises(CollectionError, match=message):
        create_app(tmp_path / folder, WebSettings(**{"token": TOKEN, **settings}))
