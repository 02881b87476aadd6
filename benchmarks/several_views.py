r"""Searches with two views of one thing, compared with searches by either of them.

    python benchmarks/several_views.py --set buildings/groups.json BUILDINGS-COLLECTION ... \
        -o docs/several_views.json

Two photos of a group (see `resight evaluate`) are the query, the others of the group are to be
found, and the two themselves are left out of the results. Writes OUT.json and prints a Markdown
table: mAP in percent, the share of the group's photos that are found ("probably" the same
thing, at least), and the number of other photos that a search finds.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness import machine, make_parser, markdown, save
from resight.collection import Collection
from resight.config import SearchConfig
from resight.evaluation.measures import average_precision, read_groups
from resight.photos import absolute
from resight.searching import Searcher
from resight.searching.fusion import fuse
from resight.searching.nearest import Ranking
from resight.searching.pipeline import locate_descriptors, make_ranker
from resight.searching.query import PROBABLE, open_query

NAMES = "mAP", "found, %", "others found"


def main() -> None:
    parser = make_parser(__doc__, output="several_views.json")
    parser.add_argument("--set", nargs=2, type=Path, action="append", required=True)
    parser.add_argument("--pairs", type=int, default=1, help="of each group, at most")
    options = parser.parse_args()
    figures, table = {}, []
    for groups, collection in options.set:
        name = absolute(groups).parent.name
        with Collection.open(collection) as opened:
            rows = np.array(list(compare(Searcher(opened), groups, options.pairs)))
        figures[name] = {"queries": len(rows)}
        for ways, values in zip(("one view", "two views"), rows.mean(axis=0), strict=True):
            measured = dict(zip(NAMES, values.round(2).tolist(), strict=True))
            figures[name][ways] = measured
            table.append([name, ways, *map(str, measured.values())])
    save({"machine": machine(), "figures": figures}, options.output)
    print(markdown(["photos of", "query", *NAMES], table, "---:"))


def compare(searcher: Searcher, groups: Path, most: int) -> Iterator[list[np.ndarray]]:
    """Yield the figures of each pair, `NAMES`: the mean of either view, and those of both."""
    store = searcher.store
    rank = make_ranker(store, SearchConfig(), searcher.columns_map)
    ids = {photo.path: photo.id for photo in store.photos("ok")}
    rng = np.random.default_rng(0)
    for paths in read_groups(groups).values():
        known = [absolute(path) for path in paths if absolute(path) in ids]
        if len(known) < 3:
            continue
        rankings = {}
        for path in known:
            query = open_query(path)
            rankings[path] = rank(locate_descriptors(store, query, searcher.describe), query)
        pairs = list(itertools.combinations(known, 2))
        for place in rng.permutation(len(pairs))[:most]:
            pair = pairs[place]
            views = [rankings[path] for path in pair]
            asked = {ids[path] for path in pair}
            positives = {ids[path] for path in known} - asked
            single = np.mean([measure(view, asked, positives) for view in views], axis=0)
            yield [single, measure(fuse(views, by_rank=False), asked, positives)]


def measure(ranking: Ranking, asked: set[int], positives: set[int]) -> np.ndarray:
    """Return the figures `NAMES` of a ranking without the photos that were searched with."""
    ids = [id_ for id_ in ranking.ids.tolist() if id_ not in asked]
    found = {i for i, d in ranking.decided.items() if d.probability >= PROBABLE} - asked
    ranks = sorted(ids.index(id_) for id_ in positives)
    precision = average_precision(ranks, len(ranks))
    share = len(found & positives) / len(positives)
    return np.array([100 * precision, 100 * share, len(found - positives)])


if __name__ == "__main__":
    main()
