"""Oxford5k and Paris6k, and both revisited: 55 or 70 queries with a box, positives and junk.

Sources: Philbin et al., CVPR 2007 [29] and CVPR 2008 [30]; Radenovic, Iscen, Tolias, Avrithis and
Chum, "Revisiting Oxford and Paris", CVPR 2018.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resight.datasets.dataset import Dataset, DatasetQuery, Photos
from resight.datasets.folders import MEAN_AVERAGE_PRECISION
from resight.datasets.unpickling import read_plain
from resight.errors import DatasetError
from resight.images import Box
from resight.protocols import Judgement, Measure

REVISITED = tuple(
    Measure(f"{name} {level}", kind, level, k)  # type: ignore[arg-type]
    for name, kind, k in (
        ("mAP", "average precision", 0),
        ("mP@1", "precision at", 1),
        ("mP@5", "precision at", 5),
        ("mP@10", "precision at", 10),
    )
    for level in ("medium", "hard", "easy")
)
PREFIX = "oxc1_"
"""Stands before the names in Oxford's query files alone."""

Names = dict[str, frozenset[str]]


@dataclass(frozen=True)
class _Truth:
    """A query of the ground truth: name, corners of its box, names by list (`ok`, `junk`, ...)."""

    name: str
    corners: tuple[float, float, float, float]
    lists: Names


def read_landmarks(name: str, folder: Path, *, query: str = "crop") -> Dataset:
    """One of the four benchmarks.

    The ground truth is the official text files (`all_souls_1_query.txt` and so on) or, by its usual
    name (`gnd_oxford5k.pkl`), the pickle of the public evaluation code, or that as JSON; somewhere
    in the folder or beside it.

    Args:
        name: `oxford5k`, `paris6k`, `roxford5k` or `rparis6k`.
        folder: with the photos, perhaps in folders.
        query: `crop`, the box of each query, or `full`, its whole photo.

    Raises:
        DatasetError: no photos or no ground truth.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    listed, truths = _read_truth(name, folder)
    photos = Photos(folder, listed)
    revisited = name.startswith("r")
    queries, lost = [], 0
    for truth in truths:
        row, path = photos.row(truth.name), photos.all.get(truth.name)
        judgements = _judgements(truth.lists, photos, revisited)
        if path is None or not any(j.positives for j in judgements.values()):
            lost += 1
            continue
        box = box_of(truth.corners) if query == "crop" else None
        queries.append(DatasetQuery(truth.name, path, judgements, box=box, row=row))
    measures = REVISITED if revisited else (MEAN_AVERAGE_PRECISION,)
    return Dataset(
        name=name,
        names=photos.names,
        paths=photos.paths,
        queries=tuple(queries),
        measures=measures,
        switches={"query": query, "junk": "taken out before ranking"},
        missing=photos.missing,
        lost_queries=lost,
    )


def box_of(corners: tuple[float, float, float, float]) -> Box:
    """A box of whole pixels (x, y, w, h) from the corners (x1, y1, x2, y2), rounded."""
    x1, y1, x2, y2 = (round(value) for value in corners)
    return max(0, x1), max(0, y1), max(1, x2 - max(0, x1)), max(1, y2 - max(0, y1))


def _judgements(lists: Names, photos: Photos, revisited: bool) -> dict[str, Judgement]:
    rows = {name: photos.rows(names) for name, names in lists.items()}
    if not revisited:
        return {"all": Judgement(rows["ok"], rows["junk"])}
    easy, hard, junk = rows["easy"], rows["hard"], rows["junk"]
    return {
        "easy": Judgement(easy, junk | hard),
        "medium": Judgement(easy | hard, junk),
        "hard": Judgement(hard, junk | easy),
    }


def _read_truth(name: str, folder: Path) -> tuple[list[str] | None, list[_Truth]]:
    """Names of the photos to rank, where they are listed, and the queries."""
    for suffix in (".json", ".pkl"):
        found = sorted(folder.rglob(f"gnd_{name}{suffix}"))
        found += folder.parent.glob(f"gnd_{name}{suffix}")
        if found:
            return _from_mapping(found[0], name)
    texts = sorted(folder.rglob("*_query.txt")) or sorted(folder.parent.glob("*_query.txt"))
    if not texts or name.startswith("r"):
        wanted = "" if name.startswith("r") else "the official text files (*_query.txt) or "
        raise DatasetError(
            f"{folder}: no ground truth of {name}: put {wanted}gnd_{name}.pkl there or beside it"
        )
    return None, [_from_texts(path) for path in texts]


def _from_texts(path: Path) -> _Truth:
    """A query from `X_query.txt`, `X_good.txt`, `X_ok.txt` and `X_junk.txt`."""
    stem = path.name.removesuffix("_query.txt")
    try:
        name, *corners = path.read_text("ascii").split()
        x1, y1, x2, y2 = map(float, corners)
        lists = {
            kind: frozenset((path.parent / f"{stem}_{kind}.txt").read_text("ascii").split())
            for kind in ("good", "ok", "junk")
        }
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not the official ground truth: {error}") from None
    names = {"ok": lists["good"] | lists["ok"], "junk": lists["junk"]}
    return _Truth(name.removeprefix(PREFIX), (x1, y1, x2, y2), names)


def _from_mapping(path: Path, name: str) -> tuple[list[str], list[_Truth]]:
    """The layout of the public evaluation code: `imlist`, `qimlist`, `gnd`."""
    content = read_plain(path)
    kinds = ("easy", "hard", "junk") if name.startswith("r") else ("ok", "junk")
    try:
        images, queries = list(content["imlist"]), list(content["qimlist"])
        truths = [
            _Truth(
                query,
                tuple(float(value) for value in truth["bbx"]),  # type: ignore[arg-type]
                {kind: frozenset(images[row] for row in truth[kind]) for kind in kinds},
            )
            for query, truth in zip(queries, content["gnd"], strict=True)
        ]
        if not all(isinstance(name, str) for name in images + queries):
            raise TypeError("names that are no text")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{path}: not the ground truth of {name}: {what}") from None
    return images, truths


OFFICIAL_COUNTS: Mapping[str, tuple[int, int]] = {
    "oxford5k": (5063, 55),
    "paris6k": (6392, 55),
    "roxford5k": (4993, 70),
    "rparis6k": (6322, 70),
}
"""Photos that are ranked, and queries."""
