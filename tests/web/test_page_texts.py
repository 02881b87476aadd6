"""The page's texts: complete in each language, in one place, and in the reader's language."""

import json
import re
from pathlib import Path

import pytest

import resight

pytest.importorskip("fastapi", reason="the extra `web` is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, Route, expect

from page_visits import Served, visiting

STATIC = Path(resight.__file__).parent / "web" / "static"
MODULES = "\n".join(path.read_text() for path in sorted(STATIC.glob("*.js")))
LANGUAGES = sorted(path.stem for path in (STATIC / "texts").glob("*.js"))
FAMILIES = {"kind", "theme", "title", "unit"}  # views with a text for each value of something
HEBREW = "שלום (1).jpg"

Texts = dict[str, str | dict[str, str]]


def texts_of(language: str) -> Texts:
    """Read a language's file, which is JSON apart from its comments, plural forms and commas."""
    code = (STATIC / "texts" / f"{language}.js").read_text()
    body = re.sub(r"^ *//.*$", "", code.split("export const texts = ")[1], flags=re.MULTILINE)
    body = re.sub(r'([{,]\s*)(zero|one|two|few|many|other):(?=\s*")', r'\1"\2":', body)
    texts: Texts = json.loads(re.sub(r",(\s*\})", r"\1", body).rstrip().rstrip(";"))
    return texts


def forms(text: str | dict[str, str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text.values())


def places(text: str | dict[str, str]) -> set[str]:
    return {place for form in forms(text) for place in re.findall(r"\{(\w+)\}", form)}


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_a_translation_has_all_texts_with_the_same_places(language: str) -> None:
    english, texts = texts_of("en"), texts_of(language)
    assert len(english) > 200
    assert list(texts) == list(english)
    for key, text in english.items():
        assert places(texts[key]) == places(text), key
        assert isinstance(texts[key], str) == isinstance(text, str), key
        assert all(form.strip() for form in forms(texts[key])) or not "".join(forms(text)), key
        if not isinstance(text, str):
            assert "other" in texts[key], key


def test_the_languages_that_can_be_chosen_have_a_file() -> None:
    table = re.search(r"export const LANGUAGES = \{(.*?)\n\};", MODULES, flags=re.DOTALL)
    assert table is not None
    assert sorted(re.findall(r"^  (\w+):", table[1], flags=re.MULTILINE)) == LANGUAGES


def test_every_text_is_used_and_every_used_text_exists() -> None:
    keys = set(texts_of("en"))
    views = {key.split(".")[0] for key in keys}
    page = (STATIC / "index.html").read_text()
    used = set(re.findall(r'"([a-z]+\.[\w-]+)"', MODULES))
    used = {key for key in used if key.split(".")[0] in views}
    used |= set(re.findall(r'data-(?:text|label)="([^"]+)"', page))
    for start in re.findall(r"(?<!resourceUrl\()`([a-z]+\.[\w-]*)\$\{", MODULES):
        found = {key for key in keys if key.startswith(start)}
        assert found, start
        assert not start.endswith(".") or start[:-1] in FAMILIES, start
        used |= found
    assert used - keys == set()
    assert keys - used == set()


def test_no_module_has_texts_of_its_own() -> None:
    names = r"(?:text|title|label|placeholder|message|\"aria-(?:label|roledescription)\")"
    label = rf"{names}: *[\"'`](?!/|https:)"
    call = r"(?:announce|loading|createPopover|finish|say|notify)\(\[?[\"'`](?=[A-Z])"
    given = r"(?:textContent|title|alt|ariaLabel) = [\"'`]"
    sentence = r"[\"'`][A-Z][a-z]+(?: |[.…]\"|\. )"
    for pattern in (label, call, given):
        assert re.findall(rf"{pattern}[^\"'`$]*[A-Za-z]{{2}}[^\"'`]*", MODULES) == []
    code = re.sub(r"/\*.*?\*/|//.*", "", MODULES, flags=re.DOTALL)
    assert re.findall(rf".*{sentence}.*", code) == []
    assert "toLocale" not in MODULES.replace("new Date(value).toLocaleString(locale, options)", "")


def test_the_page_without_scripts_has_the_english_texts() -> None:
    english, page = texts_of("en"), (STATIC / "index.html").read_text()
    texts = re.findall(r'data-text="([^"]+)"[^>]*>([^<]+)<', page)
    texts += re.findall(r'data-label="([^"]+)" aria-label="([^"]+)"', page)
    assert len(texts) == len(re.findall("data-(?:text|label)=", page)) >= 8
    assert [english[key] for key, _ in texts] == [text for _, text in texts]


def rename(route: Route) -> None:
    """Give the results names that are written from the right."""
    response = route.fetch()
    page = response.json()
    for result in page["results"]:
        result["name"] = HEBREW
    route.fulfill(response=response, json=page)


def shorten(route: Route) -> None:
    """Leave one text out of a translation."""
    response = route.fetch()
    whole = response.text()
    part = re.sub(r'^  "home\.drop": .*\n', "", whole, flags=re.MULTILINE)
    assert part != whole
    route.fulfill(response=response, body=part)


def test_a_german_reader_searches_in_german_and_can_switch(
    chromium: Browser, served: Served
) -> None:
    with visiting(chromium, served, locale="de-DE") as visit:
        requests: list[str] = []
        visit.page.on("request", lambda request: requests.append(request.url))
        visit.page.route("**/api/v1/search*", rename)
        visit.page.route("**/texts/de.js", shorten)
        page = visit.open()
        expect(page.get_by_role("button", name="Foto auswählen", exact=True)).to_be_visible()
        expect(page.get_by_text("welche der 24 Fotos in „holidays“")).to_be_visible()
        expect(page.get_by_text("or drop one anywhere, or paste it")).to_be_visible()
        page.locator("#home .tile a").first.click()
        tile = page.locator("#search .tile").first
        expect(tile.locator(".badge")).to_have_text("Dasselbe")
        expect(page.locator("#search-heading")).to_have_text(
            re.compile(r"^\d+ Fotos zeigen dasselbe")
        )
        assert page.title() == "Ergebnisse – Resight"
        assert page.locator("html").get_attribute("lang") == "de"
        # A name keeps its own direction, and does not turn the text around it.
        label = tile.locator(".tile-photo").get_attribute("aria-label") or ""
        assert f"Ergebnis 1: \u2068{HEBREW}\u2069, dasselbe, " in label
        page.get_by_label(re.compile(r"Distanz \d,\d+\. Vergleichen$")).first.wait_for()
        direction = "node => getComputedStyle(node).direction"
        assert tile.locator(".name").evaluate(direction) == "rtl"
        assert tile.locator(".caption").evaluate(direction) == "ltr"
        page.get_by_role("link", name="Sammlung").click()
        expect(page.get_by_text("2 Fotos konnten nicht erfasst werden")).to_be_visible()
        reason = page.get_by_text("An empty file.")
        assert reason.get_attribute("lang") == "en"  # a text of the server
        before = len(requests)
        page.get_by_label("Sprache").select_option("en")  # loads the page again
        expect(page.get_by_text("2 photos could not be indexed")).to_be_visible()
        assert page.locator("html").get_attribute("lang") == "en"
        loaded = [url for url in requests[before:] if "/texts/" in url]
        assert [url.rsplit("/", 1)[1] for url in loaded] == ["en.js"]


def test_forced_colors_leave_boxes_focus_and_selection_visible(
    chromium: Browser, served: Served
) -> None:
    with visiting(chromium, served, forced_colors="active", reduced_motion="reduce") as visit:
        page = visit.open("#/search?photo=1&box=50,50,300,200")
        expect(page.locator("#search .results:not(.waiting) .tile").first).to_be_visible()
        box = page.locator("#stage .box")
        expect(box).to_have_css("outline", "rgb(255, 255, 255) solid 3px")
        page.keyboard.press("Tab")  # from here on, focus is shown
        box.focus()
        expect(box).to_have_css("outline", "rgb(255, 255, 255) solid 4px")
        tool = page.locator("#search .query-tools .icon-button:visible").first
        tool.focus()
        expect(tool).to_have_css("outline-style", "solid")
        colors = "node => [getComputedStyle(node).color, getComputedStyle(node).backgroundColor]"
        ink, paper = page.locator("#search .badge.same").first.evaluate(colors)
        assert ink != paper
        page.get_by_role("link", name="Groups").click()
        page.locator(".group .pick input").first.check(force=True)
        selected = page.locator(".strip .selected .tile-photo")
        expect(selected).to_have_css("outline-style", "solid")
        expect(selected).to_have_css("outline-width", "3px")
