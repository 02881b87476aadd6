"""Searching over HTTP: the results are those of the Python interface and the command line."""

import itertools
import json
import shutil
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from resight.backends.manage import remove
from resight.collection import Collection
from resight.collection.search_arrays import load_arrays
from resight.config import RerankConfig, SearchConfig
from resight.descriptors.columns import Columns
from resight.descriptors.extractor import Description
from resight.methods.model import ModelOptions
from resight.ranking.exact import DISTANCES, Query, distances_to, ranking
from resight.searching import search
from resight.searching.query import QueryPhoto, SearchResults
from resight.views.explain import explain
from resight.web.uploads import QueryImage
from web_server import V1, checked, ids_of, make_cnn_collection, make_sift_collection, running


def assert_same(response: dict, expected: SearchResults, collection: Path) -> None:
    """Compare ids, ranks and distances digit by digit."""
    ids = ids_of(collection)
    theirs = [
        (ids[str(r.path)], r.rank, repr(r.distance), r.inliers, r.region and list(r.region))
        for r in expected.results
    ]
    ours = [
        (r["id"], r["rank"], repr(r["distance"]), r.get("inliers"), r.get("region"))
        for r in response["results"]
    ]
    assert ours == theirs


def box_fields(box: tuple[int, ...] | None) -> dict[str, str]:
    return {"box": ",".join(map(str, box))} if box else {}


def test_results_equal_those_of_the_command_line(server, collection, photos, resight):
    query = photos / "object-02" / "view-1.jpg"
    done = resight("search", query, "-c", collection, "-k", 7, "--json")
    printed = json.loads(done.stdout)["results"]
    files = {"file": query.read_bytes()}
    response = server.client.post(f"{V1}/search", files=files, data={"k": "7"})
    ids = ids_of(collection)
    assert [r["id"] for r in response.json()["results"]] == [ids[e["path"]] for e in printed]
    for entry in printed:  # the same text of the numbers
        assert f'"distance":{entry["distance"]!r}' in response.text
        assert f'"distance": {entry["distance"]!r}' in done.stdout


@pytest.mark.parametrize(
    ("box", "verify"),
    [(None, 0), ("whole", 0), ((100, 60, 320, 256), 0), ((5, 470, 3, 9), 0), (None, 2),
     ((100, 60, 320, 256), 2)],
)  # fmt: skip
def test_boxes_and_verification(server, collection, photos, box, verify):
    query = photos / "object-01" / "view-2.jpg"
    if box == "whole":
        with Image.open(query) as image:
            box = (0, 0, *image.size)
    expected = search(query, collection, SearchConfig(k=5, verify=verify), box=box)
    fields = {"k": 5, "verify": verify, **box_fields(box)}
    response = server.upload(query, **fields)
    assert_same(response, expected, collection)
    assert response["box"] == (list(box) if box else None)
    by_upload = server.search(upload=response["query"]["upload"], **fields)
    assert by_upload["results"] == response["results"]
    by_id = server.search(photo=ids_of(collection)[str(query)], **fields)
    assert by_id["results"] == response["results"]


def test_several_photos_are_one_query_as_in_python(server, collection, photos):
    views = [photos / "object-01" / "view-1.jpg", photos / "object-02" / "view-2.jpg"]
    expected = search(views, collection, SearchConfig(k=6))
    uploads = [server.upload(view, k=1)["query"]["upload"] for view in views]
    response = server.search(upload=uploads[0], more=[{"upload": uploads[1]}], k=6)
    assert_same(response, expected, collection)
    assert [r["view"] for r in response["results"]] == [r.view for r in expected.results]
    assert {0, 1} == {r.view for r in expected.results[:4]}
    second = ids_of(collection)[str(views[1])]
    mixed = server.search(upload=uploads[0], more=[{"photo": second}], k=6)
    assert mixed["results"] == response["results"]
    assert "view" not in server.search(upload=uploads[0], k=1)["results"][0]


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"more": [{"photo": 1}], "box": "0,0,50,50"}, 422), ({"more": [{"photo": 999}]}, 404),
     ({"more": [{"upload": "gone"}]}, 404), ({"more": [{}]}, 422),
     ({"more": [{"photo": 1}] * 16}, 422)],
)  # fmt: skip
def test_several_photos_that_cannot_be_searched_with(server, fields, status):
    answer = server.client.post(f"{V1}/search", json={"photo": 1, **fields})
    assert checked(answer, status)["detail"]


