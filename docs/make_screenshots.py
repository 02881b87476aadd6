"""Takes the pictures of the page for the README: python docs/make_screenshots.py.

Draws the demo's photos, indexes them, serves them, and photographs the page in a headless
Chromium: a search with a box, and why a result matched. Needs the extra `dev`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from resight.demo import draw_collection
from resight.indexing import pipeline

IMAGES = Path(__file__).parent / "images"
SIZE = {"width": 1280, "height": 800}
QUERY, BOX, RESULT = "object-10/view-3.jpg", (0.12, 0.14, 0.83, 0.9), 1


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the demo's photos, indexed with the default method, and yield the address."""
    photos, collection = folder / "photos", folder / "demo"
    draw_collection(photos)
    pipeline.index([photos], collection)
    command = [
        sys.executable,
        "-m",
        "resight",
        "serve",
        "-c",
        collection,
        "--port",
        "0",
        "--no-open",
    ]
    with subprocess.Popen(map(str, command), stderr=subprocess.PIPE, text=True) as server:
        if server.stderr is None:
            raise RuntimeError("the server has no output to read")
        try:
            words = (word for line in server.stderr for word in line.split())
            yield next(word for word in words if "://" in word)
        finally:
            server.terminate()


def take_pictures(page: Page, address: str, query: Path) -> None:
    """Search with a photo, draw a box, open the first result's explanation."""
    page.goto(address)
    page.set_input_files("#picker", query)
    page.locator("#search .results:not(.waiting) .tile").first.wait_for()
    stage = page.locator("#stage").bounding_box()
    if stage is None:
        raise RuntimeError("the page shows no query")
    for (x, y), act in zip((BOX[:2], BOX[2:]), (page.mouse.down, page.mouse.up), strict=True):
        at = stage["x"] + x * stage["width"], stage["y"] + y * stage["height"]
        page.mouse.move(*at, steps=4)
        act()
    page.wait_for_url("**box=*")
    page.locator("#search .results:not(.waiting) .tile").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / "page-search.jpg", type="jpeg", quality=88)
    page.locator("#search .tile a").nth(RESULT).click()
    page.locator("#compare button:enabled", has_text="Lines").wait_for()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / "page-why.jpg", type="jpeg", quality=88)


def main() -> None:
    """Serve the demo's pictures and photograph the page."""
    named = os.environ.get("RESIGHT_BROWSER") or shutil.which("chromium")
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        served(Path(folder)) as address,
    ):
        browser = playwright.chromium.launch(executable_path=named, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        take_pictures(page, address, Path(folder) / "photos" / QUERY)
        browser.close()


if __name__ == "__main__":
    main()
