"""A page of search results: one HTML file without scripts, with embedded thumbnails."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from resight.errors import ImageError, UsageError
from resight.files import ensure_replaceable, write_output
from resight.photos import PathLike, escape_undecodable, path_text
from resight.photos.images import data_uri, image_size, load_image
from resight.photos.transforms import Box, crop_box, scale_box
from resight.searching.query import Result, SearchResults

THUMBNAIL = 240
"""Longer side of a thumbnail, in pixels."""
SUFFIXES = ".html", ".htm"
GENERATOR = b'<meta name="generator" content="Resight">'
"""The element near the start of a page that marks it as written by Resight."""
WORDS = {"same": "same thing", "probable": "probably", "different": ""}


def ensure_page_writable(target: Path) -> None:
    """Refuse a page that cannot be written, without changing anything.

    Raises:
        UsageError: see `files.ensure_writable`, its name does not end in .html, or the file exists
            and was not written by `save_results_page`.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{target}: name it with .html")
    ensure_replaceable(target, _is_own_page)


def _is_own_page(target: Path) -> bool:
    with target.open("rb") as file:
        return GENERATOR in file.read(1024)


def save_results_page(results: SearchResults | Iterable[SearchResults], target: PathLike) -> None:
    """Write an HTML page of one search, or of many: queries, results, verdicts, copies.

    Raises:
        UsageError: see `ensure_page_writable`.
    """
    ensure_page_writable(Path(target))
    page = results_page(results)
    with write_output(Path(target)) as unfinished:
        unfinished.write_text(page, "utf-8")


def results_page(results: SearchResults | Iterable[SearchResults]) -> str:
    """Return the HTML of a page of results."""
    import jinja2

    each = [results] if isinstance(results, SearchResults) else list(results)
    source = Path(__file__).with_name("results_page.html").read_text("utf-8")
    answers = [_answer(one) for one in each]
    successful = sum(bool(answer["found"]) for answer in answers)
    summary = f"{successful} of {len(answers)} queries found something"
    return (
        jinja2.Environment(autoescape=True)
        .from_string(source)
        .render(answers=answers, summary="Search results" if len(answers) == 1 else summary)
    )


def _answer(results: SearchResults) -> dict[str, Any]:
    """Return what the template shows of one search."""
    queries = results.queries or (results.query,)
    found = [result for result in results if result.verdict != "different"]
    others = [result for result in results if result.verdict == "different"]
    names = [_text(query) for query in queries if query is not None]
    return {
        "title": " + ".join(names) or "a photo in memory",
        "queries": [_photo(query, results.box) for query in queries if query is not None],
        "found_text": "" if found else "Nothing shows the same thing",
        "found": [_figure(result) for result in found],
        "others": [_figure(result) for result in others],
    }


def _figure(result: Result) -> dict[str, Any]:
    caption = [f"distance {result.distance:.3f}"]
    if result.verdict is not None and result.probability is not None:
        caption = [WORDS[result.verdict], f"{100 * result.probability:.0f} %", result.kind or ""]
    return {
        **_photo(result.path),
        "rank": result.rank,
        "verdict": result.verdict,
        "caption": ", ".join(part for part in caption if part),
        "folder": _text(result.path.parent),
        "copies": [_text(path) for path in result.copies],
    }


def _photo(path: Path, box: Box | None = None) -> dict[str, Any]:
    """Return the name and the thumbnail of a photo, or of a region of it."""
    name = _text(Path(path.name))
    try:
        image = load_image(path, None if box else 2 * THUMBNAIL)
        if box:
            image = crop_box(image, scale_box(box, image_size(path), image.size))
    except (ImageError, UsageError):
        return {"name": name, "uri": ""}
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return {"name": name, "uri": data_uri(image)}


def _text(path: Path) -> str:
    return escape_undecodable(path_text(path))
