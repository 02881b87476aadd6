"""Export photos that were found: copy or link them into a folder, and lay results out as CSV."""

import csv
import filecmp
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from resight.errors import UsageError
from resight.files import write_atomically, write_errors
from resight.photos import PathLike, absolute, escape_undecodable, is_remote, open_photo, path_text
from resight.photos.files import COLLECTION_MARK
from resight.searching.query import SearchResults

COLUMNS = "query", "rank", "path", "distance", "verdict", "probability", "kind", "inliers"


@dataclass(frozen=True)
class Export:
    """Photos that were copied or linked into a folder.

    Attributes:
        folder: where to.
        written: the new files.
        present: photos that were there before.
        failed: path and reason of photos that could not be copied or linked.
    """

    folder: Path
    written: list[Path] = field(default_factory=list)
    present: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)


def ensure_folder(folder: PathLike) -> Path:
    """Create a folder, with those above it, and refuse one that cannot be written to.

    Raises:
        UsageError: it is a file, cannot be created or written to, or is (in) a collection.
    """
    path = Path(folder)
    whole = absolute(path)
    for parent in (whole, *whole.parents):
        if (parent / COLLECTION_MARK).exists():
            raise UsageError(f"{parent}: is a collection, which holds no photos")
    with write_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: cannot be written: permission denied")
    return path


def export_found(
    results: SearchResults | Iterable[SearchResults], folder: PathLike, *, link: bool = False
) -> Export:
    """Copy (or link) the photos that show the same thing, at least probably, into a folder.

    Nothing is overwritten: where the name is taken by another photo, a number is added to it. What
    is there already, as after an earlier run, is not copied again, and neither are folded copies.

    Args:
        results: of one search, or of many.
        folder: created if there is none.
        link: make symbolic links to the photos instead of copies, which keep the photos' times.

    Raises:
        UsageError: as `ensure_folder`.
    """
    each = [results] if isinstance(results, SearchResults) else results
    export = Export(ensure_folder(folder))
    found = (r.path for one in each for r in one if r.verdict in ("same", "probable"))
    for path in dict.fromkeys(found):
        try:
            target = _link(path, export.folder) if link else _copy(path, export.folder)
        except OSError as error:
            export.failed.append((path, error.strerror or str(error)))
            continue
        if target is None:
            export.present.append(path)
        else:
            export.written.append(target)
    return export


def results_csv(results: Iterable[SearchResults], *, header: bool = True) -> str:
    """Format results as CSV (RFC 4180) with the columns `COLUMNS`; one row per result.

    The query of several views of one thing is the first of them.
    """
    target = io.StringIO()
    writer = csv.writer(target)
    if header:
        writer.writerow(COLUMNS)
    for answer in results:
        for result in answer:
            writer.writerow(
                (
                    "" if answer.query is None else _text(answer.query),
                    result.rank,
                    _text(result.path),
                    result.distance,
                    result.verdict,
                    result.probability,
                    result.kind,
                    result.inliers,
                )
            )
    return target.getvalue()


def _text(path: Path) -> str:
    return escape_undecodable(path_text(path))


def _copy(path: Path, folder: Path) -> Path | None:
    """Copy a photo into a folder under a new name; None if it is there already."""
    with open_photo(path) as source:
        for target in _names(path, folder):
            if not is_remote(path) and _is_same(path, target):
                return None
            if os.path.lexists(target):
                continue
            with write_atomically(target) as unfinished:  # a killed run leaves no half photo
                with unfinished.open("xb") as copy:
                    shutil.copyfileobj(source, copy)
                if not is_remote(path):
                    shutil.copystat(path, unfinished)
            return target
    return None


def _link(path: Path, folder: Path) -> Path | None:
    """Link to a photo from a folder under a new name; None if it is there already."""
    if is_remote(path):
        raise OSError("a link to an object store is not possible")
    for target in _names(path, folder):
        if target.exists() and target.samefile(path):
            return None
        try:
            target.symlink_to(absolute(path))
        except FileExistsError:
            continue
        return target
    return None


def _names(path: Path, folder: Path) -> Iterator[Path]:
    """Yield names in a folder: that of a photo, then with -2, -3 and so on."""
    yield folder / path.name
    number = 2
    while True:
        yield folder / f"{path.stem}-{number}{path.suffix}"
        number += 1


def _is_same(path: Path, target: Path) -> bool:
    """Return whether a file is a photo, or has its content."""
    return target.is_file() and filecmp.cmp(path, target, shallow=False)
