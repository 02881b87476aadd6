"""Jobs over HTTP: indexing and removing, one at a time, with events to follow."""

import json
import threading

from PIL import Image

from resight.collection import Collection
from resight.collection.writer import writing
from web_server import V1, Running, checked


def start_job(server: Running, status: int = 202, **job: object) -> dict:
    return checked(server.client.post(f"{V1}/jobs", json=job), status)


def follow(server: Running, job: dict) -> list[tuple[str, dict]]:
    """Return the events of a job until it ends."""
    events, name = [], ""
    with server.client.stream("GET", f"{V1}/jobs/{job['id']}/events", timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in stream.headers  # events come one by one
        for line in stream.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
    return events


def test_an_index_job_adds_new_photos_and_reports_its_progress(own):
    server, photos = own.server, own.photos
    before = server.search(photo=1, k=1000)
    (photos / "new").mkdir()  # the folder that was indexed is the one above
    for number in range(5):
        Image.effect_mandelbrot((320, 240), (-2, -1, 1, 1), 20 + number).save(
            photos / "new" / f"{number}.jpg"
        )
    (photos / "clutter" / "bad.jpg").write_text("no photo")
    (photos / "object-01" / "view-1.jpg").unlink()
    job = start_job(server, action="index")
    events = follow(server, job)
    name, result = events[-1]
    assert name == "done"
    counts = [result[key] for key in ("new", "failed", "vanished", "pruned", "photos")]
    assert counts == [5, 1, 1, 0, 11]
    progress = [data for kind, data in events if kind == "progress"]
    assert progress[-1] == {"what": "indexing", "done": 6, "total": 6}
    assert [p["done"] for p in progress] == sorted(p["done"] for p in progress)
    state = server.get(f"/jobs/{job['id']}")
    assert (state["state"], state["result"]) == ("done", result)
    assert server.search(photo=1, k=1000)["total"] == before["total"] + 5
    with Collection.open(own.collection) as opened:
        assert opened.count("ok") == 11
    pruning = start_job(server, action="index", prune=True, folders=[str(photos / "object-01")])
    assert follow(server, pruning)[-1][1]["pruned"] == 1
    assert server.search(photo=1, k=1000)["total"] == 10


def test_a_remove_job_removes_photos_and_leaves_the_files(own):
    server = own.server
    files = sorted(own.photos.rglob("*.jpg"))
    job = start_job(server, action="remove", photos=[1, 3, 1])
    assert follow(server, job)[-1] == ("done", {"removed": 2})
    assert sorted(own.photos.rglob("*.jpg")) == files
    server.get("/photos/1", status=404)
    response = server.search(photo=2, k=1000)
    assert response["total"] == 4
    assert not {1, 3} & {r["id"] for r in response["results"]}
    refused = start_job(server, 404, action="remove", photos=[2, 3])
    assert "3" in refused["detail"]
    assert server.get("/photos/2")["id"] == 2


def test_one_job_runs_at_a_time_and_can_be_stopped(own):
    server = own.server
    released = threading.Event()

    def task(progress):
        for done in range(1000):
            progress("waiting", done, 1000)
            released.wait(0.05)
        return {}

    job = server.state.jobs.start("index", task)
    assert server.get("/collection")["indexing"]
    start_job(server, 409, action="index")
    checked(server.client.delete(f"{V1}/jobs/{job.id}"), 202)
    name, data = follow(server, {"id": job.id})[-1]
    assert name == "failed"
    assert "stopped" in data["detail"]
    assert follow(server, start_job(server, action="index"))[-1][0] == "done"


def test_a_job_fails_with_a_reason_while_another_program_writes(own):
    with writing(own.collection):
        name, data = follow(own.server, start_job(own.server, action="index"))[-1]
        assert name == "failed"
        assert "Another program" in data["detail"]
        assert own.server.search(photo=1)["total"] == 6  # searches are not affected
