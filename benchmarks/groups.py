"""Groups against ground truth: precision and recall of pairs of photos in one group.

    python benchmarks/groups.py FOLDER ... -o docs/groups.json

Each FOLDER has a `groups.json` as `resight evaluate` reads it. Its photos are indexed by the
default method, or by that of `--config`. Writes OUT.json and prints a Markdown table.
"""

import tempfile
from pathlib import Path
from typing import Any

import resight
from harness import machine, make_parser, markdown, save
from resight.evaluation.decisions import measure_groups
from resight.evaluation.measures import read_groups
from resight.photos import absolute


def main() -> None:
    parser = make_parser(__doc__, output="groups.json")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--config", default="auto", help="the method")
    options = parser.parse_args()
    measured = {folder.name: measure(folder, options.config) for folder in options.folders}
    result = {"machine": machine(), "config": options.config, "figures": measured}
    save(result, options.output)
    rows = [[name, *map(str, figures.values())] for name, figures in measured.items()]
    print(markdown(["photos of", *next(iter(measured.values()))], rows, "---:"))


def measure(folder: Path, config: str) -> dict[str, Any]:
    """Index a folder and compare its groups with the true ones."""
    truth = read_groups(folder / "groups.json")
    with tempfile.TemporaryDirectory() as temporary:
        collection = Path(temporary) / "c"
        run = resight.index(folder, collection, config=config)
        found = resight.groups(collection)
    true = [[absolute(path) for path in paths] for paths in truth.values()]
    pairs = measure_groups([group.paths for group in found], true)
    return {
        "photos": run.photos,
        "pairs": pairs.true,
        "found": pairs.found,
        "precision": round(pairs.precision or 0.0, 3),
        "recall": round(pairs.recall or 0.0, 3),
    }


if __name__ == "__main__":
    main()
