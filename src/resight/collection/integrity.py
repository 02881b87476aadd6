"""Is a collection whole? Everything is read; what is derived is repaired."""

from dataclasses import dataclass, field
from pathlib import Path

from resight.collection.ann_index import find_damaged
from resight.collection.database import explained
from resight.collection.search_arrays import check_arrays, load_arrays
from resight.collection.writer import Writer, writing


@dataclass
class CheckReport:
    """What `check` found.

    Attributes:
        photos: searchable photos.
        problems: one line each; empty when all is well.
        repaired: one line for each thing that was put right.
        to_describe: photos whose descriptors were lost; the next index run describes them again.
    """

    photos: int = 0
    problems: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    to_describe: list[Path] = field(default_factory=list)


def check(collection: Path) -> CheckReport:
    """Read every row of the database and every byte of the arrays.

    Damaged or missing descriptors are dropped, so that the next index run makes them again;
    damaged arrays are rebuilt.

    Raises:
        CollectionError: there is no collection, or its database cannot be read at all.
    """
    report = CheckReport()
    with writing(collection) as writer, explained(collection):
        _check_database(writer, report)
        _check_descriptors(writer, report)
        report.photos = writer.collection.count("ok")
        problem = check_arrays(writer.collection)
        if problem:
            report.problems.append(f"search arrays: {problem}")
            report.repaired.append("search arrays: rebuilt from the database")
        if report.photos:
            load_arrays(writer.collection)
            problem = find_damaged(writer.collection)
            if problem:
                report.problems.append(f"approximate index: {problem}")
                report.repaired.append("approximate index: removed; the next index run makes it")
    return report


def _check_database(writer: Writer, report: CheckReport) -> None:
    for (line,) in writer.collection.database.execute("PRAGMA integrity_check"):
        if line != "ok":
            report.problems.append(f"database: {line}")


def _check_descriptors(writer: Writer, report: CheckReport) -> None:
    collection = writer.collection
    sizes: dict[int, list[str]] = {}
    damaged, present = [], set()
    for stored in collection.all_descriptors():
        present.add(stored.content)
        if not stored.intact:
            damaged.append(stored.content)
        sizes.setdefault(len(stored.global_), []).append(stored.content)
    common = max(sizes, key=lambda size: len(sizes[size]), default=0)
    odd = [content for size, group in sizes.items() if size != common for content in group]
    lost = {photo.content for photo in collection.photos("ok")} - present
    for content in dict.fromkeys([*damaged, *odd, *(c for c in lost if c)]):
        paths = [photo.path for photo in collection.photos("ok") if photo.content == content]
        writer.mark_damaged(content)
        report.to_describe += paths
        report.problems += [f"{path}: its descriptor was damaged or missing" for path in paths]
