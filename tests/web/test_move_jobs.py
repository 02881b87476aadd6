"""Moving files over HTTP: off by default, only to allowed folders, undone by another job."""

import json
import shutil
from pathlib import Path

import pytest

from resight.files import file_sha256
from web_server import V1, OwnServer, Running, checked, make_sift_collection, running


@pytest.fixture(scope="module")
def moving(few_photos: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("moving")
    photos = shutil.copytree(few_photos, folder / "photos")
    collection = make_sift_collection(folder / "collection", photos)
    (folder / "sorted").mkdir()
    settings = {"allow_move": True, "index_folders": (folder / "sorted",)}
    with running(collection, **settings) as server:
        yield OwnServer(server, collection, photos)


def run_job(server: Running, **job: object) -> tuple[str, dict]:
    """Run a job; return how it ended."""
    id_ = checked(server.client.post(f"{V1}/jobs", json=job), 202)["id"]
    with server.client.stream("GET", f"{V1}/jobs/{id_}/events", timeout=60) as stream:
        lines = list(stream.iter_lines())
    name = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")][-1]
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")][-1]
    return name, json.loads(data)


def refuse(server: Running, status: int, **job: object) -> str:
    return checked(server.client.post(f"{V1}/jobs", json=job), status)["detail"]


def files(folder: Path) -> dict[Path, str]:
    return {path: file_sha256(path) for path in folder.rglob("*") if path.is_file()}


def test_photos_are_moved_listed_and_returned(moving, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    server, before = moving.server, files(moving.photos)
    info = server.get("/collection")
    assert (info["moves_allowed"], info["trash"]) == (True, True)
    target = moving.photos.parent / "sorted" / "new"
    assert str(target.parent) in info["move_folders"]
    names = {id_: server.get(f"/photos/{id_}")["name"] for id_ in (1, 2)}
    name, result = run_job(server, action="move", photos=[1, 2, 1], to=str(target))
    assert (name, result["moved"], result["failed"]) == ("done", 2, 0)
    assert {path.name for path in target.iterdir()} == set(names.values())
    assert server.get("/collection")["photos"] == 4
    server.get("/photos/1", status=404)
    (past,) = server.get("/moves")["moves"]
    assert (past["id"], past["photos"], past["folder"]) == (result["move"], 2, str(target))
    name, result = run_job(server, action="undo-move", move=past["id"])
    assert (name, result["moved"], server.get("/moves")) == ("done", 2, {"moves": []})
    assert files(moving.photos) == before
    assert server.get("/collection")["photos"] == 6
    name, result = run_job(server, action="move", photos=[3], to=str(target))
    (path,) = before.keys() - files(moving.photos).keys()
    path.write_text("another file of the same name")
    name, result = run_job(server, action="undo-move")
    renamed = path.with_name(f"{path.stem} (2){path.suffix}")
    assert result["renames"] == [{"name": path.name, "now": renamed.name}]
    assert (result["renamed"], file_sha256(renamed)) == (1, before[path])
    renamed.replace(path)
    run_job(server, action="index")
    name, _ = run_job(server, action="move", photos=[4], trash=True)
    assert name == "done"
    assert len(list((tmp_path / "data" / "Trash" / "files").iterdir())) == 1
    assert server.get("/moves")["moves"][0]["trash"]
    run_job(server, action="undo-move")
    assert files(moving.photos) == before
    refuse(server, 404, action="undo-move")


def test_moves_that_are_not_allowed_are_refused(moving, tmp_path):
    server, before = moving.server, files(moving.photos)
    photo = server.get("/photos")["photos"][0]["id"]
    link = moving.photos / "link"
    link.symlink_to(tmp_path)
    try:
        for folder in (tmp_path, link / "x", moving.photos / ".." / "other", moving.collection):
            refuse(server, 403, action="move", photos=[photo], to=str(folder))
    finally:
        link.unlink()
    refuse(server, 422, action="move", photos=[photo], to="sorted")
    refuse(server, 422, action="move", photos=[photo], to=next(iter(map(str, before))))
    file = next(iter(before))
    for folder in (file / "below", file.with_name("y" * 300)):
        refuse(server, 422, action="move", photos=[photo], to=str(folder))
    refuse(server, 422, action="index", folders=[str(file.with_name("y" * 300))])
    refuse(server, 422, action="move", photos=[photo])
    refuse(server, 422, action="move", photos=[photo], to="/x", trash=True)
    refuse(server, 422, action="move", trash=True)
    refuse(server, 422, action="remove", photos=[photo], trash=True)
    refuse(server, 404, action="move", photos=[photo, 99], trash=True)
    refuse(server, 404, action="undo-move", move="0000")
    assert files(moving.photos) == before
    for settings in ({}, {"allow_move": True, "host": "0.0.0.0", "token": "t" * 24}):
        with running(moving.collection, **settings) as other:
            headers = {"Authorization": f"Bearer {'t' * 24}"}
            job = {"action": "move", "photos": [photo], "trash": True}
            checked(other.client.post(f"{V1}/jobs", json=job, headers=headers), 403)
            info = other.client.get(f"{V1}/collection", headers=headers).json()
            assert (info["moves_allowed"], info["move_folders"]) == (False, [])
    assert files(moving.photos) == before


def test_groups_are_filtered_by_size_and_folder(moving):
    server = moving.server
    groups = server.get("/groups")["groups"]
    sizes = sorted(len(group["photos"]) for group in groups)
    assert sizes
    assert server.get("/groups", min_photos=sizes[-1] + 1)["groups"] == []
    large = server.get("/groups", min_photos=sizes[-1])["groups"]
    assert [len(group["photos"]) for group in large] == [n for n in sizes if n == sizes[-1]]
    inside = server.get("/groups", under=str(moving.photos / "object-01"))["groups"]
    assert inside == [g for g in groups if any("object-01" in p["path"] for p in g["photos"])]
    assert server.get("/groups", under=str(moving.collection))["groups"] == []
    assert len(server.get("/groups", under="object-01")["groups"]) == 1  # as `/folders` names it
    exported = server.get("/groups.json", under="object-01")["groups"]
    assert [len(group["photos"]) for group in exported] == [
        len(group["photos"]) for group in inside
    ]
    assert server.get("/groups.json", min_photos=sizes[-1] + 1)["groups"] == []
    server.get("/groups", 422, under="object-99")
    server.get("/groups", 422, min_photos=1)
