"""Unit tests of the page's modules in a real browser: geometry, addresses, the virtual grid."""

import base64
import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, Route

import resight

STATIC = Path(resight.__file__).parent / "web" / "static"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the modules, and one pixel for every photo."""

    def do_GET(self) -> None:
        if not self.path.startswith("/api/"):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Cache-Control", "max-age=600")
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the load of a photo was canceled
            self.wfile.write(PIXEL)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    """Return a window on an empty document from which modules can be imported."""
    handler = functools.partial(Handler, directory=str(STATIC))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = chromium.new_page(viewport={"width": 1200, "height": 800})
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")  # a list of the files
        yield page
        page.close()
        server.shutdown()


def call(page: Page, module: str, expression: str, *values: object) -> object:
    """Evaluate an expression in which `m` is a module and `v` are values."""
    script = f"async v => {{ const m = await import('/{module}'); return {expression}; }}"
    return page.evaluate(script, list(values))


SQUARE = {"width": 100, "height": 100}
WIDE = {"width": 200, "height": 100}
MEASURES = {"width": 420, "rowHeight": 100, "gap": 10, "caption": 20}


def test_a_row_is_filled_to_the_width_and_the_last_one_keeps_its_height(page: Page) -> None:
    # 200 + 10 + 200 = 410 does not fill 420; with a third it is (420 - 20) / 5 = 80 high.
    photos = [WIDE, WIDE, SQUARE, SQUARE]
    rows = call(page, "grid.js", "m.justify(v[0], v[1])", photos, MEASURES)
    assert rows == [
        {
            "top": 0, "height": 100, "photoHeight": 80, "start": 0,
            "cells": [
                {"left": 0, "width": 160}, {"left": 170, "width": 160}, {"left": 340, "width": 80}
            ],
        },
        {
            "top": 110, "height": 120, "photoHeight": 100, "start": 3,
            "cells": [{"left": 0, "width": 100}],
        },
    ]  # fmt: skip


def test_rows_hold_every_photo_once_and_end_at_the_edge(page: Page) -> None:
    script = """(() => {
        let seed = 7;
        const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
        const side = () => 1 + random() * 4000;
        const photos = Array.from({ length: 500 }, () => ({ width: side(), height: side() }));
        const rows = m.justify(photos, v[0]);
        let grown = [];
        for (const length of [1, 60, 61, 300, 500]) {
            grown = m.justify(photos.slice(0, length), v[0], grown);
        }
        const at = rows.every(({ top, height }, i) =>
            m.rowAt(rows, top) === i && m.rowAt(rows, top + height - 0.5) === i);
        const same = JSON.stringify(grown) === JSON.stringify(rows);
        return { rows, at, grown: same, total: m.totalHeight(rows) };
    })()"""
    result = call(page, "grid.js", script, MEASURES)
    assert isinstance(result, dict)
    rows, start, top = result["rows"], 0, 0.0
    for row in rows[:-1]:
        assert row["start"] == start
        assert row["top"] == pytest.approx(top)
        assert row["photoHeight"] <= MEASURES["rowHeight"]
        last = row["cells"][-1]
        assert last["left"] + last["width"] == pytest.approx(MEASURES["width"])
        start += len(row["cells"])
        top += row["height"] + MEASURES["gap"]
    assert start + len(rows[-1]["cells"]) == 500
    assert result["at"]
    assert result["grown"]  # page by page, the rows are the same as all at once
    assert result["total"] == pytest.approx(top + rows[-1]["height"])


@pytest.mark.parametrize(
    ("expression", "box"),
    [
        ("m.boxBetween(50, 60, 20, 10, v[0])", [20, 10, 30, 50]),
        ("m.boxBetween(-9, -9, 900, 900, v[0])", [0, 0, 200, 100]),
        ("m.boxBetween(199, 99, 200, 100, v[0])", [184, 84, 16, 16]),
        ("m.boxBetween(1, 1, 2, 2, { width: 8, height: 5 })", [0, 0, 8, 5]),
        ("m.moveBox([10, 10, 50, 50], -30, 500, v[0])", [0, 50, 50, 50]),
        ("m.resizeBox([50, 20, 50, 50], 'se', 20, -10, v[0])", [50, 20, 70, 40]),
        ("m.resizeBox([50, 20, 50, 50], 'w', 80, 99, v[0])", [100, 20, 30, 50]),
        ("m.centerBox(v[0])", [50, 25, 100, 50]),
        ("m.insideBox([150, 50, 90, 90], v[0])", [150, 50, 50, 50]),
        ("m.insideBox([200, 0, 10, 10], v[0])", None),
    ],
)
def test_boxes_stay_inside_the_photo(page: Page, expression: str, box: list[int] | None) -> None:
    assert call(page, "boxes.js", expression, WIDE) == box


@pytest.mark.parametrize(
    "state",
    [
        {"page": "home"},
        {"page": "groups", "limit": 0.25, "size": 3, "folder": "/home/me/a b"},
        {"page": "search", "photo": 3, "box": [1, 2, 30, 40], "compare": 9, "verify": 20},
        {"page": "search", "upload": "a-b_c", "large": True, "others": True},
        {
            "page": "search",
            "photo": 1,
            "under": "/Ühr & co/100%",
            "taken_from": "2020-02-29",
            "taken_before": "2021-01-01",
            "min_side": 800,
            "file_name": "a+b #1",
            "kind": "crop",
        },
        {"page": "home", "file_name": "&=?", "sort": "date"},
        {"page": "search", "photo": 3, "named": "our boat & é/ü?", "compare": 4},
    ],
)
def test_a_state_survives_formatting_and_parsing(page: Page, state: dict[str, object]) -> None:
    assert call(page, "state.js", "m.parseHash(m.formatHash(v[0]))", state) == state


@pytest.mark.parametrize(
    ("fragment", "state"),
    [
        ("", {"page": "home"}),
        ("#/nonsense?photo=x", {"page": "home"}),
        ("#/search", {"page": "home"}),
        ("#/search?photo=-1", {"page": "home"}),
        ("#/search?photo=2&box=1,2,3", {"page": "search", "photo": 2}),
        ("#/search?photo=2&box=1,2,0,4", {"page": "search", "photo": 2}),
        ("#/search?photo=2&box=1.5,2,3,4&verify=x", {"page": "search", "photo": 2}),
        ("#/?taken_from=2020&taken_before=2020-13-01&min_side=0&name=a/b&sort=x", {"page": "home"}),
        ("#/?taken_from=0020-01-01&min_side=1.5&under=&name=", {"page": "home"}),
    ],
)
def test_invalid_values_of_an_address_are_ignored(
    page: Page, fragment: str, state: dict[str, object]
) -> None:
    assert call(page, "state.js", "m.parseHash(v[0])", fragment) == state


def test_query_photos_keep_the_order_in_which_they_were_given(page: Page) -> None:
    script = """(views => v.map(state => {
        views.show(state);
        const images = [...views.root.querySelectorAll("img")];
        return images.map(image => Number(image.src.match(/photos.(\\d+)/)[1]));
    }))(m.createViews({ go() {}, add() {} }))"""
    states = [{"photo": 9, "more": ["p3", "p5"]}, {"photo": 5, "more": ["p9", "p3", "p1"]}]
    orders = call(page, "views.js", script, *states)
    assert orders == [[9, 3, 5], [9, 3, 5, 1]]


@pytest.mark.parametrize(
    ("distance", "text"),
    [(0, "0"), (0.67123, "0.671"), (1.234, "1.23"), (12.34, "12.3"), (1234.6, "1235")],
)
def test_distances_are_short(page: Page, distance: float, text: str) -> None:
    assert call(page, "dom.js", "m.shortDistance(v[0])", distance) == text


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("under", "/photos/2019/summer", "Folder: summer"),
        ("taken_from", "2020-02-29", "From Feb 29, 2020"),
        ("taken_before", "2021-01-01", "Before Jan 1, 2021"),
        ("min_side", 1200, "At least 1,200 px"),
        ("file_name", "beach", "Name: “beach”"),
        ("kind", "crop", "Only: cropped"),
    ],
)
def test_a_filter_is_said_in_words(page: Page, key: str, value: object, text: str) -> None:
    assert call(page, "filters.js", "m.filterText(v[0], v[1])", key, value) == text


@pytest.mark.parametrize(
    ("key", "values", "text"),
    [
        ("count.photos", {"count": 1}, "1 photo"),
        ("count.photos", {"count": 1234}, "1,234 photos"),
        ("names.named", {"count": 2, "name": "our boat"}, "2 photos named “our boat”."),
        ("grid.search_with", {"name": "שלום (1).jpg"}, "Search with \u2068שלום (1).jpg\u2069"),
    ],
)
def test_a_text_is_filled(page: Page, key: str, values: dict[str, object], text: str) -> None:
    assert call(page, "texts.js", "m.text(v[0], v[1])", key, values) == text


def test_results_are_cached_by_the_filters_of_the_server(page: Page) -> None:
    query = {"page": "search", "photo": 1}
    states = [
        query,
        {**query, "file_name": "a"},
        {**query, "min_side": 5},
        {**query, "kind": "crop"},
    ]
    keys = call(page, "results.js", "v.map(m.resultsKey)", *states)
    assert len(set(keys)) == 3
    assert keys[0] == keys[3]  # the page chooses among the same results
    none = call(page, "filters.js", "m.activeFilters(m.withoutFilters(v[0]))", states[1])
    assert none == []


def test_details_are_formatted(page: Page) -> None:
    details = {
        "taken": "2021-05-05T17:05:00", "width": 4000, "height": 3000, "bytes": 3_240_000,
        "camera": "NIKON D90", "folder": "new",
    }  # fmt: skip
    assert call(page, "details.js", "m.detailRows(v[0])", details) == [
        ["Taken", "May 5, 2021, 5:05 PM"],
        ["Size", "4,000 × 3,000 pixels, 12.0 MP"],
        ["File", "3.2 MB"],
        ["Camera", "NIKON D90"],
        ["Folder", "new"],
    ]
    sizes = [0, 999, 1000, 54_321, 2 * 10**9]
    texts = call(page, "details.js", "v.map(m.bytesText)", *sizes)
    assert texts == ["0 bytes", "999 bytes", "1.0 kB", "54 kB", "2.0 GB"]


def test_only_tiles_near_the_window_are_in_the_document(page: Page) -> None:
    script = """(async () => {
        const list = document.createElement("ul");
        document.body.replaceChildren(list);
        list.style.cssText = "position: relative; margin: 0; padding: 0; list-style: none";
        const css = new CSSStyleSheet();
        css.replaceSync("li { position: absolute; top: 0; left: 0 } li a { display: block }");
        document.adoptedStyleSheets = [css];
        const photos = Array.from({ length: 10000 }, (_, i) =>
            ({ id: 1 + i % 50, name: `${i}.jpg`, width: 300 + (i * 37) % 300, height: 300 }));
        const fill = (tile, photo, image) => {
            const link = document.createElement("a");
            link.href = "#";
            link.append(image);
            tile.append(link);
        };
        const grid = m.createGrid(list, { label: "Photos", fill });
        grid.setPhotos(photos);
        const frame = () => new Promise(done => requestAnimationFrame(done));
        const height = list.offsetHeight, states = [];
        for (let i = 0; i <= 40; i += 1) {
            scrollTo(0, (height - innerHeight) * i / 40);
            await frame(); await frame();
            const at = [...list.children].map(tile => Number(tile.dataset.index));
            const areas = [...list.children].map(tile => tile.getBoundingClientRect());
            states.push({
                tiles: at.length, first: at[0], last: at.at(-1),
                ordered: at.every((index, i) => !i || index === at[i - 1] + 1),
                covered: Math.min(...areas.map(a => a.top)) <= Math.max(0, list.offsetTop - scrollY)
                    && Math.max(...areas.map(a => a.bottom)) >= innerHeight - 12,
            });
        }
        await new Promise(done => setTimeout(done, 300));
        return { states, stable: list.offsetHeight === height, height,
                 bare: list.querySelectorAll("img:not([src])").length };
    })()"""
    result = call(page, "grid.js", script)
    assert isinstance(result, dict)
    states = result["states"]
    assert max(state["tiles"] for state in states) < 150
    assert all(state["ordered"] and state["covered"] for state in states)
    assert (states[0]["first"], states[-1]["last"]) == (0, 9_999)
    assert len({state["first"] for state in states}) == len(states)
    assert result["stable"]  # loading moves nothing
    assert result["height"] > 100_000
    assert result["bare"] == 0  # once scrolling stops, every picture is loaded


def test_folded_copies_leave_no_empty_tiles(page: Page) -> None:
    """The server's total counts copies; the page has a tile for each result."""
    results = [{"id": number, "copies": [{"id": 10 + number}]} for number in range(3)]
    answer = {"query": {"width": 8, "height": 6}, "total": 6, "results": results}
    page.route("**/api/v1/search*", lambda route: route.fulfill(json=answer))
    script = """async () => {
        const { cachedResults, fetchMore } = await import('/results.js');
        const state = { photo: 7 };
        const results = cachedResults(state);
        await fetchMore(state, results);
        return [results.items.length, results.total, results.complete];
    }"""
    assert page.evaluate(script) == [3, 3, True]
    page.unroute("**/api/v1/search*")


def test_filtered_results_have_no_total_until_the_last_page(page: Page) -> None:
    results = [{"id": number} for number in range(60)]
    pages = [results, results[:2]]
    query = {"width": 8, "height": 6}

    def answer(route: Route) -> None:
        route.fulfill(json={"query": query, "total": None, "results": pages.pop(0)})

    page.route("**/api/v1/search*", answer)
    script = """async () => {
        const { cachedResults, fetchMore } = await import('/results.js');
        const state = { photo: 70, name: 'a' };
        const results = cachedResults(state);
        await fetchMore(state, results);
        const first = [results.complete, Number.isNaN(results.total)];
        await fetchMore(state, results);
        return [...first, results.complete, results.total];
    }"""
    assert page.evaluate(script) == [False, True, True, 62]
    page.unroute("**/api/v1/search*")
