"""Ten tasks of a person on the page.

The tests do them on small collections, and docs/make_tasks.py on the demo's pictures.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, expect

from page_hand import ID, Ground, Hand

NAME = "the golden mug"


def group_of(hand: Hand, photo: int) -> Locator:
    return hand.page.locator(f'.group:has(a[href$="photo={photo}"])').first


SAME = r"^\d+ photos? of the same thing$"


def find_others(hand: Hand, ground: Ground) -> None:
    hand.choose(ground.new[0])
    found = hand.results(SAME)
    assert set(found) == set(ground.ids(ground.thing))


def find_part(hand: Hand, ground: Ground) -> None:
    hand.choose(ground.both)
    found = [ground.path(id_) for id_ in hand.results(SAME)]
    assert any(ground.other in path for path in found)
    if hand.touch:
        dots = hand.page.locator(".proposal")
        expect(dots).to_have_count(2)
        left = min(dots.all(), key=lambda dot: dot.bounding_box()["x"])  # type: ignore[index]
        hand.press(left)
    else:
        hand.drag(hand.page.locator("#stage"), (0.03, 0.1), (0.48, 0.9))
    hand.page.wait_for_url("**box=*")
    found = hand.results(SAME)
    assert set(found) == set(ground.ids(ground.thing))


def find_nothing(hand: Hand, ground: Ground) -> None:
    hand.choose(ground.stranger)
    hand.sees(hand.page.get_by_text("Nothing in this collection shows the same thing"))
    expect(hand.page.locator("#search .tile")).to_have_count(0)


def find_by_views(hand: Hand, ground: Ground) -> None:
    hand.choose(*ground.new)
    hand.page.wait_for_url("**more=*")
    found = hand.results(SAME)
    expect(hand.page.locator(".views li")).to_have_count(len(ground.new))
    assert set(found) == set(ground.ids(ground.thing))


def find_in_folder(hand: Hand, ground: Ground) -> None:
    first = ground.ids(ground.thing)[0]
    hand.open_tile(first)
    everywhere = hand.results(SAME)
    search = hand.page.locator("#search")
    hand.press(search.locator("summary", has_text="Filter"))
    inside = search.get_by_label("In folder")
    option = inside.locator("option", has_text=re.compile(rf"^{ground.folder} \(\d+\)$"))
    expect(option).to_be_attached()
    hand.select(inside, option.get_attribute("value") or "")
    hand.sees(search.get_by_role("button", name=f"Remove the filter Folder: {ground.folder}"))
    hand.press(search.locator("summary", has_text="Filter (1)"))  # it may cover the results
    found = hand.results(SAME)
    paths = {id_: ground.path(id_) for id_ in everywhere}
    expected = {id_ for id_, path in paths.items() if path.startswith(f"{ground.folder}/")}
    assert set(found) == expected
    assert len(expected) < len(everywhere)


def compare(hand: Hand, ground: Ground) -> None:
    hand.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    hand.open_tile(ground.ids(ground.thing)[0])
    *_, last = hand.results(SAME)
    hand.press(hand.page.locator("#search .tile a").last)
    expect(hand.page.locator(".match").first).to_be_attached()
    hand.sees(hand.page.locator(".explanation strong"), re.compile("ame thing"))
    hand.press(hand.page.locator(".pane").nth(1).get_by_role("button", name="Copy the path"))
    expect(hand.page.locator("#announcer")).to_have_text("The path was copied.")
    copied = hand.page.evaluate("navigator.clipboard.readText()")
    hand.sees(hand.page.locator("[data-done=Copied]"))
    assert copied == str(ground.photos / ground.path(last))


def reject(hand: Hand, ground: Ground) -> None:
    first = ground.ids(ground.thing)[0]
    hand.open_tile(first)
    *rest, wrong = hand.results(SAME)
    hand.press(hand.page.locator("#search .tile a").last)
    hand.press(hand.page.get_by_role("button", name="Not the same", exact=True))
    hand.sees(hand.page.locator(".explanation strong"), "Not the same thing")
    hand.press(hand.page.get_by_role("button", name="Close", exact=True))
    hand.come_back_later(ground)
    hand.open_tile(first)
    try:
        assert wrong not in hand.results(SAME)
        assert rest
    finally:
        for hint in ground.get("/hints")["hints"]:
            ground.delete(f"/hints/{hint['id']}")


def name(hand: Hand, ground: Ground) -> None:
    members = ground.ids(ground.thing)
    hand.go_to("Groups")
    group = group_of(hand, members[0])
    hand.press(group.get_by_role("button", name="Name", exact=True))
    hand.write(group.get_by_label("Name of the thing"), NAME)
    hand.enter()
    hand.sees(hand.page.locator(".undo-line"), f"named “{NAME}”")
    try:
        hand.come_back_later(ground)
        hand.go_to("Groups")
        hand.press(hand.page.get_by_role("link", name=f"Find photos of {NAME}"))
        found = hand.results(rf"^\d+ photos of “{NAME}”$")
        expect(hand.page.locator("#search .tile").first).not_to_contain_text("identical file")
        assert set(found) == set(members)
    finally:
        ground.delete("/names", name=NAME)


def keep_best(hand: Hand, ground: Ground) -> None:
    before = set(ground.photos.rglob("*.jpg"))
    folder = ground.photos.parent / "sorted" / "put away"
    (member,) = ground.ids(ground.burst)
    hand.go_to("Groups")
    group = group_of(hand, member)
    expect(group).to_be_visible()
    links = group.locator(".strip li:has(.badge) a")
    best = ID.search(links.get_attribute("href") or "")
    assert best is not None
    kept = ground.photos / ground.path(int(best[1]))
    size = group.locator(".strip li").count()
    hand.press(group.get_by_role("button", name="Select all but the best"))
    hand.press(hand.page.get_by_role("button", name="Move…"))
    dialog = hand.page.get_by_role("dialog")
    hand.write(dialog.get_by_label("Path of the folder"), str(folder))
    hand.press(dialog.get_by_role("button", name=f"Move {size - 1} photos"))
    line = hand.page.locator(".undo-line")
    hand.sees(line, f"{size - 1} photos moved to {folder}")
    moved = before - set(ground.photos.rglob("*.jpg"))
    assert {path.name for path in folder.iterdir()} == {path.name for path in moved}
    assert len(moved) == size - 1
    assert kept.exists()
    expect(hand.page.locator(".group-list.waiting")).to_have_count(0)
    hand.photograph()
    hand.press(line.get_by_role("button", name="Undo"))
    expect(line).to_be_hidden()
    (member,) = ground.ids(ground.burst)  # it may be another one now
    expect(group_of(hand, member).locator(".strip li")).to_have_count(size)
    hand.sees(group_of(hand, member))
    assert set(ground.photos.rglob("*.jpg")) == before


def list_copies(hand: Hand, ground: Ground) -> None:
    hand.go_to("Groups")
    hand.press(hand.page.get_by_role("button", name="Near-duplicates", exact=True))
    group = hand.page.locator(".group.near-duplicate").first
    hand.sees(group)
    expect(hand.page.locator(".group.same-thing:visible")).to_have_count(0)
    number = hand.page.locator(".group.near-duplicate").count()
    expect(hand.page.locator("#groups .end")).to_have_text(re.compile(rf"^{number} groups?\.$"))
    with hand.page.expect_download() as download:
        hand.press(hand.page.get_by_role("link", name="as CSV"))
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    hand.sees(group)
    shown = group.locator("a.tile-photo").evaluate_all("links => links.map(link => link.href)")
    paths = {str(ground.photos / ground.path(int(ID.search(link)[1]))) for link in shown}  # type: ignore[index]
    copies = [row for row in rows if row["kind"] == "near-duplicate"]
    (number,) = {row["group"] for row in copies if row["path"] in paths}
    assert {row["path"] for row in copies if row["group"] == number} == paths


@dataclass(frozen=True)
class Task:
    """A task in a person's words, its steps on the page, and the clicks that it takes."""

    name: str
    words: str
    steps: str
    clicks: int
    run: Callable[[Hand, Ground], None]
    changes: bool = False
    """True for a task that changes the collection or its photos."""


