"""Responsiveness of the page: first paint, drop to results, search from a result, scrolling.

    python benchmarks/web_page.py COLLECTION PHOTOS [--weights FILE] [--rounds 7]

Serves a collection and drives the page in a headless Chromium. PHOTOS holds photos that are not in
the collection; their feature extraction is timed separately in the same run. While the grid scrolls
to its end, the longest time between two frames is recorded.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from harness import make_parser
from resight.collection import Collection
from resight.methods.model import ModelOptions
from resight.searching import Searcher
from resight.searching.query import open_query

TIMER = """() => {
    const times = window.times = {};
    const start = () => { times.start = performance.now(); times.end = 0; };
    for (const name of ["change", "click"]) document.addEventListener(name, start, true);
    const look = () => {
        const shown = document.querySelector("#search .results:not(.waiting) .tile");
        if (times.start && !times.end && shown) times.end = performance.now();
    };
    const what = { subtree: true, childList: true, attributes: true };
    new MutationObserver(look).observe(document.body, what);
}"""
"""Time from the user's action to the first result on the page, by the page's own clock."""

WAIT = """async () => {
    while (!window.times.end) await new Promise(requestAnimationFrame);
    return window.times.end - window.times.start;
}"""

FIRST_PAINT = """async () => {
    const painted = () => performance.getEntriesByName("first-contentful-paint")[0];
    while (!painted()) await new Promise(requestAnimationFrame);
    return painted().startTime;
}"""

SCROLL = """async () => {
    const frames = [];
    let last = performance.now(), rest = 0, height = 0;
    while (rest < 60) {
        window.scrollBy(0, 300);
        const now = await new Promise(requestAnimationFrame);
        frames.push(now - last);
        last = now;
        const end = window.scrollY + window.innerHeight >= document.body.scrollHeight - 2;
        rest = end && document.body.scrollHeight === height ? rest + 1 : 0;
        height = document.body.scrollHeight;
    }
    frames.sort((a, b) => a - b);
    const last_tile = [...document.querySelectorAll("#search .tile")].pop();
    return {
        frames: frames.length,
        median_ms: frames[frames.length >> 1],
        late_percent: 100 * frames.filter(ms => ms > 50).length / frames.length,
        longest_ms: frames[frames.length - 1],
        last_photo: Number(last_tile.getAttribute("aria-posinset")),
    };
}"""
"""Some 18,000 pixels a second, to the end; what is late is late by more than two frames."""


@contextmanager
def served(collection: Path, weights: list[str]) -> Iterator[str]:
    """Serve a collection, and yield its address."""
    command = [sys.executable, "-m", "resight", "serve", "-c", str(collection), *weights]
    with subprocess.Popen(
        [*command, "--port", "0", "--no-open"], stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            words = (word for line in server.stderr or () for word in line.split())
            yield next(word for word in words if "://" in word)
        finally:
            server.terminate()


def describe_only(collection: Path, photos: list[Path], model: ModelOptions) -> list[float]:
    """Seconds to read and describe each photo, after one that is not counted."""
    times = []
    with Collection.open(collection) as opened:
        searcher = Searcher(opened, model)
        for photo in [photos[0], *photos]:
            started = time.perf_counter()
            searcher.describe(open_query(photo))
            times.append(time.perf_counter() - started)
    return times[1:]


def first_paints(page: Page, address: str, rounds: int) -> list[float]:
    """Milliseconds to the first contentful paint, the cache empty."""
    times = []
    for _ in range(rounds):
        session = page.context.new_cdp_session(page)
        session.send("Network.clearBrowserCache")
        page.goto("about:blank")
        page.goto(address)
        times.append(page.evaluate(FIRST_PAINT))
    return times


def timed(page: Page) -> float:
    """Milliseconds from what was just done to the results."""
    return page.evaluate(WAIT)


def measure(page: Page, address: str, photos: list[Path], rounds: int) -> dict[str, Any]:
    paints = first_paints(page, address, rounds)
    page.evaluate(TIMER)
    dropped = []
    for photo in photos:
        page.goto(f"{address}#/")
        page.set_input_files("#picker", photo)
        dropped.append(timed(page))
    stored = []
    for number in range(rounds):
        page.locator("#search .tile").nth(number + 1).hover()
        page.locator("#search .tile").nth(number + 1).locator("button").first.click()
        stored.append(timed(page))
    return {"first_paint_ms": paints, "drop_ms": dropped, "stored_ms": stored}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("collection", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scroll", action="store_true", help="only scroll, from a stored photo")
    options = parser.parse_args()
    photos = sorted(options.photos.glob("*.jpg"))
    weights = ["--weights", str(options.weights)] if options.weights else []
    named = os.environ.get("RESIGHT_BROWSER") or shutil.which("chromium")
    report: dict[str, Any] = {}
    if not options.scroll:
        description_s = describe_only(options.collection, photos, ModelOptions(options.weights))
        report["description_alone_ms"] = [1000 * seconds for seconds in description_s]
    with served(options.collection, weights) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=named, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        if options.scroll:
            page.goto(f"{address}#/search?photo=1")
            page.locator("#search .results:not(.waiting) .tile").first.wait_for()
            report["first_scroll"] = page.evaluate(SCROLL)  # thumbnails are created
            page.evaluate("scrollTo(0, 0)")
            report["second_scroll"] = page.evaluate(SCROLL)
        else:
            report |= measure(page, address, photos, options.rounds)
            pairs = zip(report["drop_ms"], report["description_alone_ms"], strict=True)
            report["drop_besides_description_ms"] = [a - b for a, b in pairs]
        browser.close()
    medians = {
        name: round(statistics.median(times), 1)
        for name, times in report.items()
        if name.endswith("_ms")
    }
    print(json.dumps({"medians": medians, **report}, indent=2))


if __name__ == "__main__":
    main()
