"""Visits of the page in a real browser."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from resight.config import LocalConfig
from resight.indexing import pipeline

expect.set_options(timeout=20_000)

OBJECTS = 4
TOTAL = OBJECTS * 3 * 2
PHONE = {"width": 375, "height": 720}
DESKTOP = {"width": 1200, "height": 800}

SERVE = """
import sys
from pathlib import Path
from resight.web import WebSettings, serve
started = lambda address: print(address, flush=True)
serve(Path(sys.argv[1]), settings=WebSettings(port=0, token=None), started=started)
"""


@dataclass
class Served:
    """A running server and what it serves."""

    address: str
    photos: Path
    collection: Path

    def query(self, number: int = 1) -> Path:
        return self.photos / f"object-{number:02d}" / "view-1.jpg"


@dataclass
class Visit:
    """A browser window, with its errors and its requests to other sites."""

    page: Page
    served: Served
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def open(self, fragment: str = "") -> Page:
        self.page.goto(self.served.address + fragment)
        return self.page

    def results(self, page: Page) -> list[tuple[str, str]]:
        """Return names and exact distances of the shown results."""
        expect(page.locator("#search .results:not(.waiting) .tile").first).to_be_visible()
        script = """tiles => tiles.map(tile => [tile.querySelector(".name").textContent,
                                                tile.querySelector(".distance").dataset.distance])"""
        return [tuple(pair) for pair in page.locator("#search .tile").evaluate_all(script)]


def index_twice(folder: Path, photos: Path) -> None:
    """Copy the photos of four objects twice to `folder/photos`; index them in `folder/holidays`."""
    copies = folder / "photos"
    for number in range(1, OBJECTS + 1):
        name = f"object-{number:02d}"
        shutil.copytree(photos / name, copies / name)
        shutil.copytree(photos / name, copies / "again" / name)
        for photo in (copies / "again" / name).iterdir():
            with photo.open("ab") as file:  # identical files would be one result
                file.write(b" ")
    (copies / "empty.jpg").touch()
    (copies / "notes.png").write_text("not a picture")
    config = LocalConfig(
        method="sift-vlad", longest_side=400, max_keypoints=500, centers=32, sample=20_000
    )
    pipeline.index([copies], folder / "holidays", config=config)


@contextlib.contextmanager
def serving(collection: Path, photos: Path) -> Iterator[Served]:
    """Serve a collection in a process of its own until the block ends."""
    command = [sys.executable, "-c", SERVE, str(collection)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            yield Served(address, photos, collection)
        finally:
            process.terminate()


@contextlib.contextmanager
def visiting(chromium: Browser, served: Served, **options: object) -> Iterator[Visit]:
    """Open a new window; afterwards check that nothing failed or left the server's origin."""
    context = chromium.new_context(**{"viewport": DESKTOP, **options})
    context.set_default_timeout(20_000)
    visit = Visit(context.new_page(), served)
    page = visit.page
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("console", lambda m: m.type == "error" and visit.errors.append(m.text))
    own = (served.address, f"blob:{served.address}", "data:")
    page.on("request", lambda r: r.url.startswith(own) or visit.outside.append(r.url))
    try:
        yield visit
        unexpected = [e for e in visit.errors if not any(text in e for text in visit.expected)]
        assert unexpected == []
        assert visit.outside == []
    finally:
        context.close()
