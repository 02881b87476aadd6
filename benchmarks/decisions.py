r"""Decisions against ground truth: verdicts, false alarms, calibration; and the coefficients.

    python benchmarks/decisions.py FOLDER ... --strangers FOLDER -o docs/decisions.json \
        --picture docs/images/reliability.png

Each FOLDER has a `groups.json` as `resight evaluate` reads it; the default method indexes it. Every
photo is a query; its nearest are decided on and compared with the truth. The photos of the folder
of `--strangers`, which match nothing, are queries as well. For each folder the coefficients are
also fitted on all others, to see how well they are calibrated on photos they were not fitted on.
Folders of `--drawn`, as `misleading.py` draws them, count less in the fit.
Writes OUT.json and the reliability diagram, and prints a Markdown table.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

import resight
from harness import machine, make_parser, markdown, save
from resight.backends.local import LocalStore
from resight.collection import Collection
from resight.evaluation.decisions import (
    QueryDecisions,
    calibration_bins,
    calibration_error,
    measure_decisions,
)
from resight.evaluation.measures import read_groups
from resight.evidence.decision import MIN_FEATURES, decide
from resight.evidence.encoding import from_bytes
from resight.evidence.probability import COEFFICIENTS, observations, probability
from resight.photos import absolute
from resight.photos.files import find_photos
from resight.ranking.strangers import RANKS
from resight.searching import Searcher
from resight.searching.deciding import CHUNK, Decider
from resight.searching.nearest import strangers_of
from resight.searching.pipeline import Described, locate_descriptors
from resight.searching.query import open_query

MISLABELED = -6.0
"""Logarithm of the number of false alarms from which on photos of different groups show the same
thing after all: a poster, a bottle, a facade that is in two groups. They are left out of fits."""
GEOMETRY = {"sureness": 6.0, "columns": 4.0}
"""Coefficients that are not fitted. The most likely ones are larger, but then more things
with common parts, such as houses with the same windows, are called the same."""
DRAWN = 0.3
"""Weight of a folder of drawn pictures in fits: many of them have windows and words in common."""
PAIRS_IN_BIN = 10
"""Fewest pairs of a bin of the reliability diagram."""

Row = tuple[int, bool, float, float, float, int, float]
"""Query, whether both show the same thing, closeness, log10 NFA of the distance and of the SIFT
features, number of features, and log10 NFA of the columns of a candidate."""


def main() -> None:
    parser = make_parser(__doc__, output="decisions.json")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--strangers", type=Path, required=True)
    parser.add_argument("--drawn", type=Path, nargs="*", default=[])
    parser.add_argument("--picture", type=Path, default=Path("reliability.png"))
    options = parser.parse_args()
    rows: dict[str, list[Row]] = {}
    alarms: dict[str, list[Row]] = {}
    positives: dict[str, list[int]] = {}
    strangers = [file.path for file in find_photos([absolute(options.strangers)]).photos]
    for folder in [*options.folders, *options.drawn]:
        truth = read_groups(folder / "groups.json")
        group_of = {absolute(path): name for name, paths in truth.items() for path in paths}
        positives[folder.name] = [len(paths) - 1 for paths in truth.values() for _ in paths]
        with collection_of(folder) as searcher:
            rows[folder.name] = list(candidates(searcher, list(group_of), group_of))
            if folder not in options.drawn:
                alarms[folder.name] = list(candidates(searcher, strangers, {}))
    figures = {
        folder.name: measure(rows, alarms, folder.name, positives[folder.name])
        for folder in options.folders
    }
    fitted = fit(rows, alarms)
    save({"machine": machine(), "fitted": fitted, "figures": figures}, options.output)
    draw({name: rows[name] for name in figures}, options.picture)
    headings = list(next(iter(figures.values())))
    table = [[name, *map(str, values.values())] for name, values in figures.items()]
    print(markdown(["photos of", *headings], table, "---:"))
    print(fitted)


@contextlib.contextmanager
def collection_of(folder: Path) -> Iterator[Searcher]:
    """Index a folder into a temporary collection."""
    with tempfile.TemporaryDirectory() as temporary:
        resight.index(folder, Path(temporary) / "c")
        with Collection.open(Path(temporary) / "c") as collection:
            yield Searcher(collection)


def candidates(
    searcher: Searcher, queries: Iterable[Path], group_of: dict[Path, str]
) -> Iterator[Row]:
    """Yield the candidates of each query but itself, as a search looks at them."""
    store = searcher.store
    assert isinstance(store, LocalStore)
    described = Described(searcher.describe)
    decider = Decider(store, described.columns)
    for number, path in enumerate(queries):
        query = open_query(path)
        descriptors = locate_descriptors(store, query, described)
        (nearest,) = store.nearest([descriptors], max(RANKS, CHUNK) + 1)
        unrelated = strangers_of(store, descriptors)
        assert unrelated is not None
        photos = store.photos_by_id(nearest.ids[: CHUNK + 1].tolist())
        places = [
            place
            for place, id_ in enumerate(nearest.ids[: CHUNK + 1].tolist())
            if photos[id_].path != path
        ][:CHUNK]
        contents = [str(photos[int(nearest.ids[place])].content) for place in places]
        data = store.evidence(contents)
        evidence = decider.evidence_of(query)
        assert evidence is not None
        others = [from_bytes(data[content]) for content in contents]
        near = unrelated.nearness(nearest.distances[places])
        decisions = decide(evidence, others, near)
        for row, (place, other, decision) in enumerate(zip(places, others, decisions, strict=True)):
            assert decision.match is not None
            assert other is not None
            found = photos[int(nearest.ids[place])].path
            same = path in group_of and group_of.get(found) == group_of[path]
            features = min(len(evidence), len(other))
            columns = np.inf if decision.columns is None else decision.columns.log10_nfa
            yield (
                number,
                same,
                float(near.closeness[row]),
                float(near.log10_nfa[row]),
                decision.match.log10_nfa,
                features,
                columns,
            )


def measure(
    rows: dict[str, list[Row]], alarms: dict[str, list[Row]], name: str, positives: list[int]
) -> dict[str, float | None]:
    """Return the figures of one folder; those of calibration also with coefficients of the others.

    Decisions on pairs are counted as `resight search` shows them, at least "probably" the same.
    `positives` is the number of photos that show the same thing as each query.
    """
    found = measure_decisions(judged(rows[name], positives))
    strangers = measure_decisions(judged(alarms[name], []))
    same = np.array([row[1] for row in rows[name]])
    elsewhere = calibration_error(probabilities(rows[name], fit(rows, alarms, name)), same)
    figures = {
        "first match found": found.probable.first_matches,
        "first match the same thing": found.same.first_matches,
        "precision": found.probable.pairs.precision,
        "recall": found.probable.pairs.recall,
        "strangers found": strangers.probable.false_alarms,
        "strangers the same thing": strangers.same.false_alarms,
        "calibration error": found.calibration_error,
        "fitted elsewhere": elsewhere,
    }
    return {key: None if value is None else round(value, 3) for key, value in figures.items()}


def judged(rows: list[Row], positives: list[int]) -> list[QueryDecisions]:
    """Return the decisions on each query; those without `positives` have no match."""
    values = probabilities(rows, COEFFICIENTS)
    same = np.array([row[1] for row in rows])
    queries = np.array([row[0] for row in rows])
    return [
        QueryDecisions(values[queries == q], same[queries == q], positives[q] if positives else 0)
        for q in np.unique(queries)
    ]


def probabilities(rows: list[Row], coefficients: dict[str, float]) -> np.ndarray:
    """Return the probability of each candidate, (N,)."""
    values = [observations(*row[2:]) for row in rows]
    columns = {name: np.array([value[name] for value in values]) for name in values[0]}
    return probability(coefficients, columns)


def fit(
    rows: dict[str, list[Row]], alarms: dict[str, list[Row]], without: str | None = None
) -> dict[str, float]:
    """Fit the coefficients by maximum likelihood, perhaps without one folder.

    Folders weigh the same, and strangers in a folder as much as its own photos; drawn ones, which
    have no strangers, weigh `DRAWN`.
    """
    kept = [
        (
            [row for row in part if row[5] >= MIN_FEATURES and (drawn or is_reliable(row))],
            DRAWN if drawn else 1.0,
        )
        for each in (rows, alarms)
        for name, part in each.items()
        for drawn in [name not in alarms]
        if name != without
    ]
    chosen = [row for part, _ in kept for row in part]
    observed = [{**observations(*row[2:]), "constant": 1.0} for row in chosen]
    names = [name for name in observed[0] if name not in GEOMETRY]
    values = np.array([[each[name] for name in names] for each in observed])
    geometry = np.array([sum(v * each[name] for name, v in GEOMETRY.items()) for each in observed])
    same = np.array([row[1] for row in chosen], float)
    weights = np.concatenate([np.full(len(part), weight / len(part)) for part, weight in kept])
    weights /= weights.sum()

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        total = values @ coefficients + geometry
        expected = 1 / (1 + np.exp(-np.clip(total, -500, 500)))
        entropy = weights @ (np.logaddexp(0, total) - same * total)
        return float(entropy), values.T @ (weights * (expected - same))

    found = minimize(loss, np.zeros(values.shape[1]), jac=True, method="L-BFGS-B").x
    return GEOMETRY | dict(zip(names, np.round(found, 2).tolist(), strict=True))


def is_reliable(row: Row) -> bool:
    """Return whether the label of a candidate is to be trusted."""
    return row[1] or min(row[4], row[6]) > MISLABELED


def draw(rows: dict[str, list[Row]], target: Path) -> None:
    """Draw the reliability diagram: how often photos are the same, over the probability."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 4.5))
    axes.plot([0, 1], [0, 1], color="0.8")
    for name, part in rows.items():
        values, same = probabilities(part, COEFFICIENTS), np.array([row[1] for row in part])
        points = [
            (values[members].mean(), same[members].mean())
            for members in calibration_bins(values)
            if members.sum() >= PAIRS_IN_BIN
        ]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axes.set_xlabel("probability")
    axes.set_ylabel("share that shows the same thing")
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(target, dpi=150)


if __name__ == "__main__":
    main()
