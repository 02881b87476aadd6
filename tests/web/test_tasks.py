"""Ten tasks of a person, each done with the clicks that docs/tasks.md states."""

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra `web` is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, expect

from environment import ROOT
from page_hand import Ground, Hand
from page_tasks import TASKS, Task
from page_visits import PHONE, Served, visiting
from web_server import OwnServer

DOCS = ROOT / "docs"
ON_A_PHONE = ("part", "name", "best")
"""Tasks that are always done on a phone, too."""


@pytest.fixture(scope="session")
def outside(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make photos that are not in the collections: of two things, of both, of nothing there."""
    folder = tmp_path_factory.mktemp("outside")
    both = Image.new("RGB", (1400, 700), "gray")
    for number, left in ((2, 20), (3, 720)):
        with Image.open(photos / f"object-{number:02d}" / "view-1.jpg") as photo:
            both.paste(photo.resize((660, 500)), (left, 100))
    both.save(folder / "both.jpg", quality=95)
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(noise).resize((800, 600)).save(folder / "stranger.jpg")
    for number in (1, 2):
        with Image.open(photos / "object-02" / f"view-{number}.jpg") as photo:
            width, height = photo.size
            photo.crop((9, 9, width - 9, height - 9)).save(folder / f"new-{number}.jpg")
    return folder


@pytest.fixture
def ground_of(served: Served, movable: OwnServer, outside: Path) -> Callable[[Task], Ground]:
    """Return the collection to do a task on: one of its own if it changes."""
    new = tuple(outside / f"new-{number}.jpg" for number in (1, 2))
    pictures = {"new": new, "stranger": outside / "stranger.jpg", "both": outside / "both.jpg"}
    fixed = Ground(
        served.address, served.photos, "object-02", "object-03", "again", "none", **pictures
    )
    address = f"{movable.server.url}/"
    burst = "object-01/small.jpg"
    changing = Ground(address, movable.photos, "object-01", "none", "none", burst, **pictures)
    return lambda task: changing if task.changes else fixed


def do(task: Task, chromium: Browser, ground: Ground, *, phone: bool) -> None:
    options = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if phone else {}
    served = Served(ground.address, ground.photos, ground.photos)
    with visiting(chromium, served, **options) as visit:
        page = visit.open()
        expect(page.locator("#home .tile").first).to_be_visible()
        hand = Hand(page, touch=phone)
        task.run(hand, ground)
        assert hand.clicks <= task.clicks
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def on_a_phone(task: Task) -> object:
    marks = [] if task.name in ON_A_PHONE else [pytest.mark.exhaustive]
    return pytest.param(task, id=task.name, marks=marks)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_on_a_desktop(task: Task, chromium: Browser, ground_of) -> None:
    do(task, chromium, ground_of(task), phone=False)


@pytest.mark.parametrize("task", [on_a_phone(task) for task in TASKS])
def test_a_task_on_a_phone(task: Task, chromium: Browser, ground_of) -> None:
    do(task, chromium, ground_of(task), phone=True)


def test_the_documentation_states_the_clicks_and_shows_each_end(monkeypatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    script = importlib.import_module("make_tasks")
    measured = json.loads((DOCS / "tasks.json").read_text("utf-8"))
    text = (DOCS / "tasks.md").read_text("utf-8")
    assert script.table(measured) in text, "run docs/make_tasks.py"
    assert script.measured_on(measured) in text
    pictures = [DOCS / link for link in re.findall(r"\]\((images/\S+)\)", text)]
    assert len(pictures) == 2 * len(TASKS)
    assert sum(picture.stat().st_size for picture in pictures) < 1.5e6
