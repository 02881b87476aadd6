"""Watching: what starts an index job and what does not, and the switch over HTTP."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import samples
from resight.errors import CollectionError, UsageError
from resight.web import WebSettings
from resight.web.app import create_app
from resight.web.queues import Job, JobQueue
from resight.web.watching import NewFiles, Watcher
from web_server import V1, checked


class Watched:
    """A collection of two folders and its watcher, looked at step by step."""

    def __init__(self, folder: Path) -> None:
        self.photos, self.other, self.collection = folder / "p", folder / "q", folder / "c"
        samples.draw_many(self.photos, 2)
        samples.draw_many(self.other, 1, first=2)
        samples.index(self.photos, self.collection)
        samples.index(self.other, self.collection)
        self.jobs = JobQueue(lambda: None, with_paths=True)
        self.files = NewFiles()
        self.watcher = Watcher(self.collection, self.jobs, lambda: self.task, 10)
        self.task: Callable[[Any], dict[str, Any]] = self.index

    def index(self, _: object) -> dict[str, Any]:
        runs = [samples.index(place, self.collection) for place in (self.photos, self.other)]
        return {"new": sum(run.report.new for run in runs)}

    def look(self) -> bool:
        return self.watcher.look(self.files)

    def run(self) -> Job:
        self.watcher.index(self.files)
        self.jobs.close()
        self.jobs.stopping = False
        assert self.watcher.job is not None
        return self.watcher.job


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_new_photos_are_indexed_once_they_have_settled(watched):
    assert not any(watched.look() for _ in range(3))
    assert (watched.watcher.last.folders, watched.watcher.last.missing) == (2, 0)
    (photo,) = samples.draw_many(watched.photos / "sub", 1, first=7)
    data = photo.read_bytes()
    photo.write_bytes(data[:-100])  # is still being copied
    assert not watched.look()
    photo.write_bytes(data)
    assert not watched.look()
    assert watched.files.are_coming
    assert watched.look()
    watched.jobs.start("remove", lambda _: threading.Event().wait(0.2) and {})
    watched.watcher.index(watched.files)
    assert watched.watcher.job is None  # another job was running
    watched.jobs.close()
    watched.jobs.stopping = False
    assert watched.look()
    assert watched.run().state == "done"
    assert not watched.files.are_coming
    assert watched.watcher.added == 1
    assert not any(watched.look() for _ in range(2))
    samples.draw_many(watched.photos, 1, first=8)
    assert not watched.look()
    samples.index(watched.photos, watched.collection)  # another program is faster
    assert not any(watched.look() for _ in range(2))


def test_photos_that_are_gone_or_cannot_be_reached_start_nothing(watched, tmp_path):
    assert not watched.look()
    shutil.move(watched.other, tmp_path / "unmounted")
    assert not any(watched.look() for _ in range(2))
    assert (watched.watcher.last.folders, watched.watcher.last.missing) == (1, 1)
    watched.other.mkdir()  # an empty mount point
    (watched.photos / "000.png").unlink()
    assert not any(watched.look() for _ in range(2))
    watched.other.rmdir()
    shutil.move(tmp_path / "unmounted", watched.other)
    assert not any(watched.look() for _ in range(2))
    assert watched.watcher.job is None


def test_a_job_that_fails_is_tried_again_only_after_another_change(watched):
    def fail(_: object) -> dict[str, Any]:
        raise CollectionError("the disk is full")

    watched.task = fail
    samples.draw_many(watched.photos, 1, first=7)
    assert [watched.look(), watched.look()] == [False, True]
    assert "disk is full" in watched.run().detail
    watched.task = watched.index
    assert not any(watched.look() for _ in range(3))
    os.utime(watched.photos / "007.png", ns=(1, 1))
    assert [watched.look(), watched.look()] == [False, True]
    assert watched.run().result == {"new": 1}


def test_watching_is_switched_on_and_off_and_ends_with_the_server(few_collection):
    def threads() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name == "resight-watch"]

    app = create_app(few_collection, WebSettings(token=None, watch=True))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        status = checked(client.get(f"{V1}/watch"), 200)
        assert (status["watching"], status["allowed"], status["every_s"]) == (True, True, 10)
        checked(client.post(f"{V1}/watch", json={"watching": "yes?"}), 422)
        checked(client.post(f"{V1}/watch", json={"watching": True}), 200)
        assert threads() == ["resight-watch"]
        while not status["looked"]:
            status = checked(client.get(f"{V1}/watch"), 200)
        assert (status["folders"], status["missing"], status["added"]) == (1, 0, 0)
        assert not checked(client.post(f"{V1}/watch", json={"watching": False}), 200)["watching"]
        checked(client.post(f"{V1}/watch", json={"watching": True}), 200)
    for thread in threading.enumerate():
        if thread.name == "resight-watch":
            thread.join(5)
    assert threads() == []
    with pytest.raises(UsageError, match="less than"):
        WebSettings(watch_every_s=0)
