"""The page's accessibility in every state, by axe, and its budget of bytes, requests and shifts."""

import json
import re
from collections.abc import Callable

import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from page_visits import PHONE, Served, Visit, visiting

CODE_KB = 150
HOME_REQUESTS = 30
LAYOUT_SHIFT = 0.02

OBSERVE = """
window.shifts = [];
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) {
        if (entry.hadRecentInput) continue;
        const moved = entry.sources.map(source => source.node).filter(Boolean);
        const texts = moved.map(node => (node.outerHTML || node.textContent).slice(0, 90));
        window.shifts.push([entry.value, texts]);
    }
}).observe({ type: "layout-shift", buffered: true });
"""


def show_home(page: Page) -> None:
    expect(page.locator("#home .tile").first).to_be_visible()


def open_filters(page: Page) -> None:
    show_home(page)
    page.locator("#home summary").click()


def show_results(page: Page) -> None:
    expect(page.locator("#search .results:not(.waiting) .tile").first).to_be_visible()
    page.wait_for_load_state("networkidle")


def open_options(page: Page) -> None:
    show_results(page)
    for summary in page.locator("#search summary:visible").all():
        summary.click()


def show_comparison(page: Page) -> None:
    expect(page.get_by_role("dialog").locator(".explanation strong")).to_be_visible()
    page.wait_for_load_state("networkidle")


def show_groups(page: Page) -> None:
    expect(page.locator(".group").first).to_be_visible(timeout=60_000)


def select_photos(page: Page) -> None:
    show_groups(page)
    page.locator(".group").first.get_by_role("checkbox").first.check(force=True)
    expect(page.get_by_text("1 photo selected", exact=True)).to_be_visible()


def show_collection(page: Page) -> None:
    expect(page.locator(".facts").first).to_be_visible()


def show_nothing(page: Page) -> None:
    page.wait_for_load_state("networkidle")


STATES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "home": ("", show_home),
    "results": ("#/search?photo=1", show_results),
    "options": ("#/search?photo=1", open_options),
    "other results": ("#/search?photo=1&others=1", show_results),
    "a box": ("#/search?photo=1&box=50,50,300,200", show_results),
    "several photos": ("#/search?photo=1&more=4", show_results),
    "a comparison": ("#/search?photo=1&compare=2", show_comparison),
    "groups": ("#/groups", show_groups),
    "a selection": ("#/groups", select_photos),
    "the collection": ("#/collection", show_collection),
    "an unknown photo": ("#/search?photo=99999", show_nothing),
    "no such page": ("#/nowhere", show_nothing),
    "filters": ("", open_filters),
}


def findings(page: Page) -> list[str]:
    """Return the rules that axe finds violated, with the nodes."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for rule in violations
        for node in rule["nodes"][:3]
    ]


def check_states(visit: Visit, *names: str) -> None:
    visit.expected += ["404"]
    found = {}
    for name in names:
        fragment, reach = STATES[name]
        page = visit.open(fragment)
        reach(page)
        if texts := findings(page):
            found[name] = texts
    assert found == {}, json.dumps(found, indent=1)


def test_axe_finds_nothing_on_a_desktop(chromium: Browser, served: Served) -> None:
    with visiting(chromium, served, reduced_motion="reduce") as visit:
        check_states(visit, *STATES)


def test_axe_finds_nothing_on_a_dark_phone(chromium: Browser, served: Served) -> None:
    options = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
    with visiting(chromium, served, reduced_motion="reduce", **options) as visit:
        check_states(visit, "options", "a comparison", "a selection", "the collection")


def test_the_page_is_small_and_does_not_shift(visit: Visit) -> None:
    visit.page.add_init_script(OBSERVE)
    requests: list[str] = []
    visit.page.on("request", lambda request: requests.append(request.url))
    page = visit.open()
    show_home(page)
    page.wait_for_load_state("networkidle")
    home = len(requests)
    entries = page.evaluate(
        """performance.getEntries().filter(entry => entry.encodedBodySize)
            .map(entry => [entry.name, entry.encodedBodySize])"""
    )
    sizes = {name: size for name, size in entries if not re.search("/api/|icon", name)}
    assert any(name.endswith(".js") for name in sizes)
    assert sum(sizes.values()) <= CODE_KB * 1000, sizes
    assert home <= HOME_REQUESTS, requests
    for fragment, reach in (STATES["results"], STATES["groups"], STATES["the collection"]):
        page = visit.open(fragment)
        reach(page)
    shifts = page.evaluate("window.shifts")
    assert sum(value for value, _ in shifts) <= LAYOUT_SHIFT, shifts
