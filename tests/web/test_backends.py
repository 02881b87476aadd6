"""The interface over a collection on a backend: the results of the folder it was pushed from."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from postgres_server import PostgresServer
from resight.backends.transfer import push
from web_server import V1, Running, running


@pytest.fixture(scope="module")
def local(server: Running) -> Running:
    """Return the server of the folder that was pushed."""
    return server


@pytest.fixture(params=["postgres", "qdrant"])
def address(request: pytest.FixtureRequest, local: Running, tmp_path: Path) -> str:
    """Return the address of the pushed collection."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        address = server.address(server.new_database(), "name")
    else:
        address = f"qdrant+file://{tmp_path}/qdrant/name"
    push(Path(local.state.service.place), address)
    return address


def comparable(results: list[dict[str, Any]]) -> list[Any]:
    """Return what does not depend on the numbering of photos."""
    shown = ("rank", "path", "inliers", "region", "query_region")
    return [
        ([r.get(name) for name in shown], pytest.approx(r["distance"], abs=1e-5)) for r in results
    ]


def requests_of(photos: Path) -> list[Callable[[Running], Any]]:
    """Return the requests to compare between a folder and backends."""
    query = photos / "object-01" / "view-1.jpg"
    searches: list[dict[str, Any]] = [
        {},
        {"k": 3, "offset": 2},
        {"box": "100,80,300,300"},
        {"limit": 0.9},
        {"verify": 3},
        {"rerank": "diffusion"},
        {"under": photos / "object-01"},
        {"under": photos / "object-01", "offset": 2},
        {"min_side": 300, "limit": 5},
        {"min_side": 10_000},
        {"taken_from": "1990"},
    ]
    return [
        *(partial(search, query=query, options=options) for options in searches),
        lambda server: sorted(p["path"] for p in server.get("/photos")["photos"]),
        lambda server: server.get("/failed"),
        lambda server: {k: v for k, v in server.get("/collection").items() if k != "name"},
        lambda server: groups_of(server.get("/groups", limit=0.9)),
    ]


def test_a_folder_without_photos_is_refused(local: Running, photos: Path) -> None:
    query = photos / "object-01" / "view-1.jpg"
    answer = local.upload(query, status=422, under=photos / "object-0")  # no prefix of names
    assert answer["detail"] == (
        "That cannot be done: under: the collection has no photos in this folder."
    )


def search(server: Running, query: Path, options: dict[str, Any]) -> tuple[list[Any], int | None]:
    answer = server.upload(query, **options)
    return comparable(answer["results"]), answer["total"]


@pytest.fixture(scope="module")
def expected(local: Running, photos: Path) -> list[Any]:
    """Return the folder's responses."""
    return [send(local) for send in requests_of(photos)]


def test_a_backend_responds_as_the_folder_does(
    address: str, photos: Path, expected: list[Any]
) -> None:
    assert expected[-1], "no groups"
    with running(address) as remote:
        for send, response in zip(requests_of(photos), expected, strict=True):
            assert send(remote) == response
        check_pictures(remote, photos / "object-01" / "view-1.jpg")
        check_removing(remote)


def groups_of(answer: dict[str, Any]) -> list[list[str]]:
    return sorted(sorted(p["path"] for p in group["photos"]) for group in answer["groups"])


def check_pictures(server: Running, query: Path) -> None:
    """Check pictures and explanations of results."""
    response = server.upload(query)
    views = [r["id"] for r in response["results"] if Path(r["path"]).parent == query.parent]
    second = views[1]
    for picture in ("thumbnail", "original"):
        picture_response = server.client.get(f"{V1}/photos/{second}/{picture}")
        assert picture_response.headers["content-type"].startswith("image/")
    body = {"query": {"upload": response["query"]["upload"]}, "result": second}
    assert server.client.post(f"{V1}/explain", json=body).json()["inliers"] > 5
    assert server.search(photo=second)["results"][0]["id"] == second
    server.get("/photos/4000000000000", status=404)
    server.search(photo=2**63 - 1, status=404)


def check_removing(server: Running) -> None:
    """Check that photos are removed on the backend, but indexed in a folder."""
    refused = server.client.post(f"{V1}/jobs", json={"action": "index"})
    assert refused.status_code == 409
    assert "resight push" in refused.json()["detail"]
    there = server.get("/photos")["photos"]
    job = {"action": "remove", "photos": [there[0]["id"]]}
    id_ = server.client.post(f"{V1}/jobs", json=job).json()["id"]
    with server.client.stream("GET", f"{V1}/jobs/{id_}/events") as events:
        assert "event: done" in list(events.iter_lines())
    assert server.get("/collection")["photos"] == len(there) - 1
    server.get(f"/photos/{there[0]['id']}", status=404)


def test_a_server_survives_a_restart_of_its_backend(
    local: Running, postgres: PostgresServer, photos: Path
) -> None:
    address = postgres.address(postgres.new_database(), "name")
    push(Path(local.state.service.place), address)
    query = photos / "object-01" / "view-1.jpg"
    with running(address) as server:
        upload = server.upload(query)["query"]["upload"]
        postgres.kill()
        try:
            for send in (
                lambda: server.client.get(f"{V1}/photos"),
                lambda: server.client.get(f"{V1}/groups"),
                lambda: server.client.get(f"{V1}/photos/1/thumbnail"),
                lambda: server.client.post(f"{V1}/search", json={"upload": upload}),
            ):
                answer = send()
                assert answer.status_code == 503
                assert "cannot be reached" in answer.json()["detail"]
            assert server.get("/health") == {"status": "ok"}
        finally:
            postgres.start()
        assert server.search(upload=upload)["results"][0]["name"] == "view-1.jpg"


def test_folders_are_named_on_the_same_machine_only(local: Running, photos: Path) -> None:
    token = "a-token-that-is-long-enough"
    with running(Path(local.state.service.place), host="0.0.0.0", token=token) as server:
        server.client.headers["Authorization"] = f"Bearer {token}"
        query = photos / "object-01" / "view-1.jpg"
        server.upload(query, status=403, under=photos)
        assert server.upload(query, min_side=10_000)["results"] == []
