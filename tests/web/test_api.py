"""The HTTP interface: its answers are those of the Python interface and the command line."""

import base64
import csv
import io
import itertools
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from resight.backends.manage import remove
from resight.collection.reader import Collection
from resight.config import SearchConfig
from resight.indexing import pipeline
from resight.methods.model import ModelOptions
from resight.ranking.exact import Query, distances_to, ranking
from resight.ranking.groups import find_groups
from resight.searching.search import search
from resight.searching.searcher import Searcher, SearchResults
from resight.views.explain import explain
from web_server import (
    V1,
    Running,
    checked,
    make_cnn_collection,
    make_photos,
    make_sift_collection,
    running,
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("web") / "photos")


@pytest.fixture(scope="module")
def collection(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sift_collection(tmp_path_factory.mktemp("web") / "collection", photos)


@pytest.fixture(scope="module")
def server(collection: Path) -> Iterator[Running]:
    with running(collection) as started:
        yield started


@pytest.fixture
def own(photos: Path, tmp_path: Path) -> Iterator[tuple[Running, Path, Path]]:
    """A server, a collection and photos that a test may change."""
    mine = shutil.copytree(photos, tmp_path / "photos")
    folder = make_sift_collection(tmp_path / "collection", mine)
    with running(folder) as started:
        yield started, folder, mine


def ids_of(collection: Path) -> dict[str, int]:
    with Collection.open(collection) as opened:
        return {str(photo.path): photo.id for photo in opened.photos("ok")}


def same(answer: dict, found: SearchResults, collection: Path) -> None:
    """Ids, ranks and distances, digit by digit."""
    ids = ids_of(collection)
    theirs = [
        (ids[str(r.path)], r.rank, repr(r.distance), r.inliers, r.region and list(r.region))
        for r in found.results
    ]
    ours = [
        (r["id"], r["rank"], repr(r["distance"]), r.get("inliers"), r.get("region"))
        for r in answer["results"]
    ]
    assert ours == theirs


# Searching


def test_upload_of_a_known_photo_answers_like_the_command_line(server, collection, photos, resight):
    query = photos / "object-02" / "view-1.jpg"
    done = resight("search", query, "-c", collection, "-k", 7, "--json")
    printed = json.loads(done.stdout)["results"]
    answer = server.upload(query, k=7)
    ids = ids_of(collection)
    assert [r["id"] for r in answer["results"]] == [ids[entry["path"]] for entry in printed]
    # The very text of the numbers, as both print it.
    raw = server.client.post(
        f"{V1}/search", files={"file": query.read_bytes()}, data={"k": "7"}
    ).text
    for entry in printed:
        assert f'"distance":{entry["distance"]!r}' in raw
        assert f'"distance": {entry["distance"]!r}' in done.stdout


@pytest.mark.parametrize("box", [None, (0, 0, 640, 480), (100, 60, 320, 256), (5, 470, 3, 9)])
@pytest.mark.parametrize("verify", [0, 3])
def test_box_and_verification_answer_like_the_python_interface(
    server, collection, photos, box, verify
):
    query = photos / "object-01" / "view-2.jpg"
    found = search(query, collection, SearchConfig(k=5, verify=verify), box=box)
    fields = {"box": ",".join(map(str, box))} if box else {}
    answer = server.upload(query, k=5, verify=verify, **fields)
    same(answer, found, collection)
    assert answer["box"] == (list(box) if box else None)
    named = server.search(upload=answer["query"]["upload"], k=5, verify=verify, **fields)
    assert named["results"] == answer["results"]
    id_ = ids_of(collection)[str(query)]
    assert server.search(photo=id_, k=5, verify=verify, **fields)["results"] == answer["results"]


@pytest.mark.parametrize("rerank", ["alpha-qe", "diffusion"])
def test_re_ranking_answers_like_the_python_interface(server, collection, photos, rerank):
    query = photos / "object-01" / "view-2.jpg"
    config = SearchConfig(k=5, verify=3, rerank=rerank)
    found = search(query, collection, config)
    same(server.upload(query, k=5, verify=3, rerank=rerank), found, collection)
    whole = server.search(photo=1, k=15, rerank=rerank)["results"]
    pages = [server.search(photo=1, k=5, offset=at, rerank=rerank) for at in (0, 5, 10)]
    assert [result for page in pages for result in page["results"]] == whole
    limit = sorted(result["distance"] for result in whole)[5]
    within = server.search(photo=1, k=15, rerank=rerank, limit=limit)
    assert within["total"] == len(within["results"]) == 6
    assert max(result["distance"] for result in within["results"]) == limit


def test_numbers_of_the_re_ranking_and_an_affine_map(server, collection, photos):
    query = photos / "object-01" / "view-2.jpg"
    numbers = "k1=8", "share=0.9", "shortlist=12"
    config = SearchConfig(
        k=12, verify=6, verify_geometry="affine", rerank="k-reciprocal", rerank_with=numbers
    )
    how = {"k": 12, "verify": 6, "verify_geometry": "affine", "rerank": "k-reciprocal"}
    found = search(query, collection, config)
    same(server.upload(query, rerank_with=",".join(numbers), **how), found, collection)
    plain = {"photo": 1, "k": 15, "rerank": "k-reciprocal"}
    usual, other = (
        server.search(**plain, **more)["results"] for more in ({}, {"rerank_with": "share=0"})
    )
    assert usual != other


@pytest.mark.parametrize(
    ("rerank", "numbers", "said"),
    [
        ("diffusion", "damping=2", "damping: between 0 and 1."),
        ("diffusion", "damp=0.5", "unknown field 'damp'; the fields are"),
        ("diffusion", "damping", "'damping' is not NAME=VALUE."),
        ("diffusion", "method=1", "'method=1' is not NAME=VALUE."),
        ("diffusion", "mutual=x", "'x' is no number."),
        ("diffusion", "shortlist=1001", "shortlist: at most 1000."),
        ("none", "damping=0.1", "goes with a rerank."),
    ],
)
def test_numbers_of_the_re_ranking_that_cannot_be(server, rerank, numbers, said):
    refused = server.search(photo=1, rerank=rerank, rerank_with=numbers, status=422)
    assert said in refused["detail"]


def test_columns_need_a_network(server):
    refused = server.search(photo=1, verify=2, verify_by="columns", status=422)
    assert "has no network" in refused["detail"]


def test_a_photo_that_is_not_in_the_collection(server, collection, tmp_path):
    path = tmp_path / "new.png"
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    Image.fromarray(noise).resize((600, 400)).save(path)
    answer = server.upload(path)
    same(answer, search(path, collection), collection)
    assert answer["query"] == {
        "photo": None,
        "upload": answer["query"]["upload"],
        "width": 600,
        "height": 400,
    }


def test_an_upright_size_and_box_for_a_photo_that_lies_on_its_side(server, collection, tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[274] = 6
    Image.effect_mandelbrot((400, 200), (-2, -1, 1, 1), 60).save(path, exif=exif)
    answer = server.upload(path, box="150,300,50,100")
    assert (answer["query"]["width"], answer["query"]["height"]) == (200, 400)
    same(answer, search(path, collection, box=(150, 300, 50, 100)), collection)
    kept = server.client.get(f"{V1}/uploads/{answer['query']['upload']}")
    assert kept.content == path.read_bytes()
    assert kept.headers["content-type"] == "image/jpeg"


def test_every_photo_by_id_is_ranked_as_in_an_exhaustive_scan(server, collection):
    with Collection.open(collection) as opened:
        searcher = Searcher(opened)
        database = searcher.store.arrays().database
        for row, id_ in enumerate(map(int, database.ids)):
            distances = distances_to(Query(database.global_[row]), database, searcher.distance)
            order = ranking(distances, database.ids)
            answer = server.search(photo=id_, k=1000)
            assert [r["id"] for r in answer["results"]] == database.ids[order].tolist()
            assert [r["distance"] for r in answer["results"]] == [
                float(d) for d in distances[order]
            ]
            assert answer["results"][0]["id"] == id_
            assert answer["total"] == len(database.ids)


def test_pages_of_results_join_to_the_whole(server):
    whole = server.search(photo=1, k=15)["results"]
    pages = [server.search(photo=1, k=4, offset=at)["results"] for at in (0, 4, 8, 12)]
    assert [*itertools.chain(*pages)] == whole
    assert server.search(photo=1, k=4, offset=100)["results"] == []
    verified = server.search(photo=1, k=15, verify=4)["results"]
    pages = [server.search(photo=1, k=5, offset=at, verify=4)["results"] for at in (0, 5, 10)]
    assert [*itertools.chain(*pages)] == verified


def test_limit_keeps_what_is_nearer_and_counts_it(server):
    whole = server.search(photo=1, k=15)["results"]
    limit = whole[5]["distance"]
    answer = server.search(photo=1, k=3, limit=limit)
    assert answer["total"] == sum(r["distance"] <= limit for r in whole) >= 6
    assert answer["results"] == whole[:3]
    assert server.search(photo=1, k=15, limit=limit)["results"] == whole[: answer["total"]]
    assert server.search(photo=1, limit=0)["total"] == 1


def test_the_network_answers_like_the_python_interface(photos, tmp_path, small_weights):
    folder = make_cnn_collection(tmp_path / "cnn", photos / "object-01", small_weights, cam=True)
    model = ModelOptions(small_weights, "cpu")
    with running(folder, model) as server:
        about = server.get("/collection")
        assert (about["cnn"], about["has_local"], about["distance"]) == (True, True, "manhattan")
        for query in (photos / "object-01" / "view-1.jpg", photos / "object-02" / "view-1.jpg"):
            for box in (None, (40, 30, 300, 400)):
                fields = {"box": ",".join(map(str, box))} if box else {}
                found = search(query, folder, box=box, model=model)
                answer = server.upload(query, **fields)
                same(answer, found, folder)
                config = SearchConfig(verify=2, verify_by="columns")
                found = search(query, folder, config, box=box, model=model)
                same(server.upload(query, verify=2, verify_by="columns", **fields), found, folder)
                body = {"query": {"upload": answer["query"]["upload"]}, "result": 2, **fields}
                why = explained(server, body)
                python = explain(
                    query,
                    photos / "object-01" / "view-2.jpg",
                    collection=folder,
                    box=box,
                    model=model,
                )
                assert why["distance"] == python.distance
                assert (why["query"]["cam"] is None) == (python.mask_query is None)
                assert why["query"]["heat"] is not None


def test_without_weights_photos_of_the_collection_can_still_be_searched(
    photos, tmp_path, small_weights
):
    weights = shutil.copy(small_weights, tmp_path / "weights.pth")
    folder = make_cnn_collection(tmp_path / "cnn", photos / "object-01", weights)
    with running(folder, ModelOptions(tmp_path / "gone.pth", "cpu")) as server:
        assert server.search(photo=1)["results"][0]["id"] == 1
        query = photos / "object-02" / "view-1.jpg"
        answer = server.client.post(f"{V1}/search", files={"file": query.read_bytes()})
        assert answer.status_code == 503
        assert "gone.pth: cannot be read" in answer.json()["detail"]


# Explaining


def overlay(address: str) -> np.ndarray:
    assert address.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        assert picture.mode == "RGBA"
        return np.array(picture)


def explained(server: Running, body: dict, status: int = 200) -> dict:
    return checked(server.client.post(f"{V1}/explain", json=body), status)


def test_explanation_equals_the_python_interface(server, collection, photos):
    paths = [photos / "object-01" / f"view-{view}.jpg" for view in (1, 2)]
    ids = [ids_of(collection)[str(path)] for path in paths]
    for box in (None, (120, 80, 400, 320)):
        found = explain(*paths, collection=collection, box=box)
        text = ",".join(map(str, box)) if box else None
        answer = explained(server, {"query": {"photo": ids[0]}, "result": ids[1], "box": text})
        assert answer["inliers"] == found.inliers == len(answer["matches"])
        assert found.inliers >= 8
        assert answer["distance"] == found.distance
        assert answer["agreement"] == found.agreement
        assert np.abs(np.array(answer["matches"]) - found.matches).max() <= 0.051
        heat = overlay(answer["query"]["heat"])
        assert heat.shape[1] * 480 == heat.shape[0] * 640
        if box:
            # Nothing outside the box is heated.
            x, y, w, h = (round(v * heat.shape[1] / 640) for v in box)
            heat[max(0, y - 6) : y + h + 6, max(0, x - 6) : x + w + 6] = 0
            assert heat[..., 3].max() == 0


def test_explanation_of_an_upload_and_what_cannot_be_explained(server, photos):
    upload = server.upload(photos / "object-02" / "view-1.jpg", k=1)["query"]["upload"]
    answer = explained(server, {"query": {"upload": upload}, "result": 8})
    with Image.open(photos / "object-02" / "view-1.jpg") as query:
        assert (answer["query"]["width"], answer["query"]["height"]) == query.size
    explained(server, {"query": {"upload": "none"}, "result": 8}, 404)
    explained(server, {"query": {"upload": upload}, "result": 999}, 404)
    explained(server, {"query": {"upload": upload, "photo": 1}, "result": 8}, 422)
    explained(server, {"query": {"upload": upload}}, 422)
    explained(server, {"query": {"upload": upload}, "result": 8, "box": "0,0,641,9"}, 422)


# Groups


def test_groups_equal_the_python_interface(own):
    server, collection, photos = own
    original = photos / "object-01" / "view-1.jpg"
    with Image.open(original) as picture:
        picture.save(photos / "clutter" / "copy.jpg", quality=80)
    pipeline.index([photos], collection)
    with Collection.open(collection) as opened:
        searcher = Searcher(opened)
        database = searcher.store.arrays().database
        for limit in (None, 0.0, 0.3, 0.9, 5.0):
            found = find_groups(database, searcher.distance, limit)
            parameters = {} if limit is None else {"limit": limit}
            answer = server.get("/groups", **parameters)
            groups = [(g["kind"], tuple(p["id"] for p in g["photos"])) for g in answer["groups"]]
            assert groups == [(group.kind, group.ids) for group in found.groups]
            assert answer["limit"] == found.limit
            assert answer["estimated_limit"] == found.estimated_limit
            assert answer["next"] is None
            exported = server.client.get(f"{V1}/groups.json", params=parameters)
            assert "attachment" in exported.headers["content-disposition"]
            assert [g["kind"] for g in exported.json()["groups"]] == [g for g, _ in groups]
            table = server.client.get(f"{V1}/groups.csv", params=parameters)
            rows = [*csv.reader(io.StringIO(table.text))]
            assert rows[0] == ["group", "kind", "path"]
            assert len(rows) - 1 == sum(len(ids) for _, ids in groups)
            assert all(Path(row[2]).is_relative_to(photos) for row in rows[1:])
    pair = {ids_of(collection)[str(p)] for p in (original, photos / "clutter" / "copy.jpg")}
    assert any(
        pair <= {p["id"] for p in g["photos"]} for g in server.get("/groups", limit=0.5)["groups"]
    )
    for limit in ("nan", -1, "inf", "x"):
        server.get("/groups", limit=limit, status=422)


# Photos


def test_collection_says_what_it_is_and_what_is_allowed(server, collection):
    about = server.get("/collection")
    assert about["name"] == collection.name
    assert (about["photos"], about["failed"]) == (15, 0)
    assert (about["method"], about["distance"], about["cnn"]) == ("sift-vlad", "cosine", False)
    assert about["config"]["centers"] == 32
    assert not about["urls_allowed"]
    assert not about["indexing"]


def test_photos_come_in_pages_by_id(server, collection):
    seen, after = [], 0
    while after is not None:
        page = server.get("/photos", after=after, limit=4)
        assert len(page["photos"]) <= 4
        seen += page["photos"]
        after = page["next"]
    assert [p["id"] for p in seen] == sorted(ids_of(collection).values())
    assert server.get(f"/photos/{seen[3]['id']}") == seen[3]
    for photo in seen:
        assert Path(photo["path"]).name == photo["name"]
        with Image.open(photo["path"]) as image:
            assert image.size == (photo["width"], photo["height"])


def test_thumbnail_is_small_kept_and_not_sent_twice(server, collection):
    photo = server.get("/photos/1")
    first = server.client.get(f"{V1}/photos/1/thumbnail")
    assert first.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(first.content)) as small:
        assert max(small.size) == 320
        assert small.size[0] * photo["height"] == small.size[1] * photo["width"]
    assert list((collection / "thumbnails").glob("*/*.jpg"))
    etag = first.headers["etag"]
    again = server.client.get(f"{V1}/photos/1/thumbnail", headers={"If-None-Match": f'"x", {etag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    # An id may come to show another photo, a version may not.
    assert "no-cache" in first.headers["cache-control"]
    versioned = server.client.get(f"{V1}/photos/1/thumbnail", params={"v": photo["version"]})
    assert "immutable" in versioned.headers["cache-control"]
    assert "private" in versioned.headers["cache-control"]
    assert versioned.content == first.content
    other = server.client.get(f"{V1}/photos/1/thumbnail", params={"v": "0123456789abcdef"})
    assert "no-cache" in other.headers["cache-control"]


def test_original_is_the_file_itself_where_browsers_show_it(server, photos):
    photo = server.get("/photos/1")
    answer = server.client.get(f"{V1}/photos/1/original")
    assert answer.content == Path(photo["path"]).read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    etag = answer.headers["etag"]
    again = server.client.get(f"{V1}/photos/1/original", headers={"If-None-Match": etag})
    assert again.status_code == 304


def test_formats_that_browsers_do_not_show_become_upright_jpegs(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = Image.effect_mandelbrot((300, 200), (-2, -1, 1, 1), 60).convert("RGB")
    picture.paste((255, 0, 0), (0, 0, 60, 60))
    picture.save(folder / "1.tif")
    exif = Image.Exif()
    exif[274] = 6  # upright after a quarter turn to the right: red comes to the upper right
    picture.save(folder / "2.webp", exif=exif, lossless=True)
    picture.save(folder / "3.png")
    (folder / "4.jpg").write_bytes((folder / "3.png").read_bytes())  # a name that lies
    shutil.copy(folder / "1.tif", folder / "5.png")
    collection = make_sift_collection(tmp_path / "collection", folder)
    types = {1: "jpeg", 2: "jpeg", 3: "png", 4: "png", 5: "jpeg"}
    with running(collection) as server:
        for id_, format_ in types.items():
            answer = server.client.get(f"{V1}/photos/{id_}/original")
            assert answer.headers["content-type"] == f"image/{format_}"
            with Image.open(io.BytesIO(answer.content)) as image:
                entry = server.get(f"/photos/{id_}")
                assert image.size == (entry["width"], entry["height"])
                corner = (image.width - 20, 20) if id_ == 2 else (20, 20)
                red, green, blue = image.convert("RGB").getpixel(corner)
                assert red > 240
                assert max(green, blue) < 20


def test_failed_photos_are_listed_with_the_reason(photos, tmp_path):
    mine = shutil.copytree(photos / "object-01", tmp_path / "photos")
    (mine / "text.jpg").write_text("no photo")
    cut = (mine / "view-1.jpg").read_bytes()[:9000]
    (mine / "cut\x07.jpg").write_bytes(cut)
    with running(make_sift_collection(tmp_path / "collection", mine)) as server:
        failed = server.get("/failed")["failed"]
        assert [entry["name"] for entry in failed] == [
            "cut\N{REPLACEMENT CHARACTER}.jpg",
            "text.jpg",
        ]
        assert all(entry["reason"] for entry in failed)
        assert server.get("/collection")["failed"] == 2


def test_a_photo_whose_file_changed_or_went(own):
    server, collection, photos = own
    path = photos / "object-01" / "view-1.jpg"
    id_ = ids_of(collection)[str(path)]
    shutil.copy(photos / "clutter" / "01.jpg", path)  # not indexed anew yet
    changed = server.client.get(f"{V1}/photos/{id_}/thumbnail")
    assert changed.headers["cache-control"] == "no-store"
    assert not list((collection / "thumbnails").glob("*/*.jpg"))  # nothing wrong is kept
    path.unlink()
    checked(server.client.get(f"{V1}/photos/{id_}/thumbnail"), 404)
    checked(server.client.get(f"{V1}/photos/{id_}/original"), 404)
    assert server.search(photo=id_)["results"][0]["id"] == id_  # its descriptor is still there
    server.search(photo=id_, box="0,0,50,50", status=422)
    server.search(photo=id_, verify=3, status=422)


# Jobs


def wait_for(server: Running, id_: str) -> list[tuple[str, dict]]:
    """The events of a job until it ends."""
    events, name = [], ""
    with server.client.stream("GET", f"{V1}/jobs/{id_}/events", timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
    return events


def test_index_job_finds_what_is_new_and_tells_its_progress(own):
    server, collection, photos = own
    before = server.search(photo=1, k=1000)
    for number in range(5):
        Image.effect_mandelbrot((320, 240), (-2, -1, 1, 1), 20 + number).save(
            photos / "clutter" / f"new-{number}.jpg"
        )
    (photos / "clutter" / "bad.jpg").write_text("no photo")
    (photos / "object-03" / "view-1.jpg").unlink()
    job = checked(server.client.post(f"{V1}/jobs", json={"action": "index"}), 202)
    events = wait_for(server, job["id"])
    name, done = events[-1]
    assert name == "done"
    assert (done["new"], done["failed"], done["vanished"], done["pruned"]) == (5, 1, 1, 0)
    assert done["photos"] == 20
    progress = [data for kind, data in events if kind == "progress"]
    assert progress[-1] == {"what": "indexing", "done": 6, "total": 6}
    assert [p["done"] for p in progress] == sorted(p["done"] for p in progress)
    state = server.get(f"/jobs/{job['id']}")
    assert (state["state"], state["result"]) == ("done", done)
    after = server.search(photo=1, k=1000)
    assert after["total"] == before["total"] + 5
    with Collection.open(collection) as opened:
        assert opened.count("ok") == 20
    pruning = {"action": "index", "prune": True, "folders": [str(photos / "object-03")]}
    job = checked(server.client.post(f"{V1}/jobs", json=pruning), 202)
    assert wait_for(server, job["id"])[-1][1]["pruned"] == 1
    assert server.search(photo=1, k=1000)["total"] == 19


def test_remove_job_forgets_photos_and_leaves_the_files(own):
    server, _, photos = own
    files = sorted(photos.rglob("*.jpg"))
    asked = {"action": "remove", "photos": [1, 3, 1]}
    job = checked(server.client.post(f"{V1}/jobs", json=asked), 202)
    assert wait_for(server, job["id"])[-1] == ("done", {"removed": 2})
    assert sorted(photos.rglob("*.jpg")) == files
    server.get("/photos/1", status=404)
    found = server.search(photo=2, k=1000)
    assert found["total"] == 13
    assert not {1, 3} & {r["id"] for r in found["results"]}
    unknown = {"action": "remove", "photos": [2, 3]}
    assert "3" in checked(server.client.post(f"{V1}/jobs", json=unknown), 404)["detail"]
    assert server.get("/photos/2")["id"] == 2


def test_one_job_at_a_time_and_it_can_be_stopped(own):
    server, _, _ = own
    released = threading.Event()

    def work(progress):
        for done in range(1000):
            progress("waiting", done, 1000)
            released.wait(0.05)
        return {}

    job = server.state.jobs.start("index", work)
    assert server.get("/collection")["indexing"]
    checked(server.client.post(f"{V1}/jobs", json={"action": "index"}), 409)
    checked(server.client.delete(f"{V1}/jobs/{job.id}"), 202)
    name, data = wait_for(server, job.id)[-1]
    assert name == "failed"
    assert "stopped" in data["detail"]
    job = checked(server.client.post(f"{V1}/jobs", json={"action": "index"}), 202)
    assert wait_for(server, job["id"])[-1][0] == "done"


def test_a_job_fails_in_plain_words_while_another_program_writes(own):
    from resight.collection.writer import writing

    server, collection, _ = own
    with writing(collection):
        job = checked(server.client.post(f"{V1}/jobs", json={"action": "index"}), 202)
        name, data = wait_for(server, job["id"])[-1]
        assert name == "failed"
        assert "Another program" in data["detail"]
        assert server.search(photo=1)["total"] == 15  # readers go on


# Upkeep


def test_metrics_count_requests_by_route(own):
    server, _, _ = own
    for id_ in (1, 2, 999):
        server.client.get(f"{V1}/photos/{id_}/thumbnail")
    text = server.client.get("/metrics").text
    lines = [
        line for line in text.splitlines() if 'thumbnail"' in line and "requests_total{" in line
    ]
    counts = {line.split('status="')[1][:3]: line.split()[-1] for line in lines if "status" in line}
    assert counts == {"200": "2.0", "404": "1.0"}
    assert "resight_searches_waiting 0.0" in text


def test_the_page_and_its_files_are_served(server):
    page = server.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    script = server.client.get("/static/main.js")
    assert script.headers["content-type"].startswith("text/javascript")
    etag = script.headers["etag"]
    again = server.client.get("/static/main.js", headers={"If-None-Match": etag})
    assert again.status_code == 304


def test_collection_that_another_program_changes_is_searched_as_it_is_now(own):
    server, collection, photos = own
    assert server.search(photo=2)["total"] == 15
    remove([photos / "object-04"], collection)
    time.sleep(0.05)
    assert server.search(photo=2)["total"] == 12


def test_searches_at_the_same_time_get_the_same_answers(server, photos):
    queries = sorted(photos.rglob("*.jpg"))[:8]
    box = "20,20,200,200"
    alone = [server.upload(query, box=box)["results"] for query in queries]
    together: dict[int, object] = {}

    def ask(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client:
            answer = client.post(
                f"{V1}/search",
                files={"file": queries[number].read_bytes()},
                data={"box": box},
            )
            together[number] = answer.json()["results"]

    server.state.service.__dict__["_remembered"].clear()
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(queries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[n] for n in range(len(queries))] == alone
