"""Edited copies of photos: are they found first, and is it named how they differ?

    python benchmarks/edited_copies.py FOLDER ... -o docs/edited.json --picture edits.jpg

Of each FOLDER, 60 photos are indexed with the defaults; each edit is applied to ten of them, and
the edited copies are searched. The folders are only read; copies are written to a temporary one. A
collage is found if any of its four photos is first. Writes OUT.json and a contact sheet of the
edits of a drawn photo, and prints a Markdown table of all folders together.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

import resight
from harness import machine, make_parser, markdown, save, spread
from resight.demo import draw_collection
from resight.files import file_sha256, save_picture
from resight.photos import absolute
from resight.photos.images import load_image
from resight.views.contact_sheet import SheetPhoto, contact_sheet

OTHERS = 50
"""Photos in the collection that are not edited."""
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
COUNTED = ("copies", "found", "named")
PICTURED = 2
"""The drawn photo whose edits are shown."""
RIGHT = "right"
NOT_FOUND = "another photo"
UNSEEN = 3
"""Largest difference of a value of a pixel, of 255, that is no edit."""
QUALITY = 90
"""JPEG quality of the edited copies."""


@dataclass(frozen=True)
class Edit:
    """A way to edit a photo.

    Attributes:
        draw: returns the edited copy of the first photo; a collage needs the others too.
        names: right names of the copy.
        parts: number of photos in it, each of which may be found.
    """

    draw: Callable[[Sequence[Image.Image]], Image.Image]
    names: tuple[str, ...]
    parts: int = 1


def crop(share: float) -> Callable[[Sequence[Image.Image]], Image.Image]:
    """Return a cut to a share of the area: the lower right corner of large crops, else the middle.

    The middle of a small crop, as corners of photos are often empty.
    """

    def cut(photos: Sequence[Image.Image]) -> Image.Image:
        width, height = photos[0].size
        w, h = round(width * math.sqrt(share)), round(height * math.sqrt(share))
        left, top = (
            (width - w, height - h) if share >= 0.25 else ((width - w) // 2, (height - h) // 2)
        )
        return photos[0].crop((left, top, left + w, top + h))

    return cut


def border(photos: Sequence[Image.Image]) -> Image.Image:
    """Put a white border around a photo, a quarter of its sides wide."""
    width, height = photos[0].size
    return ImageOps.expand(photos[0], (width // 4, height // 4), "white")


def text(photos: Sequence[Image.Image]) -> Image.Image:
    """Write two lines over a photo, as on a picture that is shared."""
    photo = photos[0].copy()
    width, height = photo.size
    draw = ImageDraw.Draw(photo)
    for words, y in (("WHEN YOU SEE IT", 0.12), ("FOR THE FIRST TIME", 0.86)):
        font = ImageFont.load_default(width / 11)
        place = (width / 2, height * y)
        draw.text(place, words, "white", font, "mm", stroke_width=2, stroke_fill="black")
    return photo


def watermark(photos: Sequence[Image.Image]) -> Image.Image:
    """Write half transparent words across a photo."""
    width, height = photos[0].size
    ink = Image.new("L", photos[0].size)
    font = ImageFont.load_default(width / 8)
    ImageDraw.Draw(ink).text((width / 2, height / 2), "© sample", 110, font, "mm")
    ink = ink.rotate(25, Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", photos[0].size, "white"), photos[0], ink)


def shrink(photos: Sequence[Image.Image]) -> Image.Image:
    """Shrink a photo to a longest side of 128 pixels."""
    return ImageOps.contain(photos[0], (128, 128), Image.Resampling.LANCZOS)


def collage(photos: Sequence[Image.Image]) -> Image.Image:
    """Put four photos into the quarters of a picture as large as the first."""
    width, height = photos[0].size
    whole = Image.new("RGB", (width, height))
    for i, photo in enumerate(photos[:4]):
        corner = (i % 2) * (width // 2), (i // 2) * (height // 2)
        whole.paste(ImageOps.fit(photo, (width // 2, height // 2)), corner)
    return whole


EDITS = {
    "re-saved": Edit(lambda photos: photos[0], ("resized",)),
    "mirror": Edit(lambda photos: ImageOps.mirror(photos[0]), ("mirrored",)),
    "90 degrees": Edit(lambda photos: photos[0].rotate(90, expand=True), ("rotated",)),
    "gray": Edit(lambda photos: photos[0].convert("L").convert("RGB"), ("edited",)),
    "border of 25 %": Edit(border, ("edited",)),
    "text over it": Edit(text, ("edited",)),
    "128 pixels": Edit(shrink, ("resized",)),
    "corner of 25 %": Edit(crop(0.25), ("crop",)),
    "watermark": Edit(watermark, ("edited",)),
    "blur of 4 pixels": Edit(
        lambda photos: photos[0].filter(ImageFilter.GaussianBlur(4)), ("edited",)
    ),
    "crop to 10 %": Edit(crop(0.1), ("crop",)),
    "collage of four": Edit(collage, ("crop", "edited"), parts=4),
}


def main() -> None:
    parser = make_parser(__doc__, output="edited.json")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-n", type=int, default=10, help="photos of each folder that are edited")
    parser.add_argument("--config", default="auto", help="the method")
    parser.add_argument("--picture", type=Path, default=Path("edits.jpg"))
    options = parser.parse_args()
    draw(options.picture)
    figures = {}
    for folder in options.folders:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
        photos = [absolute(path) for path in spread(found, options.n + OTHERS)]
        with tempfile.TemporaryDirectory() as temporary:
            edits = measure(photos, spread(photos, options.n), Path(temporary), options.config)
        figures[folder.name] = {"photos": len(photos), "edits": edits}
        save({"machine": machine(), "config": options.config, "figures": figures}, options.output)
    rows = [total(name, [part["edits"][name] for part in figures.values()]) for name in EDITS]
    print(markdown(["edit", "found first", "named right", "named instead"], rows))


def total(name: str, parts: Sequence[dict[str, Any]]) -> list[str]:
    """Return the line of an edit, of all folders together."""
    copies, found, named = (sum(part[key] for part in parts) for key in COUNTED)
    instead = sum((Counter(part["instead"]) for part in parts), Counter[str]())
    others = ", ".join(f"{answer} ({count})" for answer, count in instead.most_common())
    return [name, f"{found} of {copies}", str(named), others or "–"]


def draw(target: Path) -> None:
    """Draw the edits of a drawn photo as a contact sheet."""
    with tempfile.TemporaryDirectory() as temporary:
        draw_collection(Path(temporary), objects=4, views=1, clutter=0)
        photos = [load_image(path) for path in sorted(Path(temporary).rglob("*.jpg"))]
    photos = [photos[PICTURED], *photos[:PICTURED], *photos[PICTURED + 1 :]]
    tiles = [SheetPhoto(edit.draw(photos), name) for name, edit in EDITS.items()]
    save_picture(contact_sheet(SheetPhoto(photos[0], "the photo"), tiles, columns=6), target)


def measure(
    photos: Sequence[Path], originals: Sequence[Path], folder: Path, config: str
) -> dict[str, dict[str, Any]]:
    """Index photos, and search edited copies of some of them.

    Returns:
        For each edit, the number of copies, of those found first, of those found first and named
        right, and how often the others were named what.
    """
    collection = folder / "c"
    resight.index(photos, collection, config=config)
    figures = {}
    with resight.Collection.open(collection) as opened:
        searcher = resight.Searcher(opened)
        for name, edit in EDITS.items():
            answers = search_copies(searcher, edit, originals, folder / "copy.jpg")
            wrong = Counter(answer for answer in answers if answer != RIGHT)
            figures[name] = {
                "copies": len(answers),
                "found": len(answers) - wrong[NOT_FOUND],
                "named": answers.count(RIGHT),
                "instead": dict(wrong.most_common()),
            }
    return figures


def search_copies(
    searcher: resight.Searcher, edit: Edit, originals: Sequence[Path], file: Path
) -> list[str]:
    """Search edited copies, saved to a file one after the other.

    Returns:
        `RIGHT` for each that is found first and named right, else what it is named, or its verdict
        if it is taken for something else, or `NOT_FOUND`.
    """
    answers = []
    for i in range(len(originals)):
        paths = [originals[(i + k) % len(originals)] for k in range(4)]
        photos = [load_image(path) for path in paths]
        edit.draw(photos).save(file, quality=QUALITY)
        first = searcher.search(file, resight.SearchConfig(k=1)).results[0]
        names = ("resized",) if is_unedited(edit, photos) else edit.names
        # Some folders have a photo twice.
        if file_sha256(first.path) not in map(file_sha256, paths[: edit.parts]):
            answers.append(NOT_FOUND)
        else:
            answers.append(RIGHT if first.kind in names else first.kind or str(first.verdict))
    return answers


def is_unedited(edit: Edit, photos: Sequence[Image.Image]) -> bool:
    """Check whether an edit leaves a photo as it is, such as gray a gray one."""
    before, after = photos[0], edit.draw(photos)
    if before.size != after.size:
        return False
    return max(high for _, high in ImageChops.difference(before, after).getextrema()) <= UNSEEN


if __name__ == "__main__":
    main()
