"""Integrity check of a collection: reads everything, and repairs what is derived."""

from dataclasses import dataclass, field
from pathlib import Path

from resight.collection.ann_index import remove_damaged_files
from resight.collection.database import explained
from resight.collection.search_arrays import load_arrays, remove_damaged_arrays
from resight.collection.writer import Writer, writing
from resight.photos.paths import PathLike


@dataclass
class CheckReport:
    """Findings and repairs of `check`.

    Attributes:
        photos: number of searchable photos.
        problems: one line each; empty when the collection is intact.
        repaired: one line for each repair.
        to_describe: photos whose descriptors were lost; the next index run describes them again.
    """

    photos: int = 0
    problems: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    to_describe: list[Path] = field(default_factory=list)


def check(collection: PathLike) -> CheckReport:
    """Read every row of the database and every byte of the arrays, and repair what is damaged.

    Damaged or missing descriptors are deleted, so that the next index run computes them again;
    damaged arrays are rebuilt.

    Raises:
        CollectionError: there is no collection, or its database cannot be read at all.
    """
    report = CheckReport()
    with writing(collection) as writer, explained(Path(collection)):
        for (line,) in writer.collection.connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                report.problems.append(f"database: {line}")
        _check_descriptors(writer, report)
        report.photos = writer.collection.count("ok")
        problem = remove_damaged_arrays(writer.collection)
        if problem:
            report.problems.append(f"search arrays: {problem}")
            report.repaired.append("search arrays: rebuilt from the database")
        if report.photos:
            load_arrays(writer.collection)
            problem = remove_damaged_files(writer.collection)
            if problem:
                report.problems.append(f"approximate index: {problem}")
                report.repaired.append("approximate index: removed; the next index run builds it")
    return report


def _check_descriptors(writer: Writer, report: CheckReport) -> None:
    """Delete descriptors with a wrong checksum or an unusual size; list the photos without any."""
    collection = writer.collection
    contents_by_size: dict[int, list[str]] = {}
    damaged: list[str] = []
    for stored in collection.all_descriptors():
        if not stored.intact:
            damaged.append(stored.content)
        contents_by_size.setdefault(len(stored.global_), []).append(stored.content)
    common = max(contents_by_size, key=lambda size: len(contents_by_size[size]), default=0)
    for size, contents in contents_by_size.items():
        damaged += contents if size != common else []
    paths: dict[str, list[Path]] = {}
    for photo in collection.photos("ok"):
        paths.setdefault(str(photo.content), []).append(photo.path)
    stored_contents = set().union(*contents_by_size.values())
    missing = [content for content in paths if content not in stored_contents]
    for content in dict.fromkeys([*damaged, *missing]):
        writer.mark_damaged(content)
        report.to_describe += paths.get(content, [])
        report.problems += [
            f"{path}: its descriptor was damaged or missing" for path in paths.get(content, [])
        ]
