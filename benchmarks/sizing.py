"""What collections of a million to a billion photos take, computed from what was measured.

    python benchmarks/sizing.py

Reads `engines.json`, `speed.json` and `growth.json` in `docs`, and `cluster.json` where there is
one, and writes the tables of `docs/capacity.md`. Bytes grow with the photos; linking photos in an
index with `photos * log(photos)`; a search of an index with the logarithm, of a folder with the
photos. The factors are fitted to the measurements, relative errors counting alike.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

DOCS = Path(__file__).parent.parent / "docs"
SIZES = (10**6, 10**7, 10**8, 10**9)
CLUSTERS = (1, 10, 100, 1000)
CORES, MEMORY = 16, 64
"""Of the machines that are counted; memory in GB."""
FREE = 0.25
"""Share of a machine's memory that is left to everything but the index."""
LARGEST = 2048
"""GB of memory of the largest single machine thought of."""
ENGINES = ("PostgreSQL", "Qdrant")


@dataclass(frozen=True)
class Engine:
    """The fitted model of an engine.

    Attributes:
        disk: bytes for each photo.
        memory: likewise, of the index: what searches read at every step.
        upload: photos a second.
        link: core-seconds for each photo and its logarithm.
        search: seconds for each logarithm of the photos.
    """

    disk: float
    memory: float
    upload: float
    link: float
    search: float


@dataclass(frozen=True)
class Measured:
    """All that the tables are made of.

    Attributes:
        hourly: photos that a core describes in an hour, by how.
        folder_disk: bytes for each photo in a collection's folder.
        folder_memory: likewise of the arrays that searches read.
        folder_search: seconds of a search: in any collection, and for each photo.
        engines: the engines' models by name.
    """

    hourly: dict[str, float]
    folder_disk: float
    folder_memory: float
    folder_search: tuple[float, float]
    engines: dict[str, Engine]


def main() -> None:
    page, made = DOCS / "capacity.md", iter(tables(read()))
    text = page.read_text("utf-8")
    page.write_text(re.sub(r"(^\|.*\n)+", lambda _: f"{next(made)}\n", text, flags=re.MULTILINE))


def read(docs: Path = DOCS, *, on_ray: bool = True) -> Measured:
    """The measurements in `docs`; those of a Ray cluster where there are any and they count."""
    speed, growth, engines = (
        json.loads((docs / f"{name}.json").read_text("utf-8"))
        for name in ("speed", "growth", "engines")
    )
    cores = speed["machine"]["cores"]
    hourly = {
        how: 3600 / speed["extraction"]["index"][how]["seconds"] / cores
        for how in ("OpenVINO", "OpenVINO, int8")
    }
    cluster = docs / "cluster.json"
    if on_ray and cluster.exists():
        found = json.loads(cluster.read_text("utf-8"))
        on_nodes = found["figures"]["ray"]["photos_an_hour_a_core"]
        hourly[f"Ray, `{found['config']}`"] = on_nodes
    arrays, search = (growth["model"][name] for name in ("arrays, MB", "exact search, s"))
    cores = engines["machine"]["cores"]
    return Measured(
        hourly,
        fmean(engines["folder, bytes/photo"].values()),
        1e6 * arrays["b"],
        (search["a"], search["b"]),
        {name: fitted(engines["measured"][name], cores) for name in ENGINES},
    )


def fitted(measured: dict[str, dict[str, float]], cores: int) -> Engine:
    """The model of an engine, from its figures by the number of photos."""

    def factor(of: Callable[[float, dict[str, float]], float]) -> float:
        return fmean(of(float(size), figures) for size, figures in measured.items())

    return Engine(
        disk=factor(lambda _, f: f["disk, bytes/photo"]),
        memory=factor(lambda _, f: f["index, bytes/photo"]),
        upload=factor(lambda _, f: f["upload, photos/s"]),
        link=factor(lambda n, f: cores / f["index, photos/s"] / math.log(n)),
        search=factor(lambda n, f: f["search, ms, real queries"] / 1000 / math.log(n)),
    )


