"""The page in a real browser, against the real server: everything users do with it."""

import base64
import re
import shutil
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra `web` is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect

import samples
from page_visits import TOTAL, Served, Visit, visiting
from resight.backends.manage import remove
from resight.config import SearchConfig
from resight.indexing import pipeline
from resight.searching import search
from resight.searching.query import Result
from web_server import OwnServer, running

PAGE_SIZE = 60
NOT_FOUND = "Failed to load resource"


def drop(page: Page, path: Path, event: str = "drop") -> None:
    """Drop or paste a file: dispatch the event of a browser."""
    script = """([data, name, kind]) => {
        const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
        const how = { bubbles: true, cancelable: true };
        const event = kind === "paste"
            ? new ClipboardEvent("paste", { clipboardData: transfer, ...how })
            : new DragEvent(kind, { dataTransfer: transfer, ...how });
        document.body.dispatchEvent(event);
    }"""
    page.evaluate(script, [base64.b64encode(path.read_bytes()).decode(), path.name, event])


def box_in(page: Page) -> tuple[int, int, int, int]:
    page.wait_for_url(re.compile(r"box=\d"))
    match = re.search(r"box=(\d+),(\d+),(\d+),(\d+)", page.url)
    assert match is not None
    x, y, w, h = map(int, match.groups())
    return x, y, w, h


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag on the stage, in fractions of its size."""
    area = page.locator("#stage").bounding_box()
    assert area is not None
    for (x, y), act in ((start, page.mouse.down), (end, page.mouse.up)):
        page.mouse.move(area["x"] + x * area["width"], area["y"] + y * area["height"], steps=4)
        act()


def expected_results(served: Served, query: Path, box: tuple[int, int, int, int] | None = None):
    """Return names and distances from the Python interface."""
    results = search(query, served.collection, SearchConfig(k=PAGE_SIZE), box=box)
    return [(result.path.name, result.distance) for result in results.results]


def overflow(page: Page) -> int:
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


# Choosing a photo


@pytest.mark.parametrize("how", ["drop", "paste", "pick"])
def test_a_photo_is_dropped_pasted_or_picked(visit: Visit, how: str) -> None:
    page, query = visit.open(), visit.served.query(2)
    expect(page.locator("#home .tile").first).to_be_visible()
    if how == "pick":
        page.set_input_files("#picker", query)
    else:
        drop(page, query, how)
    shown = visit.results(page)
    expected = expected_results(visit.served, query)
    assert [(name, float(distance)) for name, distance in shown] == expected[: len(shown)]
    assert len(shown) >= 4
    expect(page.locator("#stage img")).to_have_attribute("alt", f"The query: {query.name}")
    page.wait_for_url("**#/search?upload=*")


def test_dragging_a_file_over_the_page_shows_a_hint(visit: Visit) -> None:
    page = visit.open()
    drop(page, visit.served.query(), "dragenter")
    expect(page.locator("#drop")).to_be_visible()
    drop(page, visit.served.query(), "dragleave")
    expect(page.locator("#drop")).to_be_hidden()


def test_an_upload_survives_a_reload_of_the_page(visit: Visit) -> None:
    page = visit.open()
    page.set_input_files("#picker", visit.served.query())
    before = visit.results(page)
    page.wait_for_url("**#/search?upload=*")
    page.reload()
    assert visit.results(page) == before
    expect(page.locator("#stage.ready img")).to_be_visible()


def test_a_comparison_uploads_again_what_the_server_deleted(
    chromium: Browser, served: Served
) -> None:
    with running(served.collection) as server:
        short = Served(f"{server.url}/", served.photos, served.collection)
        with visiting(chromium, short) as visit:
            visit.expected.append(NOT_FOUND)
            page = visit.open()
            page.set_input_files("#picker", served.query())
            visit.results(page)
            page.wait_for_url("**#/search?upload=*")
            server.state.uploads._cache.expire(time.monotonic() + 1e6)  # as if much later
            page.locator("#search .tile a").nth(1).click()
            expect(page.locator(".explanation strong")).to_be_visible()


def test_several_photos_are_searched_with_together_or_one_by_one(visit: Visit) -> None:
    page, photos = visit.open(), [visit.served.query(2), visit.served.query(3)]
    page.set_input_files("#picker", photos)
    page.wait_for_url("**more=*")
    together = visit.results(page)
    assert len(together) >= 4  # of both things
    expect(page.locator(".views li")).to_have_count(2)
    expect(page.get_by_role("button", name="Draw a box", exact=True)).to_be_hidden()
    page.reload()
    assert visit.results(page) == together
    page.get_by_role("button", name="One by one").click()
    expect(page.locator(".results.waiting")).to_have_count(0)
    shown = page.locator("#stage img").get_attribute("src")
    first = visit.results(page)
    assert len(first) < len(together)
    page.locator(".view-photo:not([aria-current])").click()
    expect(page.locator("#stage img")).not_to_have_attribute("src", shown or "")
    assert visit.results(page) != first
    page.get_by_role("button", name="One thing").click()
    expect(page.locator("#search .tile")).to_have_count(len(together))
    page.locator("#search .tile a").last.click()  # compared with the photo that found it
    expect(page.locator(".explanation strong")).to_contain_text("ame thing")
    page.keyboard.press("Escape")
    page.locator(".views .tool").first.click()
    expect(page.locator(".views")).to_be_hidden()
    assert "more=" not in page.url


def test_parts_that_results_share_are_proposed(visit: Visit, tmp_path: Path) -> None:
    picture = Image.new("RGB", (1400, 700), "gray")
    for number, left in ((2, 20), (3, 720)):
        with Image.open(visit.served.query(number)) as photo:
            picture.paste(photo.resize((660, 500)), (left, 100))
    picture.save(tmp_path / "two.jpg", quality=95)
    page = visit.open()
    page.set_input_files("#picker", tmp_path / "two.jpg")
    both = visit.results(page)
    dots = page.locator(".proposal")
    expect(dots).to_have_count(2)
    dots.first.click()
    x, _, w, _ = box_in(page)
    assert x + w < 700 or x >= 700  # one of the two things
    expect(page.locator(".results.waiting")).to_have_count(0)
    assert len(visit.results(page)) > len(both)  # all views of one thing
    expect(dots).to_have_count(0)
    page.go_back()
    expect(dots).to_have_count(2)


# The box


def test_a_box_drawn_with_the_mouse_changes_the_results(visit: Visit) -> None:
    page = visit.open("#/search?photo=1")
    whole = visit.results(page)
    drag(page, (0.2, 0.25), (0.7, 0.8))
    x, y, w, h = box_in(page)
    with Image.open(visit.served.photos / "again" / "object-01" / "view-1.jpg") as image:
        width, height = image.size
    assert abs(x - 0.2 * width) < 4
    assert abs(y - 0.25 * height) < 4
    assert abs(w - 0.5 * width) < 6
    assert abs(h - 0.55 * height) < 6
    expect(page.locator(".results.waiting")).to_have_count(0)
    boxed = visit.results(page)
    assert boxed != whole
    page.go_back()
    expect(page.locator(".box")).to_be_hidden()
    assert visit.results(page) == whole


def test_results_of_a_box_equal_the_python_interface(visit: Visit) -> None:
    page, query = visit.open(), visit.served.query(3)
    page.set_input_files("#picker", query)
    visit.results(page)
    drag(page, (0.1, 0.1), (0.8, 0.9))
    box = box_in(page)
    expect(page.locator(".results.waiting")).to_have_count(0)
    expected = expected_results(visit.served, query, box)
    shown = visit.results(page)
    assert [(name, float(distance)) for name, distance in shown] == expected[: len(shown)]


def test_a_box_is_moved_resized_and_removed_with_the_mouse(visit: Visit) -> None:
    page = visit.open("#/search?photo=1&others=1&box=100,100,200,200")
    visit.results(page)
    width, height = page.locator("#stage img").evaluate("i => [i.naturalWidth, i.naturalHeight]")
    drag(page, (200 / width, 200 / height), (240 / width, 220 / height))
    page.wait_for_url(lambda url: "box=100,100" not in url)
    x, y, w, h = box_in(page)
    assert (w, h) == (200, 200)
    assert abs(x - 140) < 4
    assert abs(y - 120) < 4
    drag(page, ((x + w) / width, (y + h) / height), ((x + w + 60) / width, (y + h - 50) / height))
    page.wait_for_url(lambda url: f"box={x},{y},{w},{h}" not in url)
    assert box_in(page)[:2] == (x, y)
    assert abs(box_in(page)[2] - 260) < 5
    assert abs(box_in(page)[3] - 150) < 5
    page.get_by_role("button", name="Whole photo").click()
    page.wait_for_url(lambda url: "box=" not in url)
    expect(page.locator(".box")).to_be_hidden()


def test_a_finger_scrolls_the_page_but_moves_the_box(phone: Visit) -> None:
    page = phone.open("#/search?photo=1")
    phone.results(page)
    touch = page.context.new_cdp_session(page)

    def swipe(x: float, y: float, dx: float, dy: float) -> None:
        for kind, at in [
            ("touchStart", (x, y)),
            *(("touchMove", (x + dx * i / 8, y + dy * i / 8)) for i in range(1, 9)),
        ]:
            points = [{"x": at[0], "y": at[1]}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    area = page.locator("#stage").bounding_box()
    assert area is not None
    swipe(area["x"] + area["width"] / 2, area["y"] + area["height"] * 0.8, 0, -120)
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") > 40
    assert "box=" not in page.url
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("button", name="Draw a box", exact=True).tap()
    before = box_in(page)
    middle = page.locator(".box").bounding_box()
    assert middle is not None
    swipe(middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2, 30, 24)
    page.wait_for_url(lambda url: ",".join(map(str, before)) not in url)
    after = box_in(page)
    assert after[2:] == before[2:]
    assert after[0] > before[0]
    assert after[1] > before[1]


# Results


def test_scrolling_loads_results_and_renders_only_visible_ones(
    chromium: Browser, tmp_path: Path
) -> None:
    count = PAGE_SIZE + 12
    query, *_ = samples.draw_many(tmp_path / "photos", count)
    samples.index(tmp_path / "photos", tmp_path / "c", evidence=False)
    with running(tmp_path / "c") as server:
        many = Served(f"{server.url}/", tmp_path / "photos", tmp_path / "c")
        with visiting(chromium, many) as visit:
            page = visit.open("#/search?photo=1&others=1")
            similar = count - len(found_for(many, query))
            last = page.locator(f'#others .tile[aria-posinset="{similar}"]')
            visit.results(page)
            for _ in range(30):
                page.mouse.move(800, 500)
                page.mouse.wheel(0, 900)
                page.wait_for_timeout(40)
            expect(last).to_be_visible()
            assert page.locator("#search .tile").count() < similar
            expect(last).to_have_attribute("aria-setsize", str(similar))
            expected = search(query, many.collection, k=count).results
            shown = [float(distance) for _, distance in visit.results(page)]
            assert shown[-10:] == pytest.approx([r.distance for r in expected[-10:]], rel=1e-3)


def found_for(served: Served, query: Path) -> list[Result]:
    """Return what the Python interface finds of the same thing."""
    return [r for r in search(query, served.collection, k=100) if r.verdict != "different"]


def test_what_shows_the_same_thing_is_shown_with_the_verdict(visit: Visit) -> None:
    expected = found_for(visit.served, visit.served.query(2))
    assert 0 < len(expected) < TOTAL
    page = visit.open()
    page.set_input_files("#picker", visit.served.query(2))
    visit.results(page)
    expect(page.locator("#search-heading")).to_have_text(
        f"{len(expected)} photos of the same thing"
    )
    words = {"same": "Same thing", "probable": "Probably"}
    for tile, result in zip(page.locator("#search .tile").all(), expected, strict=False):
        caption = tile.locator(".caption")
        expect(caption).to_contain_text(words[result.verdict])
        expect(caption).to_contain_text(f"{100 * result.probability:.0f} %")
        link = tile.get_by_role("link", name=re.compile(words[result.verdict], re.IGNORECASE))
        expect(link).to_be_attached()
    expect(page.locator("#search .tile").first).to_contain_text("identical file")
    expect(page.get_by_text("Nothing in this collection")).to_be_hidden()
    more = page.get_by_role("button", name=f"Show {TOTAL - len(expected)} other similar photos")
    expect(more).to_have_attribute("aria-expanded", "false")
    expect(page.get_by_role("list", name="Other similar photos")).to_be_hidden()
    more.click()
    others = page.get_by_role("list", name="Other similar photos")
    expect(others.locator(".tile").first).to_be_attached()
    expect(others.locator(".badge")).to_have_count(0)
    hide = page.get_by_role("button", name=re.compile("^Hide"))
    expect(hide).to_have_attribute("aria-expanded", "true")
    hide.click()
    expect(others).to_be_hidden()


def test_a_query_that_is_nowhere_finds_nothing(visit: Visit, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    stranger = tmp_path / "stranger.png"
    Image.fromarray(noise).resize((800, 600)).save(stranger)
    assert found_for(visit.served, stranger) == []
    page = visit.open()
    page.set_input_files("#picker", stranger)
    expect(page.get_by_text("Nothing in this collection shows the same thing")).to_be_visible()
    expect(page.locator("#search-heading")).to_have_text("Nothing found")
    expect(page.locator("#search .tile")).to_have_count(0)
    page.get_by_role("button", name=f"Show {TOTAL} similar photos").click()
    visit.results(page)
    page.locator("#search .tile a").nth(1).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".explanation")).to_contain_text("Not the same thing")
    expect(dialog.get_by_role("heading").first).to_contain_text("Result 2")


def test_search_from_a_result_and_back_to_the_scroll_position(visit: Visit) -> None:
    page = visit.open("#/search?photo=1&others=1")
    first = visit.results(page)
    page.evaluate("scrollTo(0, 200)")
    tile = page.locator("#search .tile").nth(9)
    tile.hover()
    name = tile.locator(".name").text_content()
    button = tile.get_by_role("button", name=f"Search with {name}")
    button.evaluate("button => button.click()")  # a mouse would scroll to the button first
    page.wait_for_url(lambda url: "photo=1&" not in url and not url.endswith("photo=1"))
    expect(page.locator(".query-name")).to_have_text(name or "")
    assert page.evaluate("scrollY") == 0
    assert visit.results(page) != first
    page.go_back()
    expect(page.locator("#search .tile").first).to_be_visible()
    assert page.evaluate("scrollY") == 200


def test_a_box_is_drawn_in_a_result(visit: Visit) -> None:
    page = visit.open("#/search?photo=1")
    visit.results(page)
    tile = page.locator("#search .tile").nth(1)
    tile.hover()
    tile.get_by_role("button", name=re.compile("Draw a box in")).click()
    page.wait_for_url("**large=1*")
    assert box_in(page)[2] > 0
    expect(page.locator(".box")).to_be_focused()


def test_options_verify_geometry_and_limit_the_distance(visit: Visit) -> None:
    page = visit.open("#/search?photo=1")
    visit.results(page)
    page.get_by_text("Options").click()
    page.get_by_label(re.compile("Check the geometry")).check()
    expect(page.locator(".inliers:visible").first).to_be_visible()
    page.get_by_label("Maximum distance").fill("0.5")
    page.keyboard.press("Enter")
    page.wait_for_url("**limit=0.5*")
    expect(page.locator(".results.waiting")).to_have_count(0)
    assert all(float(distance) <= 0.5 for _, distance in visit.results(page))


# Filters


def test_photos_are_filtered_and_sorted_and_links_and_back_keep_that(visit: Visit) -> None:
    page = visit.open()
    home = page.locator("#home")
    tiles, chips = home.locator(".tile"), home.locator(".filter-chips")
    expect(tiles.first).to_be_visible()
    home.get_by_label("Order").select_option("By name")
    page.wait_for_url("**#/?sort=name")
    page.locator("#home summary").click()
    home.get_by_label("In folder").select_option("again (12)")
    expect(chips.get_by_role("button")).to_have_text(["Folder: again"])
    expect(tiles).to_have_count(12)
    home.get_by_label("Name contains").fill("VIEW-2")
    page.keyboard.press("Enter")
    expect(tiles).to_have_count(4)
    expect(page.get_by_role("heading", name="4 photos that match the filters")).to_be_visible()
    page.keyboard.press("Escape")
    page.reload()
    expect(chips.get_by_role("button")).to_have_text(
        ["Folder: again", "Name: “VIEW-2”", "Remove all"]
    )
    expect(tiles).to_have_count(4)
    page.go_back()
    expect(tiles).to_have_count(12)
    page.go_forward()
    chips.get_by_role("button", name="Remove the filter Folder").click()
    expect(tiles).to_have_count(8)
    expect(chips.get_by_role("button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(chips).to_be_hidden()
    page.wait_for_url("**#/?sort=name")


def test_results_are_filtered_on_a_phone_and_details_are_shown(phone: Visit) -> None:
    phone.expected.append(NOT_FOUND)
    page = phone.open("#/search?photo=1&file_name=view-1")
    page.set_viewport_size({"width": 390, "height": 720})
    names = {name for name, _ in phone.results(page)}
    assert names == {"view-1.jpg"}
    search = page.locator("#search")
    search.locator("summary", has_text="Filter (1)").click()
    assert overflow(page) <= 0
    search.get_by_label("Kind of match").select_option("another view")
    expect(page.get_by_text("Nothing else that matches the filters")).to_be_visible()
    search.get_by_label("Kind of match").select_option("Any")
    search.get_by_label("Taken from").fill("2020-01-01")
    expect(page.get_by_role("heading", name="No photos match the filters")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove all filters").last.click()
    phone.results(page)
    page.locator("#search .tile a").first.click()
    pane = page.locator(".pane").nth(1)
    path = Path(pane.locator(".name").get_attribute("title"))
    pane.get_by_text("Details", exact=True).click()
    details = pane.locator(".details-body")
    expect(details).to_contain_text(str(path.parent))
    expect(details).to_contain_text("pixels")
    problem = {"title": "Conflict", "status": 409, "detail": "There is no file manager."}
    page.route("**/reveal", lambda route: route.fulfill(status=409, json=problem))
    reveal = pane.get_by_role("button", name="Show in folder")
    reveal.click()
    expect(details.get_by_text("There is no file manager.")).to_be_visible()
    expect(reveal).to_be_hidden()
    assert overflow(page) <= 0
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()
    expect(page.get_by_role("dialog")).to_be_visible()


# Comparison


def verdict_over_http(served: Served, first: int, second: int) -> str:
    pair = {"first": {"photo": first}, "second": {"photo": second}}
    summary = httpx.post(f"{served.address}api/v1/same", json=pair).json()["summary"]
    return f"{summary[0].upper()}{summary[1:]}."


def test_the_query_is_no_result_of_its_own(visit: Visit) -> None:
    page = visit.open("#/search?photo=1")
    visit.results(page)
    links = page.locator("#search .tile a").evaluate_all("all => all.map(link => link.href)")
    shown = [int(re.search(r"compare=(\d+)", link).group(1)) for link in links]
    assert shown
    assert 1 not in shown
    expect(page.locator("#search-heading")).to_have_text(f"{len(shown)} photos of the same thing")


def test_a_compared_photo_says_where_it_is_and_can_be_downloaded(visit: Visit) -> None:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.open("#/search?photo=1&compare=2")
    pane = page.locator(".pane").nth(1)
    expect(page.locator(".match").first).to_be_attached()
    path = pane.locator(".name").get_attribute("title")
    assert Path(path).is_relative_to(visit.served.photos)
    pane.get_by_role("button", name="Copy the path").click()
    expect(page.locator("#announcer")).to_have_text("The path was copied.")
    assert page.evaluate("navigator.clipboard.readText()") == path
    with page.expect_download() as download:
        pane.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == Path(path).name
    assert Path(download.value.path()).read_bytes() == Path(path).read_bytes()


def test_a_link_to_a_comparison_leads_to_the_next_result(visit: Visit) -> None:
    page = visit.open("#/search?photo=1&compare=2")
    expect(page.get_by_role("button", name="Next result")).to_be_enabled()
    heading = page.get_by_role("dialog").get_by_role("heading").first
    before = heading.inner_text()
    page.get_by_role("button", name="Next result").click()
    expect(heading).not_to_have_text(before)


def test_a_match_is_explained_side_by_side(visit: Visit) -> None:
    page = visit.open("#/search?photo=1")
    visit.results(page)
    link = page.locator("#search .tile a").nth(1)
    result = int(re.search(r"compare=(\d+)", link.get_attribute("href") or "").group(1))
    phrase = verdict_over_http(visit.served, 1, result)
    link.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".match").first).to_be_attached()
    expect(dialog.locator(".explanation strong")).to_have_text(phrase)
    outside = """lines => {
        const inside = (x, y, stage) => {
            const a = stage.getBoundingClientRect();
            const f = lines[0].ownerSVGElement.getBoundingClientRect();
            return x + f.left >= a.left - 1 && x + f.left <= a.right + 1
                && y + f.top >= a.top - 1 && y + f.top <= a.bottom + 1;
        };
        const [query, result] = document.querySelectorAll(".pane-stage");
        const at = (line, name) => Number(line.getAttribute(name));
        return lines.filter(l => !inside(at(l, "x1"), at(l, "y1"), query)
                              || !inside(at(l, "x2"), at(l, "y2"), result)).length;
    }"""
    assert dialog.locator(".match line").evaluate_all(outside) == 0
    dialog.get_by_role("button", name="Lines").click()
    expect(dialog.locator("svg.lines")).to_be_hidden()
    heading = dialog.get_by_role("heading").first
    expect(heading).to_contain_text("Result 2")
    dialog.get_by_role("button", name="Next result").click()
    expect(heading).to_contain_text("Result 3")
    dialog.get_by_role("button", name="Search with this photo").click()
    expect(dialog).to_be_hidden()
    assert "compare" not in page.url


def test_a_decision_on_two_photos_is_remembered_and_undone(
    chromium: Browser, own: OwnServer
) -> None:
    served = Served(f"{own.server.url}/", own.photos, own.collection)
    with visiting(chromium, served) as visit:
        page = visit.open("#/search?photo=1&compare=2")
        different = page.get_by_role("button", name="Not the same", exact=True)
        expect(different).to_have_attribute("aria-pressed", "false")
        before = page.locator(".explanation strong").inner_text()
        different.click()
        expect(different).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".explanation strong")).to_contain_text("Not the same thing (0 %)")
        (hint,) = own.server.get("/hints")["hints"]
        assert (hint["verdict"], {photo["id"] for photo in hint["photos"]}) == ("different", {1, 2})
        different.click()
        expect(different).to_have_attribute("aria-pressed", "false")
        expect(page.locator(".explanation strong")).to_have_text(before)
        assert own.server.get("/hints")["hints"] == []


def test_a_comparison_is_zoomed_on_both_sides(visit: Visit) -> None:
    page = visit.open("#/search?photo=1&compare=2")
    expect(page.locator(".match").first).to_be_attached()
    shown = page.locator(".pane-stage")
    sizes = [shown.nth(side).bounding_box() for side in (0, 1)]
    page.mouse.move(sizes[0]["x"] + 40, sizes[0]["y"] + 30)
    page.mouse.wheel(0, -400)
    zoomed = [shown.nth(side).bounding_box() for side in (0, 1)]
    scales = {
        round(after["width"] / before["width"], 3)
        for before, after in zip(sizes, zoomed, strict=True)
    }
    assert len(scales) == 1
    assert scales.pop() > 2
    # The same point stays under the pointer.
    corner = (zoomed[0]["x"] + 40 / sizes[0]["width"] * zoomed[0]["width"]) - sizes[0]["x"]
    assert corner == pytest.approx(40, abs=2)
    expect(page.get_by_role("button", name="Zoom out")).to_be_enabled()
    page.keyboard.press("0")
    assert [shown.nth(side).bounding_box() for side in (0, 1)] == sizes
    page.get_by_role("button", name="Zoom in").click()
    assert shown.nth(1).bounding_box()["width"] == pytest.approx(1.5 * sizes[1]["width"], abs=1)


def test_the_back_button_closes_the_comparison_and_a_link_opens_it(visit: Visit) -> None:
    page = visit.open("#/search?photo=1")
    visit.results(page)
    page.locator("#search .tile a").nth(2).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    link = page.url
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.goto(link)
    page.reload()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    visit.results(page)


# Groups and the collection


def test_groups_are_shown_and_follow_the_limit(visit: Visit) -> None:
    page = visit.open("#/groups")
    groups = page.locator(".group")
    expect(groups.first).to_be_visible(timeout=60_000)
    strip = groups.first.locator("a")
    assert strip.count() >= 2
    page.get_by_label("Distance limit").fill("0")
    page.wait_for_url("**#/groups?limit=0")
    page.get_by_role("button", name="Use the estimate").click()
    page.wait_for_url(re.compile(r"#/groups$"))
    expect(page.get_by_role("link", name="Download the groups as CSV")).to_be_visible()
    groups.first.locator("a").first.click()
    visit.results(page)


def test_groups_are_filtered_by_kind_and_mark_the_best_photo(visit: Visit) -> None:
    page = visit.open("#/groups?kind=near-duplicate")
    expect(page.locator(".group.near-duplicate").first).to_be_visible(timeout=60_000)
    expect(page.locator(".group.same-thing:visible")).to_have_count(0)
    chip = page.get_by_role("button", name="Near-duplicates", exact=True)
    expect(chip).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="All", exact=True).click()
    page.wait_for_url(re.compile(r"#/groups$"))
    first = page.locator(".group").first
    expect(first.get_by_text("Best", exact=True)).to_have_count(1)
    # As shown: by evidence, not by the estimated distance alone.
    download = page.get_by_role("link", name="Download the groups as JSON")
    assert "limit=" not in (download.get_attribute("href") or "")


def test_photos_that_could_not_be_indexed_are_listed_with_reasons(visit: Visit) -> None:
    page = visit.open("#/collection")
    expect(page.get_by_role("heading", name="2 photos could not be indexed")).to_be_visible()
    row = page.get_by_role("row", name=re.compile("empty.jpg"))
    expect(row).to_contain_text("An empty file.")


def test_new_photos_are_indexed_with_progress(visit: Visit, tmp_path: Path) -> None:
    page = visit.open("#/collection")
    expect(page.locator(".facts").first).to_contain_text(str(TOTAL))
    added = visit.served.photos / "object-01" / "added.jpg"
    shutil.copy(visit.served.query(1), added)
    try:
        page.get_by_role("button", name="Look for new photos").click()
        expect(page.locator("#collection .outcome")).to_contain_text("1 new")
        expect(page.locator(".facts").first).to_contain_text(str(TOTAL + 1))
    finally:
        added.unlink()
        remove([added], visit.served.collection)


# Errors


def test_a_file_that_is_not_a_photo_is_refused(visit: Visit, tmp_path: Path) -> None:
    visit.expected.append(NOT_FOUND)
    fake = tmp_path / "fake.jpg"
    fake.write_bytes(b"this is no picture" * 100)
    page = visit.open()
    page.set_input_files("#picker", fake)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("not a photo that can be read")
    page.set_input_files("#picker", visit.served.query())
    expect(page.locator("#search .tile").first).to_be_visible()
    expect(alert).to_have_count(0)


def test_a_photo_that_is_too_large_is_refused_before_it_is_sent(visit: Visit) -> None:
    page = visit.open()
    sent = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    page.evaluate("""() => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(65 * 2 ** 20)], "huge.jpg"));
        const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true });
        document.body.dispatchEvent(event);
    }""")
    expect(page.get_by_role("alert")).to_contain_text("68 MB; the limit is 67 MB")
    assert sent == []


def test_a_server_that_is_down_can_be_tried_again(visit: Visit) -> None:
    visit.expected.append("ERR_INTERNET_DISCONNECTED")
    page = visit.open("#/search?photo=1")
    visit.results(page)
    page.context.set_offline(True)
    page.get_by_role("button", name="Draw a box", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Resight does not respond")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    assert visit.results(page)


def test_an_unknown_photo_and_an_expired_upload(visit: Visit) -> None:
    visit.expected.append(NOT_FOUND)
    page = visit.open("#/search?photo=999999")
    expect(page.get_by_role("alert")).to_contain_text("no photo 999999")
    visit.open("#/search?upload=gone")
    expect(page.get_by_text("This photo is no longer available")).to_be_visible()


# Accessibility


def test_everything_is_reachable_by_keyboard(visit: Visit) -> None:
    page = visit.open()
    expect(page.locator("#home .tile").first).to_be_visible()

    def tab_to(selector: str) -> None:
        for _ in range(25):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        pytest.fail(f"Tab does not lead to {selector}")

    tab_to("#home .tile a")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    expect(page.locator(f'#home .tile[aria-posinset="{TOTAL}"] a')).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    visit.results(page)
    tab_to(".query-tools button")
    page.keyboard.press("Enter")
    x, y, w, h = box_in(page)
    expect(page.locator(".box")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.wait_for_url(lambda url: f"box={x},{y},{w},{h}" not in url)
    moved = box_in(page)
    assert moved[0] > x
    assert moved[1:3] == (y, w)
    assert moved[3] > h
    page.keyboard.press("Delete")
    page.wait_for_url(lambda url: "box=" not in url)
    visit.results(page)
    tab_to("#search .tile a")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading").first).to_contain_text("Result 2")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading").first).to_contain_text("Result 3")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator('#search .tile[aria-posinset="3"] a')).to_be_focused()


VIEWS = ("", "#/search?photo=1&box=50,50,300,200", "#/search?photo=1&others=1",
         "#/search?photo=1&compare=2", "#/groups",
         "#/collection")  # fmt: skip


@pytest.mark.parametrize("fragment", VIEWS)
def test_a_phone_shows_everything_by_name_without_scrolling_sideways(
    phone: Visit, fragment: str
) -> None:
    page = phone.open(fragment)
    page.wait_for_load_state("networkidle")
    cut = """nodes => nodes
        .filter(n => n.offsetParent !== null && !n.closest(".visually-hidden, .skip"))
        .filter(n => { const a = n.getBoundingClientRect();
                       return a.width && (a.left < -1 || a.right > innerWidth + 1); })
        .map(n => n.outerHTML.slice(0, 120))"""
    for width in (375, 320):
        page.set_viewport_size({"width": width, "height": 700})
        page.wait_for_timeout(100)
        assert overflow(page) <= 0
        assert page.locator("button, a, input, h1, h2, p, img").evaluate_all(cut) == []
    assert_controls_are_named(page)


def assert_controls_are_named(page: Page) -> None:
    snapshot = page.locator("body").aria_snapshot()
    roles = r"button|link|textbox|spinbutton|checkbox|slider|dialog|group|progressbar|img"
    assert re.findall(rf"^\s*- (?:{roles})(?: \[[^\]]*\])*:?$", snapshot, re.MULTILINE) == []
    assert len(re.findall(r"- (?:button|link) \"", snapshot)) >= 5


def test_every_control_has_a_name_on_a_desktop(visit: Visit) -> None:
    for fragment in VIEWS[:4]:
        page = visit.open(fragment)
        page.wait_for_load_state("networkidle")
        assert_controls_are_named(page)


def test_the_theme_follows_the_system_and_the_user(chromium: Browser, served: Served) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with visiting(chromium, served, color_scheme="dark") as visit:
        page = visit.open("#/collection")
        dark = page.evaluate(background)
        page.emulate_media(color_scheme="light")
        light = page.evaluate(background)
        assert dark != light
        page.get_by_role("button", name=re.compile("^Colors")).click()
        page.get_by_role("button", name=re.compile("^Colors")).click()
        assert page.evaluate(background) == dark
        page.reload()
        assert page.evaluate(background) == dark


# Work with groups


def press_undo(page: Page) -> None:
    undo = page.locator(".undo-line")
    undo.get_by_role("button", name="Undo").click()
    expect(undo).to_be_hidden()
    expect(page.locator(".group-list.waiting")).to_have_count(0)


def test_a_group_is_named_split_and_joined(chromium: Browser, movable: OwnServer) -> None:
    server = movable.server
    served = Served(f"{server.url}/", movable.photos, movable.collection)
    with visiting(chromium, served) as visit:
        page = visit.open("#/groups")
        group, undo = page.locator(".group.same-thing").first, page.locator(".undo-line")
        expect(group).to_be_visible()
        size = group.locator(".strip li").count()
        group.get_by_role("button", name="Name", exact=True).click()
        page.keyboard.type("our boat")
        page.keyboard.press("Enter")
        expect(undo).to_contain_text(f"{size} photos named “our boat”")
        expect(group.get_by_role("link", name="our boat")).to_be_visible()

        group.get_by_role("checkbox").first.focus()
        page.keyboard.press("Space")
        page.keyboard.press("Enter")  # to the bar
        expect(page.get_by_role("button", name="Not the same")).to_be_focused()
        page.keyboard.press("Enter")
        expect(undo).to_contain_text("1 photo split from the group")
        assert len(server.get("/hints")["hints"]) == size - 1
        press_undo(page)
        assert server.get("/hints")["hints"] == []

        group.get_by_role("button", name="Select all but the best").click()
        expect(page.get_by_text(f"{size - 1} photos selected", exact=True)).to_be_visible()
        page.locator(".selection").get_by_role("button", name="Same thing").click()
        expect(undo).to_contain_text("of the same thing")
        assert {hint["verdict"] for hint in server.get("/hints")["hints"]} == {"same"}
        press_undo(page)

        page.get_by_role("link", name="Find photos of our boat").click()
        expect(page.get_by_role("heading", name="photos of “our boat”")).to_be_visible()
        assert "named=our%20boat" in page.url
        page.go_back()
        page.get_by_role("button", name="Remove the name our boat").click()
        expect(page.locator(".things li")).to_have_count(0)
        press_undo(page)
        expect(page.locator(".things li")).to_have_count(1)


def test_all_but_the_best_are_moved_and_brought_back(chromium: Browser, movable: OwnServer) -> None:
    folder = movable.photos.parent / "sorted" / "old"
    served = Served(f"{movable.server.url}/", movable.photos, movable.collection)
    before = sorted(movable.photos.rglob("*.jpg"))
    with visiting(chromium, served) as visit:
        page = visit.open("#/groups")
        group, undo = page.locator(".group").first, page.locator(".undo-line")
        expect(group).to_be_visible()
        size = group.locator(".strip li").count()
        group.get_by_role("button", name="Select all but the best").click()
        page.get_by_role("button", name="Move…").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_contain_text(f"Move {size - 1} photos (")
        dialog.get_by_label("To a folder").check()
        dialog.get_by_label("Path of the folder").fill("/nowhere")
        visit.expected.append(NOT_FOUND)
        dialog.get_by_role("button", name="Move ").click()
        expect(dialog.get_by_role("alert")).to_contain_text("choose another folder")
        dialog.get_by_label("Path of the folder").fill(str(folder))
        dialog.get_by_role("button", name="Move ").click()
        expect(undo).to_contain_text(f"{size - 1} photos moved to {folder}")
        assert len(list(folder.iterdir())) == size - 1
        page.reload()  # the move can be undone later, too
        page.get_by_role("button", name="Bring back").click()
        expect(undo).to_contain_text(f"{size - 1} photos are back")
        assert sorted(movable.photos.rglob("*.jpg")) == before
        expect(page.locator(".group").first.locator(".strip li")).to_have_count(size)


# The first photos of a collection, and later ones


def test_a_new_collection_is_indexed_and_watched(
    chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, index = tmp_path / "photos", pipeline.index
    *_, known = samples.draw_many(photos, 4)
    monkeypatch.setattr(
        pipeline, "index", lambda *p, **options: index(*p, config=samples.QUICK, **options)
    )
    settings = {"index_folders": (photos, tmp_path), "watch_every_s": 0.2}
    with running(tmp_path / "new", **settings) as server:
        served = Served(f"{server.url}/", photos, tmp_path / "new")
        with visiting(chromium, served) as visit:
            page = visit.open()
            home, added = page.locator("#home"), page.locator("#added")
            expect(home.get_by_role("heading", name="Choose a folder with photos")).to_be_visible()
            field = home.get_by_label("Path of a folder with photos")
            expect(field).to_have_value(str(photos))
            visit.expected.append(NOT_FOUND)
            field.fill("/nowhere")
            page.keyboard.press("Enter")
            expect(home.get_by_role("status")).to_contain_text("Not allowed.")
            home.get_by_role("button", name=str(photos)).click()
            page.keyboard.press("Enter")
            expect(home.get_by_role("heading", name="Find it again.")).to_be_visible()
            expect(home.locator(".tile")).to_have_count(4)

            page.get_by_role("link", name="Collection").click()
            page.get_by_role("switch", name="Watch these folders").check()
            seen = page.get_by_text(re.compile(r"^Watching 1 folder. Last looked at \d\d:\d\d.$"))
            expect(seen).to_be_visible()
            page.get_by_role("link", name="Search", exact=True).click()
            home.locator(".tile").last.click()
            nothing = page.get_by_role("heading", name="Nothing found")
            expect(nothing).to_be_visible()
            (photos / "copy.png").write_bytes(known.read_bytes() + b"changed")
            expect(added).to_contain_text("1 photo was added.")
            expect(nothing).to_be_visible()  # nothing changes by itself
            added.get_by_role("button", name="Search again").click()
            expect(page.get_by_role("link", name="Result 1: copy.png")).to_be_visible()
            expect(added).to_be_hidden()

            page.go_back()
            expect(home.locator(".tile")).to_have_count(5)
            samples.draw(photos / "last.png", 9)
            added.get_by_role("button", name="Show it").click()
            page.wait_for_url("**#/?sort=added")
            expect(home.locator(".tile")).to_have_count(6)
            expect(home.locator(".tile a").first).to_have_attribute("title", "last.png")


def test_work_with_groups_fits_a_phone(chromium: Browser, movable: OwnServer) -> None:
    served = Served(f"{movable.server.url}/", movable.photos, movable.collection)
    options = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
    with visiting(chromium, served, **options) as visit:
        page = visit.open("#/groups")
        group = page.locator(".group").first
        group.get_by_role("button", name="Name", exact=True).tap()
        group.get_by_role("checkbox").first.tap()
        group.get_by_role("checkbox").nth(1).tap()
        expect(page.get_by_text("2 photos selected", exact=True)).to_be_visible()
        page.get_by_role("button", name="Name…").tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("button", name="Move…").tap()
        box = page.get_by_role("dialog").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        page.get_by_role("button", name="Cancel").tap()
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.get_by_role("button", name="Clear the selection").tap()
        expect(page.locator(".selection")).to_be_hidden()
        page.locator("#groups").get_by_text("Filter", exact=True).tap()
        page.get_by_label("In or below").fill(str(movable.photos / "clutter"))
        page.get_by_label("Photos, at least").fill("9")
        page.get_by_label("Photos, at least").press("Enter")
        page.wait_for_url("**size=9&folder=**")
        expect(page.get_by_role("heading", name="No such groups")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_label("Photos, at least").fill("")
        page.get_by_label("In or below").fill(str(movable.photos))
        page.get_by_label("In or below").press("Enter")
        expect(page.locator(".group").first).to_be_visible()