@pytest.mark.parametrize("rerank", ["alpha-qe", "diffusion"])
def test_re_ranking_pages_and_limit(server, collection, photos, rerank):
    query = photos / "object-01" / "view-2.jpg"
    config = SearchConfig(k=5, verify=2, rerank=RerankConfig(method=rerank))
    expected = search(query, collection, config)
    assert_same(server.upload(query, k=5, verify=2, rerank=rerank), expected, collection)
    whole = server.search(photo=1, k=15, rerank=rerank)["results"]
    pages = [server.search(photo=1, k=5, offset=at, rerank=rerank) for at in (0, 5, 10)]
    assert [result for page in pages for result in page["results"]] == whole
    limit = sorted(result["distance"] for result in whole)[5]
    within = server.search(photo=1, k=15, rerank=rerank, limit=limit)
    assert within["total"] == len(within["results"]) == 6
    assert max(result["distance"] for result in within["results"]) == limit


def test_parameters_of_the_re_ranking_and_an_affine_model(server, collection, photos):
    query = photos / "object-01" / "view-2.jpg"
    parameters = "k1=8", "share=0.9", "shortlist=12"
    options = {"k": 12, "verify": 2, "verify_geometry": "affine"}
    config = SearchConfig(**options, rerank=RerankConfig.parse("k-reciprocal", parameters))
    options |= {"rerank": "k-reciprocal", "rerank_with": ",".join(parameters)}
    response = server.upload(query, **options)
    assert_same(response, search(query, collection, config), collection)
    plain = {"photo": 1, "k": 15, "rerank": "k-reciprocal", "decide": False}
    default = server.search(**plain)["results"]
    assert server.search(**plain, rerank_with="share=0")["results"] != default


@pytest.mark.parametrize(
    ("rerank", "parameters", "detail"),
    [
        ("diffusion", "damping=2", "damping"),
        ("diffusion", "damp=0.5", "'damp'"),
        ("diffusion", "damping", "NAME=VALUE"),
        ("diffusion", "method=1", "NAME=VALUE"),
        ("diffusion", "mutual=x", "'x'"),
        ("diffusion", "shortlist=1001", "at most 1000"),
        ("none", "damping=0.1", "rerank"),
    ],
)
def test_invalid_parameters_of_the_re_ranking(server, rerank, parameters, detail):
    refused = server.search(photo=1, rerank=rerank, rerank_with=parameters, status=422)
    assert detail in refused["detail"]


def test_columns_need_a_network(server):
    refused = server.search(photo=1, verify=2, verify_by="columns", status=422)
    assert "has no network" in refused["detail"]


def test_a_photo_that_is_not_in_the_collection(server, collection, tmp_path):
    path = tmp_path / "new.png"
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    Image.fromarray(noise).resize((600, 400)).save(path)
    response = server.upload(path)
    assert_same(response, search(path, collection), collection)
    upload = response["query"]["upload"]
    assert response["query"] == {"photo": None, "upload": upload, "width": 600, "height": 400}


