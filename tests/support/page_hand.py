"""A hand on the page that counts its clicks, and the photos that it searches for."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

ID = re.compile(r"(?:compare|photo)=(\d+)$")
"""The id of a photo at the end of a link."""


@dataclass(frozen=True)
class Ground:
    """A served collection and the photos that the tasks are about.

    The paths of all photos of the thing contain `thing`, those of the other thing `other`.
    """

    address: str
    photos: Path
    thing: str
    other: str
    folder: str
    """Relative to `photos`; holds photos of the thing, as other folders do."""
    burst: str
    """A photo, relative to `photos`, in whose group all but the best are moved."""
    new: tuple[Path, ...]
    """Photos of the thing that are not in the collection."""
    stranger: Path
    """A photo of something that is not in the collection."""
    both: Path
    """A photo of the thing, in its left half, and of the other thing."""

    def get(self, path: str, **query: Any) -> Any:
        """Read JSON from the server."""
        return httpx.get(f"{self.address}api/v1{path}", params=query).raise_for_status().json()

    def delete(self, path: str, **query: Any) -> None:
        """Undo by a request what a task has changed."""
        httpx.delete(f"{self.address}api/v1{path}", params=query).raise_for_status()

    def path(self, photo: int) -> str:
        """Return the path of a photo, relative to the folder of all."""
        return str(Path(self.get(f"/photos/{photo}")["path"]).relative_to(self.photos))

    def ids(self, part: str) -> list[int]:
        """Return the ids of photos whose paths contain a text, as the start page orders them."""
        photos = self.get("/photos", limit=200)["photos"]
        inside = [(photo["id"], Path(photo["path"]).relative_to(self.photos)) for photo in photos]
        return [id_ for id_, path in inside if part in str(path)]


@dataclass
class Hand:
    """A person's hand on the page: each act counts as one click, and its result is waited for."""

    page: Page
    touch: bool
    clicks: int = 0
    started: float = 0.0
    seconds: float = 0.0
    """From the first act to the last awaited result."""
    photograph: Callable[[], None] = lambda: None
    """Take a picture of what a task shows, if that is not at its end."""

    def _act(self, number: int = 1) -> None:
        self.clicks += number
        self.started = self.started or time.perf_counter()

    def press(self, target: Locator) -> None:
        """Click with the mouse, or tap."""
        self._act()
        if self.touch:
            target.tap()
        else:
            target.click()

    def choose(self, *photos: Path) -> None:
        """Press "Choose a photo", and choose in the system's dialog."""
        with self.page.expect_file_chooser() as chooser:
            self.press(self.page.get_by_role("button", name="Choose a photo", exact=True))
        self._act()
        chooser.value.set_files(photos)

    def drag(self, target: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the mouse, in fractions of an element's size."""
        self._act()
        target.scroll_into_view_if_needed()
        area = target.bounding_box()
        assert area is not None
        for (x, y), act in ((start, self.page.mouse.down), (end, self.page.mouse.up)):
            at = area["x"] + x * area["width"], area["y"] + y * area["height"]
            self.page.mouse.move(*at, steps=4)
            act()

    def write(self, target: Locator, text: str) -> None:
        """Write into a field."""
        self._act()
        target.fill(text)

    def enter(self) -> None:
        """Press Enter."""
        self._act()
        self.page.keyboard.press("Enter")

    def select(self, target: Locator, text: str) -> None:
        """Open a list and choose from it."""
        self._act(2)
        target.select_option(text)

    def sees(self, target: Locator, text: str | re.Pattern[str] | None = None) -> None:
        """Wait until something is visible, with a text."""
        expect(target).to_be_visible()
        if text is not None:
            expect(target).to_contain_text(text)
        self.seconds = time.perf_counter() - self.started

    def results(self, heading: str) -> list[int]:
        """Wait for results; return the ids of all that show the same thing."""
        title = self.page.locator("#search-heading")
        expect(title).to_have_text(re.compile(heading))
        expect(self.page.locator("#search .results.waiting")).to_have_count(0)
        self.sees(self.page.locator("#search .tile").first)
        number = re.match(r"\d+", title.inner_text())
        tiles = self.page.locator("#search .tile a")
        if number:
            expect(tiles).to_have_count(int(number[0]))
        links = tiles.evaluate_all("links => links.map(link => link.href)")
        return [int(found[1]) for link in links if (found := ID.search(link))]

    def open_tile(self, photo: int) -> None:
        """Press a photo of the start page."""
        self.press(self.page.locator(f'#home .tile a[href$="photo={photo}"]'))

    def go_to(self, name: str) -> None:
        """Press a link of the page's bar."""
        self.press(self.page.get_by_role("navigation").get_by_role("link", name=name))

    def come_back_later(self, ground: Ground) -> None:
        """Open the page in a new window, as on another day."""
        self.page.goto("about:blank")
        self.page.goto(ground.address)
        expect(self.page.locator("#home .tile").first).to_be_visible()
