"""Does ten tasks of a person in Chromium, for docs/tasks.md: python docs/make_tasks.py.

Draws the demo's photos, indexes them with the default method, and does each task of
tests/support/page_tasks.py on a desktop and on a phone. Writes the times to docs/tasks.json, a
picture of each end to docs/images/tasks, and the table of docs/tasks.md. Needs the extra `dev`.
"""

import contextlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageFilter

sys.path.extend(str(Path(__file__).parents[1] / part) for part in ("tests/support", "benchmarks"))

from playwright.sync_api import Browser

import browser
from harness import machine, save
from page_hand import Ground, Hand
from page_tasks import TASKS, Task
from page_visits import DESKTOP, Served, visiting
from resight.demo import draw_collection
from resight.indexing import pipeline
from web_server import running

DOCS = Path(__file__).parent
PICTURES = DOCS / "images" / "tasks"
PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
DEVICES: dict[str, dict[str, Any]] = {"desktop": {"viewport": DESKTOP}, "phone": PHONE}
ROUNDS = 3
"""The fastest of which counts: others use the machine, too."""
RENAME = """([from, to]) => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const node = texts.currentNode;
        node.nodeValue = node.nodeValue.replaceAll(from, to);
    }
}"""
"""Shows another name of a folder, as that of a temporary one means nothing to readers."""
SHOWN_WIDTH = {"desktop": 900, "phone": 390}
QUALITY = 72


def prepare(folder: Path) -> dict[str, Any]:
    """Draw photos into folders as people have them, set queries aside, and index the others."""
    photos, outside = folder / "photos", folder / "outside"
    draw_collection(photos, objects=10, views=6, clutter=12)
    (photos / "groups.json").unlink()
    for old, new in (("clutter", "various"), ("object-04", "at home"), ("object-05", "book")):
        (photos / old).rename(photos / new)
    for made in (outside, photos / "burst", photos / "summer", folder / "sorted"):
        made.mkdir()
    for number, target in enumerate(("at home", *("summer",) * 2, "at home", *("outside",) * 2), 1):
        place = outside if target == "outside" else photos / target
        (photos / "at home" / f"view-{number}.jpg").rename(place / f"mug-{number}.jpg")
    new = (outside / "mug-5.jpg", outside / "mug-6.jpg")
    stranger = (photos / "object-08" / "view-1.jpg").rename(outside / "print.jpg")
    shutil.rmtree(photos / "object-08")
    _draw_burst(photos / "various" / "01.jpg", photos / "burst")
    both = Image.new("RGB", (1280, 480))
    for left, path in ((0, new[0]), (640, photos / "book" / "view-1.jpg")):
        with Image.open(path) as image:
            image.thumbnail((640, 480))
            both.paste(image, (left + (640 - image.width) // 2, 0))
    both.save(outside / "table.jpg", quality=92)
    pipeline.index([photos], folder / "index")
    return {
        **{"photos": photos, "thing": "mug", "other": "book", "folder": "summer"},
        **{"burst": "burst/4.jpg", "new": new, "stranger": stranger, "both": outside / "table.jpg"},
    }


def _draw_burst(photo: Path, folder: Path) -> None:
    """Take four photos in one second: the camera moves, and three of them are blurred."""
    with Image.open(photo) as image:
        width, height = image.size
        for number in range(1, 5):
            shift, blur = 5 * number, (1.6, 2.4, 0, 1.1)[number - 1]
            part = image.crop((shift, 4, width - 24 + shift, height - 4))
            part.filter(ImageFilter.GaussianBlur(blur)).save(folder / f"{number}.jpg", quality=90)
    photo.unlink()


@contextlib.contextmanager
def serving(made: Mapping[str, Any]) -> Iterator[Ground]:
    """Serve the indexed photos, which may be moved."""
    folder = made["photos"].parent
    with running(folder / "index", allow_move=True, index_folders=(folder / "sorted",)) as server:
        yield Ground(f"{server.url}/", **made)


def do(task: Task, device: str, chromium: Browser, ground: Ground) -> float:
    """Do a task, take a picture of its end, and return the seconds it took."""
    visited = Served(ground.address, ground.photos, ground.photos.parent / "index")
    with visiting(chromium, visited, color_scheme="light", **DEVICES[device]) as visit:
        page = visit.open()
        page.locator("#home .tile").first.wait_for()
        taken = PICTURES / f"{task.name}-{device}.png"
        taken.unlink(missing_ok=True)

        def photograph() -> None:
            page.wait_for_load_state("networkidle")
            page.evaluate(RENAME, [str(ground.photos.parent), "/home/me"])
            page.screenshot(path=taken)

        hand = Hand(page, touch=device == "phone", photograph=photograph)
        task.run(hand, ground)
        if hand.clicks > task.clicks:
            raise RuntimeError(f"{task.name} takes {hand.clicks} clicks, not {task.clicks}")
        if not taken.exists():
            photograph()
        return hand.seconds


def shrink(device: str) -> None:
    """Replace the pictures of a device by small ones."""
    for taken in PICTURES.glob(f"*-{device}.png"):
        with Image.open(taken) as image:
            width = SHOWN_WIDTH[device]
            small = image.convert("RGB").resize((width, round(image.height * width / image.width)))
            small.save(taken.with_suffix(".webp"), quality=QUALITY, method=6)
        taken.unlink()


def table(measured: Mapping[str, Any]) -> str:
    """Return the table of docs/tasks.md."""
    lines = ["| task | steps | clicks | desktop, s | phone, s |", "|---|---|---|---|---|"]
    for task in TASKS:
        cells = [
            f"[{measured['seconds'][device][task.name]:.1f}](images/tasks/{task.name}-{device}.webp)"
            for device in DEVICES
        ]
        lines.append(f"| {task.words} | {task.steps} | {task.clicks} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(measured: Mapping[str, Any]) -> None:
    """Write the figures, and the table and the processor of the page."""
    save(dict(measured), DOCS / "tasks.json")
    page = DOCS / "tasks.md"
    text = re.sub(
        r"(?ms)^\| task .*?\n\n", lambda _: table(measured) + "\n\n", page.read_text("utf-8")
    )
    text = re.sub(r"(?m)^Measured on.*$", lambda _: measured_on(measured), text)
    page.write_text(text, "utf-8")


def measured_on(measured: Mapping[str, Any]) -> str:
    """Return the line of docs/tasks.md that names the processor."""
    on = measured["machine"]
    return (
        f"Measured on {on['processor']}, {on['cores']} cores; commit {on['commit']}, {on['date']}."
    )


def main() -> None:
    """Do all tasks, and write what they took."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, dict[str, float]] = {device: {} for device in DEVICES}
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(prepare(Path(folder))) as ground,
        browser.launch() as chromium,
    ):
        for device in DEVICES:
            for task in TASKS:
                taken = [do(task, device, chromium, ground) for _ in range(ROUNDS)]
                seconds[device][task.name] = round(min(taken), 2)
                print(device, task.name, [round(value, 2) for value in taken], flush=True)
    if "--large" not in sys.argv:
        for device in DEVICES:
            shrink(device)
    write({"machine": machine("playwright"), "seconds": seconds})


if __name__ == "__main__":
    main()
