"""Explanations and groups over HTTP: they equal those of the Python interface."""

import base64
import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from database_groups import find_groups
from resight import evaluation
from resight.collection import Collection
from resight.collection.search_arrays import load_arrays
from resight.indexing import pipeline
from resight.ranking.exact import DISTANCES
from resight.views.explain import explain
from resight.web.pictures import heat_overlay, mask_overlay
from web_server import V1, Running, checked, ids_of


def read_overlay(url: str) -> np.ndarray:
    assert url.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        assert picture.mode == "RGBA"
        return np.array(picture)


def explained(server: Running, body: dict, status: int = 200) -> dict:
    return checked(server.client.post(f"{V1}/explain", json=body), status)


def test_an_explanation_equals_the_python_interface(server, collection, photos):
    paths = [photos / "object-01" / f"view-{view}.jpg" for view in (1, 2)]
    ids = [ids_of(collection)[str(path)] for path in paths]
    for box in (None, (120, 80, 300, 320)):
        expected = explain(*paths, collection=collection, box=box)
        text = ",".join(map(str, box)) if box else None
        response = explained(server, {"query": {"photo": ids[0]}, "result": ids[1], "box": text})
        assert response["inliers"] == expected.inliers == len(response["matches"])
        assert expected.inliers >= 8
        assert response["summary"] == str(expected.sameness)
        decided = server.same(first={"photo": ids[0]}, second={"photo": ids[1]}, box=text)
        assert decided.items() <= response.items()
        assert response["distance"] == expected.distance
        assert response["agreement"] == expected.agreement
        assert np.abs(np.array(response["matches"]) - expected.matches).max() <= 0.051
        heat = read_overlay(response["query"]["heat"])
        width, height = response["query"]["width"], response["query"]["height"]
        assert heat.shape[1] * height == heat.shape[0] * width
        if box:  # nothing outside the box is heated
            x, y, w, h = (round(v * heat.shape[1] / width) for v in box)
            heat[max(0, y - 6) : y + h + 6, max(0, x - 6) : x + w + 6] = 0
            assert heat[..., 3].max() == 0


def test_an_explanation_of_an_upload_and_refused_ones(server, photos):
    query = photos / "object-02" / "view-1.jpg"
    upload = server.upload(query, k=1)["query"]["upload"]
    response = explained(server, {"query": {"upload": upload}, "result": 8})
    with Image.open(query) as image:
        assert (response["query"]["width"], response["query"]["height"]) == image.size
    explained(server, {"query": {"upload": "none"}, "result": 8}, 404)
    explained(server, {"query": {"upload": upload}, "result": 999}, 404)
    explained(server, {"query": {"upload": upload, "photo": 1}, "result": 8}, 422)
    explained(server, {"query": {"upload": upload}}, 422)
    explained(server, {"query": {"upload": upload}, "result": 8, "box": "0,0,641,9"}, 422)


def test_verdicts_are_those_of_searches(server, photos):
    query = photos / "object-02" / "view-1.jpg"
    search = server.upload(query, k=15)
    upload = {"upload": search["query"]["upload"]}
    assert search["found"] == sum(r["verdict"] != "different" for r in search["results"]) > 0
    for result in search["results"]:
        decided = server.same(first=upload, second={"photo": result["id"]})
        fields = ("verdict", "probability", "kind", "inliers", "region", "query_region")
        assert [decided.get(name) for name in fields] == [result.get(name) for name in fields]
        assert decided["distance"] == pytest.approx(result["distance"], abs=1e-6)
        why = explained(server, {"query": upload, "result": result["id"]})
        assert why["summary"] == decided["summary"]
    assert server.upload(query, decide="false")["found"] is None
    server.same(404, first=upload, second={"photo": 999})
    server.same(422, first=upload, second={})


def test_a_photo_whose_file_is_gone_is_not_named(own):
    ids = ids_of(own.collection)
    path, other = (own.photos / "object-01" / f"view-{n}.jpg" for n in (1, 2))
    path.unlink()
    first, second = ({"photo": ids[str(each)]} for each in (path, other))
    assert own.server.same(first=first, second=second)["verdict"] == "same"  # by evidence
    problem = explained(own.server, {"query": first, "result": second["photo"]}, 422)
    assert problem["detail"] == "One of the photos cannot be read any more."


def test_overlays_of_nothing():
    assert heat_overlay(np.zeros((4, 4), np.float32), (40, 40)) is None
    assert mask_overlay(None, (40, 40)) is None
    assert mask_overlay(np.ones((4, 4), bool), (4000, 30)) is not None


def test_groups_equal_the_python_interface(own):
    server = own.server
    original = own.photos / "object-01" / "view-1.jpg"
    copy = own.photos / "clutter" / "copy.jpg"
    with Image.open(original) as picture:
        picture.save(copy, quality=80)
    pipeline.index([own.photos], own.collection)
    with Collection.open(own.collection) as opened:
        database = load_arrays(opened).database
        for limit in (None, 0.0, 0.9, 5.0):
            expected = find_groups(database, DISTANCES[opened.distance], limit)
            if limit is None:
                found = evaluation.groups(own.collection).groups
                assert found  # by evidence, not by the estimated limit
                expected = dataclasses.replace(expected, groups=found)
            parameters = {} if limit is None else {"limit": limit}
            response = server.get("/groups", **parameters)
            groups = [(g["kind"], tuple(p["id"] for p in g["photos"])) for g in response["groups"]]
            assert groups == [(group.kind, group.ids) for group in expected.groups]
            assert response["limit"] == expected.limit
            assert response["estimated_limit"] == expected.estimated_limit
            assert response["next"] is None
            exported = server.client.get(f"{V1}/groups.json", params=parameters)
            assert "attachment" in exported.headers["content-disposition"]
            assert [g["kind"] for g in exported.json()["groups"]] == [kind for kind, _ in groups]
            for path in ("groups", "groups.json"):
                one_kind = server.get(f"/{path}", **parameters, kind="same-thing")["groups"]
                same = [kind for kind, _ in groups if kind == "same-thing"]
                assert [g["kind"] for g in one_kind] == same
            table = server.client.get(f"{V1}/groups.csv", params=parameters)
            rows = [*csv.reader(io.StringIO(table.text))]
            assert rows[0] == ["group", "kind", "path", "best"]
            assert len(rows) - 1 == sum(len(ids) for _, ids in groups)
            assert all(Path(row[2]).is_relative_to(own.photos) for row in rows[1:])
    pair = {ids_of(own.collection)[str(path)] for path in (original, copy)}
    groups = server.get("/groups", limit=0.5)["groups"]
    assert any(pair <= {p["id"] for p in group["photos"]} for group in groups)
    for limit in ("nan", -1, "inf", "x"):
        server.get("/groups", limit=limit, status=422)