TASKS = (
    Task(
        "others",
        "Find the other photos of this thing.",
        "*Choose a photo*, choose it",
        2,
        find_others,
    ),
    Task(
        "part",
        "Find only the mug on this table, not the book.",
        "*Choose a photo*, choose it, drag a box around the mug (phone: tap the dot on it)",
        3,
        find_part,
    ),
    Task(
        "nothing",
        "Is this print in the archive at all?",
        "*Choose a photo*, choose it; the page says that nothing shows it",
        2,
        find_nothing,
    ),
    Task(
        "views",
        "I have several photos of it; use all of them.",
        "*Choose a photo*, choose them in one go",
        2,
        find_by_views,
    ),
    Task(
        "folder",
        "Only the photos of that summer.",
        "press the photo, *Filter*, open *In folder*, choose the folder, *Filter* to close it",
        5,
        find_in_folder,
    ),
    Task(
        "compare",
        "Is it really the same, and where is the file?",
        "press the photo, press a result to see where both agree, *Copy the path*",
        3,
        compare,
    ),
    Task(
        "reject",
        "This result is wrong; do not show it again.",
        "press the photo, press the result, *Not the same*, *Close*; next time: press the photo",
        5,
        reject,
        changes=True,
    ),
    Task(
        "name",
        "Name this thing, and find it by its name next month.",
        "*Groups*, *Name*, write the name, Enter; next month: *Groups*, press the name",
        6,
        name,
        changes=True,
    ),
    Task(
        "best",
        "Keep the best of this burst and put the others away. No, bring them back.",
        "*Groups*, *Select all but the best*, *Move…*, write the folder, *Move 3 photos*; *Undo*",
        6,
        keep_best,
        changes=True,
    ),
    Task(
        "copies",
        "Which photos do I have twice? Give me a list.",
        "*Groups*, *Near-duplicates*, *CSV*",
        3,
        list_copies,
    ),
)
