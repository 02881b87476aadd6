"""Photos, collections and servers that the tests of the web interface share."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import browser
from shared_folders import made_once
from web_server import OwnServer, Running, make_photos, make_sift_collection, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from page_visits import Served, Visit


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw 15 photos: three views each of four objects, and three of clutter."""
    return made_once(tmp_path_factory, "web-photos", make_photos)


@pytest.fixture(scope="session")
def collection(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a collection of the 15 photos; tests must not change it."""
    return made_once(
        tmp_path_factory, "web-collection", lambda folder: make_sift_collection(folder, photos)
    )


@pytest.fixture(scope="module")
def server(collection: Path) -> Iterator[Running]:
    """Start a server of the 15 photos."""
    with running(collection) as started:
        yield started


@pytest.fixture(scope="session")
def few_photos(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw six photos: three of clutter (ids 1 to 3), three views of an object (4 to 6)."""

    def copy(folder: Path) -> None:
        for name in ("clutter", "object-01"):
            shutil.copytree(photos / name, folder / "photos" / name)

    return made_once(tmp_path_factory, "few", copy) / "photos"


@pytest.fixture(scope="session")
def few_collection(few_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a collection of the six photos; tests must not change it."""
    return made_once(
        tmp_path_factory,
        "few-collection",
        lambda folder: make_sift_collection(folder, few_photos),
    )


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """Start a headless browser, or skip the test where there is none."""
    with contextlib.ExitStack() as stack:
        try:
            launched = stack.enter_context(browser.launch())
        except browser.NoBrowserError as reason:
            pytest.skip(str(reason))
        yield launched


@pytest.fixture
def own(few_photos: Path, tmp_path: Path) -> Iterator[OwnServer]:
    """Start a server of the test's own copy of the six photos."""
    folder = shutil.copytree(few_photos, tmp_path / "photos")
    collection = make_sift_collection(tmp_path / "collection", folder)
    with running(collection) as started:
        yield OwnServer(started, collection, folder)


@pytest.fixture(scope="session")
def served(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Served"]:
    """Serve 24 photos of four objects: three views each, and all of them again."""
    from page_visits import index_twice, serving

    made = made_once(tmp_path_factory, "page", lambda folder: index_twice(folder, photos))
    own = shutil.copytree(made / "holidays", tmp_path_factory.mktemp("served") / "holidays")
    with serving(own, made / "photos") as started:
        yield started


@pytest.fixture
def visit(chromium: "Browser", served: "Served") -> Iterator["Visit"]:
    """Open a window of a desktop."""
    from page_visits import visiting

    with visiting(chromium, served) as opened:
        yield opened


@pytest.fixture
def phone(chromium: "Browser", served: "Served") -> Iterator["Visit"]:
    """Open a window of a phone."""
    from page_visits import PHONE, visiting

    with visiting(chromium, served, viewport=PHONE, has_touch=True, is_mobile=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def movable(few_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """Start a server that may move the photos: three of clutter, and four of one object."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("movable")
    photos = Path(shutil.copytree(few_photos, folder / "photos"))
    with Image.open(photos / "object-01" / "view-1.jpg") as image:
        image.resize((320, 240)).save(photos / "object-01" / "small.jpg")
    collection = make_sift_collection(folder / "collection", photos)
    (folder / "sorted").mkdir()
    with running(collection, allow_move=True, index_folders=(folder / "sorted",)) as server:
        yield OwnServer(server, collection, photos)