# What it takes


def machine_for(memory: float) -> str:
    """The machine that one index fits in."""
    size = MEMORY
    while size * (1 - FREE) < memory / 1e9 and size <= LARGEST:
        size *= 2
    return f"1 of {size:,} GB" if size <= LARGEST else "none"


def shards(engine: Engine, photos: int) -> int:
    """The machines that an index must be spread over, so that each has its part in memory."""
    return math.ceil(engine.memory * photos / (1e9 * MEMORY * (1 - FREE)))


def link_hours(engine: Engine, photos: float) -> float:
    """How long one machine links photos."""
    return engine.link * photos * math.log(photos) / CORES / 3600


# The tables


def tables(measured: Measured) -> list[str]:
    """The tables of the page, in its order."""
    of = (table_of_bytes, table_of_describing, table_of_clusters, table_of_engines)
    return [table(measured) for table in of]


def table_of_bytes(measured: Measured) -> str:
    """What was measured, for each photo."""
    engines = measured.engines
    rows = [
        ("on the disk, bytes", measured.folder_disk, *(e.disk for e in engines.values())),
        ("read by searches, bytes", measured.folder_memory, *(e.memory for e in engines.values())),
    ]
    cells = [[name, *(f"{value:,.0f}" for value in values)] for name, *values in rows]
    postgres = engines["PostgreSQL"]
    cells.append(["uploaded in a second", "", f"{postgres.upload:,.0f}", ""])
    return as_table(["for each photo", "folder", *engines], cells)


def table_of_describing(measured: Measured) -> str:
    """Photos an hour, measured, and the core-hours that photos take."""
    rows = [
        [how, f"{hourly:,.0f}", *(number(size / hourly) for size in SIZES)]
        for how, hourly in measured.hourly.items()
    ]
    sizes = (f"core-hours for {size:,}" for size in SIZES)
    return as_table(["described by", "photos an hour and core", *sizes], rows)


def table_of_clusters(measured: Measured) -> str:
    """The hours that clusters take to describe photos in the plain way."""
    hourly = CORES * next(iter(measured.hourly.values()))
    rows = [
        [f"{machines:,}", *(number(size / hourly / machines) for size in SIZES)]
        for machines in CLUSTERS
    ]
    return as_table(["machines", *(f"hours for {size:,}" for size in SIZES)], rows)


def table_of_engines(measured: Measured) -> str:
    """What keeping and searching photos takes."""
    rows = []
    for size in SIZES:
        begin, each = measured.folder_search
        memory = measured.folder_memory * size
        place = [f"{size:,}", "folder", gigabytes(measured.folder_disk * size), gigabytes(memory)]
        rows.append([*place, machine_for(memory), "", "", number(1000 * (begin + each * size))])
        for name, engine in measured.engines.items():
            memory, parts = engine.memory * size, shards(engine, size)
            one = name == "PostgreSQL"
            part = size if one else size / parts
            rows.append(
                [
                    *("", name, gigabytes(engine.disk * size), gigabytes(memory)),
                    machine_for(memory) if one else f"{parts} of {MEMORY} GB",
                    number(size / engine.upload / 3600) if one else "",
                    number(link_hours(engine, part)),
                    number(1000 * engine.search * math.log(part)),
                ]
            )
    head = ["photos", "", "disk, GB", "memory, GB", "machines", "upload, h", "linking, h"]
    return as_table([*head, "search, ms"], rows)


def number(value: float) -> str:
    """Two digits that count."""
    rounded = float(f"{value:.1e}")
    return f"{rounded:,.{max(0, 1 - math.floor(math.log10(rounded)))}f}"


def gigabytes(value: float) -> str:
    """Bytes, told in GB."""
    return number(value / 1e9)


def as_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    main()