def test_size_and_box_of_a_rotated_photo_are_upright(server, collection, tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[274] = 6
    Image.effect_mandelbrot((400, 200), (-2, -1, 1, 1), 60).save(path, exif=exif)
    response = server.upload(path, box="150,300,50,100")
    assert (response["query"]["width"], response["query"]["height"]) == (200, 400)
    assert_same(response, search(path, collection, box=(150, 300, 50, 100)), collection)
    stored = server.client.get(f"{V1}/uploads/{response['query']['upload']}")
    assert stored.content == path.read_bytes()
    assert stored.headers["content-type"] == "image/jpeg"


def test_every_photo_is_ranked_as_in_an_exhaustive_scan(server, collection):
    with Collection.open(collection) as opened:
        database, distance = load_arrays(opened).database, DISTANCES[opened.distance]
        for row, id_ in enumerate(map(int, database.ids)):
            distances = distances_to(Query(database.global_[row]), database, distance)
            order = ranking(distances, database.ids)
            response = server.search(photo=id_, k=1000, decide=False)
            assert [r["id"] for r in response["results"]] == database.ids[order].tolist()
            assert [r["distance"] for r in response["results"]] == distances[order].tolist()
            assert response["results"][0]["id"] == id_
            assert response["total"] == len(database.ids)


@pytest.mark.parametrize("verify", [0, 2])
def test_pages_of_results_join_to_the_whole(server, verify):
    whole = server.search(photo=1, k=15, verify=verify)["results"]
    pages = [server.search(photo=1, k=8, offset=at, verify=verify)["results"] for at in (0, 8)]
    assert [*itertools.chain(*pages)] == whole
    assert server.search(photo=1, k=4, offset=100)["results"] == []


def test_a_limit_counts_the_results_within_it(server):
    whole = server.search(photo=1, k=15, decide=False)["results"]
    limit = whole[5]["distance"]
    response = server.search(photo=1, k=3, limit=limit, decide=False)
    assert response["total"] == sum(r["distance"] <= limit for r in whole) >= 6
    assert response["results"] == whole[:3]
    limited = server.search(photo=1, k=15, limit=limit, decide=False)["results"]
    assert limited == whole[: response["total"]]
    assert server.search(photo=1, limit=0)["total"] == 1


def test_a_network_answers_like_the_python_interface(photos, tmp_path, small_weights, monkeypatch):
    monkeypatch.setattr("resight.searching.spatial_verification.COLUMNS_SIDE", 200)
    folder = make_cnn_collection(tmp_path / "cnn", photos / "object-01", small_weights, cam=True)
    model = ModelOptions(small_weights, "cpu")
    with running(folder, model) as server:
        about = server.get("/collection")
        assert (about["cnn"], about["has_local"], about["distance"]) == (True, True, "manhattan")
        for name, box in (("object-01", None), ("object-02", (40, 30, 300, 400))):
            query = photos / name / "view-1.jpg"
            fields = box_fields(box)
            config = SearchConfig(verify=1, verify_by="columns")
            expected = search(query, folder, config, box=box, model=model)
            response = server.upload(query, verify=1, verify_by="columns", **fields)
            assert_same(response, expected, folder)
            upload = response["query"]["upload"]
            body = {"query": {"upload": upload}, "result": 2, **fields}
            over_http = checked(server.client.post(f"{V1}/explain", json=body), 200)
            other = photos / "object-01" / "view-2.jpg"
            in_python = explain(query, other, collection=folder, box=box, model=model)
            assert over_http["distance"] == in_python.distance
            assert (over_http["query"]["cam"] is None) == (in_python.mask_query is None)
            assert over_http["query"]["heat"] is not None


def test_without_weights_photos_of_the_collection_can_be_searched(photos, tmp_path, small_weights):
    weights = shutil.copy(small_weights, tmp_path / "weights.pth")
    folder = make_cnn_collection(tmp_path / "cnn", photos / "object-01", weights)
    with running(folder, ModelOptions(tmp_path / "gone.pth", "cpu")) as server:
        assert server.search(photo=1)["results"][0]["id"] == 1
        query = photos / "object-02" / "view-1.jpg"
        response = server.client.post(f"{V1}/search", files={"file": query.read_bytes()})
        assert response.status_code == 503
        assert "gone.pth: cannot be read" in response.json()["detail"]


def test_a_collection_that_another_program_changes_is_searched_as_it_is_now(own):
    assert own.server.search(photo=5)["total"] == 6
    remove([own.photos / "clutter"], own.collection)
    assert own.server.search(photo=5)["total"] == 3


def test_a_collection_that_was_replaced_is_opened_again(own):
    assert own.server.search(photo=5)["total"] == 6
    shutil.rmtree(own.collection)
    assert own.server.client.post(f"{V1}/search", json={"photo": 5}).status_code == 503
    shutil.rmtree(own.photos / "clutter")
    make_sift_collection(own.collection, own.photos)
    assert own.server.search(photo=3)["total"] == 3


def test_parallel_searches_get_the_same_results(server, collection, photos):
    queries = sorted(photos.rglob("*.jpg"))[:8]
    box = "20,20,200,200"
    sequential = [server.upload(query, box=box)["results"] for query in queries]
    parallel: dict[int, object] = {}

    def run(number: int, url: str) -> None:
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            files = {"file": queries[number].read_bytes()}
            response = client.post(f"{V1}/search", files=files, data={"box": box})
            parallel[number] = response.json()["results"]

    with running(collection) as other:  # which has no cached descriptors
        threads = [threading.Thread(target=run, args=(n, other.url)) for n in range(len(queries))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [parallel[n] for n in range(len(queries))] == sequential


def test_copies_are_folded_on_every_page(own):
    original = own.photos / "object-01" / "view-1.jpg"
    for name in ("copy-1.jpg", "copy-2.jpg"):
        shutil.copy(original, own.photos / "object-01" / name)
    make_sift_collection(own.collection, own.photos)
    whole = own.server.search(photo=4, k=20)
    assert (len(whole["results"]), whole["total"]) == (6, 8)
    first = whole["results"][0]
    assert [copy["name"] for copy in first["copies"]] == ["copy-1.jpg", "copy-2.jpg"]
    assert all("copies" not in result for result in whole["results"][1:])
    pages = [own.server.search(photo=4, k=2, offset=at)["results"] for at in (0, 2, 4, 6)]
    assert [result for page in pages for result in page] == whole["results"]
    assert pages[-1] == []


def test_mirrored_and_rotated_queries(server, collection, photos):
    query = photos / "object-02" / "view-1.jpg"
    expected = search(query, collection, mirrored=True, rotated=True)
    assert_same(server.upload(query, mirrored=True, rotated=True), expected, collection)
    box = (40, 30, 300, 400)
    expected = search(query, collection, rotated=True, box=box)
    assert_same(server.upload(query, rotated=True, **box_fields(box)), expected, collection)


def test_a_photo_whose_file_changed_or_is_gone(own):
    server = own.server
    path = own.photos / "object-01" / "view-1.jpg"
    id_ = ids_of(own.collection)[str(path)]
    shutil.copy(own.photos / "clutter" / "01.jpg", path)  # not re-indexed yet
    for place in ("thumbnail", "original"):
        changed = server.client.get(f"{V1}/photos/{id_}/{place}")
        assert "has changed since it was indexed" in checked(changed, 409)["detail"]
        assert changed.headers["cache-control"] == "no-store"
    assert not list((own.collection / "thumbnails").glob("*/*.jpg"))
    why = {"query": {"photo": 1}, "result": id_}
    checked(server.client.post(f"{V1}/explain", json=why), 409)
    path.unlink()
    checked(server.client.get(f"{V1}/photos/{id_}/thumbnail"), 404)
    checked(server.client.get(f"{V1}/photos/{id_}/original"), 404)
    assert server.search(photo=id_)["results"][0]["id"] == id_  # its descriptor is still stored
    server.search(photo=id_, box="0,0,50,50", status=422)
    server.search(photo=id_, verify=3, status=422)


def test_cached_queries_do_not_retain_their_decoded_columns(server, photos, monkeypatch):
    service = server.state.service
    columns = Columns((2, 2), np.zeros((3, 2), np.uint8), np.zeros((3, 16), np.uint8))
    described = Description(np.ones(4, np.float32), columns=columns)
    monkeypatch.setattr(service, "describe", lambda photo: described)
    path = photos / "object-01" / "view-1.jpg"
    query = QueryImage(path, "c" * 64, (480, 480))
    for _ in range(2):
        used = service._describe_cached(query, QueryPhoto(path, path), cached_only=False)
        assert used.columns.descriptors.shape == (3, 128)
    assert "descriptors" in vars(used.columns)
    assert "descriptors" not in vars(columns)
