"""Resources for collections of a million to a billion photos, computed from measurements.

    python benchmarks/sizing.py

Reads `backends.json`, `speed.json`, `growth.json` and, if it exists, `cluster.json` in `docs`, and
writes the tables of `docs/capacity.md`. Bytes grow linearly with the photos; index construction
with `photos * log(photos)`; an indexed search logarithmically, a search in a folder linearly. The
factors are fitted to the measurements by relative errors.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from harness import markdown

DOCS = Path(__file__).parent.parent / "docs"
SIZES = (10**6, 10**7, 10**8, 10**9)
CLUSTERS = (1, 10, 100, 1000)
CORES, MEMORY = 16, 64
"""Cores and memory, in GB, of a machine."""
RESERVED = 0.25
"""Share of a machine's memory that is reserved for everything but the index."""
LARGEST = 2048
"""GB of memory of the largest single machine considered."""
BACKENDS = ("PostgreSQL", "Qdrant")
ADAPTED_VALUES = 272
"""Values of a descriptor of `auto` as searches compare it: 4 bytes each, and 1 byte as a code."""
ADAPTED_BYTES = 1952 * 4 + ADAPTED_VALUES * 5
"""Bytes of a photo of `auto`: the network's values, and the search arrays."""
PAPER_BYTES = 3072 * 4
"""Bytes of the network's values of a photo of `paper`."""
EVIDENCE_BYTES = 26_000
"""Bytes of the evidence of a photo."""


@dataclass(frozen=True)
class BackendModel:
    """The fitted model of a backend.

    Attributes:
        disk: bytes per photo.
        memory: bytes per photo of the index, which each search step reads.
        upload: photos per second.
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
    """The input of the tables.

    Attributes:
        hourly: photos per hour and core, by method.
        folder_disk: bytes per photo in a collection's folder.
        folder_memory: bytes per photo of the arrays that searches read.
        folder_search: seconds of a search: constant, and per photo.
        backends: the models of the backends by name.
        adapted: photos to the seconds of a search of adapted descriptors in a folder.
    """

    hourly: dict[str, float]
    folder_disk: float
    folder_memory: float
    folder_search: tuple[float, float]
    backends: dict[str, BackendModel]
    adapted: dict[int, float]


def main() -> None:
    page = DOCS / "capacity.md"
    new_tables = iter(tables(read()))
    text = page.read_text("utf-8")
    page.write_text(
        re.sub(r"(^\|.*\n)+", lambda _: f"{next(new_tables)}\n", text, flags=re.MULTILINE)
    )


def read(docs: Path = DOCS, *, on_ray: bool = True) -> Measured:
    """Read the measurements in `docs`, including those of a Ray cluster if `on_ray`."""
    speed, growth, backends = (
        json.loads((docs / f"{name}.json").read_text("utf-8"))
        for name in ("speed", "growth", "backends")
    )
    cores = speed["machine"]["cores"]
    hourly = {
        how: 3600 / speed["extraction"]["index"][how]["seconds"] / cores
        for how in ("OpenVINO", "OpenVINO, int8")
    }
    cluster = docs / "cluster.json"
    if on_ray and cluster.exists():
        result = json.loads(cluster.read_text("utf-8"))
        hourly[f"Ray, `{result['config']}`"] = result["figures"]["ray"]["photos_an_hour_a_core"]
    arrays, search = (growth["model"][name] for name in ("arrays, MB", "exact search, s"))
    cores = backends["machine"]["cores"]
    return Measured(
        hourly,
        fmean(backends["folder, bytes/photo"].values()),
        1e6 * arrays["b"],
        (search["a"], search["b"]),
        {name: fitted(backends["measured"][name], cores) for name in BACKENDS},
        {
            int(rows): median(found["seconds"]["one"]["Resight"])
            for rows, found in speed.get("adapted", {}).items()
        },
    )


def fitted(measured: dict[str, dict[str, float]], cores: int) -> BackendModel:
    """Fit the model of a backend to its figures by the number of photos."""

    def factor(of: Callable[[float, dict[str, float]], float]) -> float:
        return fmean(of(float(size), figures) for size, figures in measured.items())

    return BackendModel(
        disk=factor(lambda _, f: f["disk, bytes/photo"]),
        memory=factor(lambda _, f: f["index, bytes/photo"]),
        upload=factor(lambda _, f: f["upload, photos/s"]),
        link=factor(lambda n, f: cores / f["index, photos/s"] / math.log(n)),
        search=factor(lambda n, f: f["search, ms, real queries"] / 1000 / math.log(n)),
    )


# The model


def machine_for(memory: float) -> str:
    """Return the smallest machine that an index fits in."""
    size = MEMORY
    while size * (1 - RESERVED) < memory / 1e9 and size <= LARGEST:
        size *= 2
    return f"1 of {size:,} GB" if size <= LARGEST else "none"


def shards(engine: BackendModel, photos: int) -> int:
    """Return the number of machines over which an index must be spread to fit in memory."""
    return math.ceil(engine.memory * photos / (1e9 * MEMORY * (1 - RESERVED)))


def link_hours(engine: BackendModel, photos: float) -> float:
    """Return the hours of index construction on one machine."""
    return engine.link * photos * math.log(photos) / CORES / 3600


# The tables


def tables(measured: Measured) -> list[str]:
    """Return the tables of the page, in order."""
    builders = [table_of_bytes, table_of_describing, table_of_clusters, table_of_backends]
    if measured.adapted:
        builders.append(table_of_adapted)
    return [table(measured) for table in builders]


def table_of_bytes(measured: Measured) -> str:
    """Lay out the measured bytes per photo."""
    backends = measured.backends
    rows = [
        ("on the disk, bytes", measured.folder_disk, *(e.disk for e in backends.values())),
        ("read by searches, bytes", measured.folder_memory, *(e.memory for e in backends.values())),
    ]
    cells = [[name, *(f"{value:,.0f}" for value in values)] for name, *values in rows]
    postgres = backends["PostgreSQL"]
    cells.append(["uploaded in a second", "", f"{postgres.upload:,.0f}", ""])
    return markdown(["for each photo", "folder", *backends], cells)


def table_of_describing(measured: Measured) -> str:
    """Lay out measured photos per hour, and core-hours."""
    rows = [
        [how, f"{hourly:,.0f}", *(number(size / hourly) for size in SIZES)]
        for how, hourly in measured.hourly.items()
    ]
    sizes = (f"core-hours for {size:,}" for size in SIZES)
    return markdown(["described by", "photos an hour and core", *sizes], rows)


def table_of_clusters(measured: Measured) -> str:
    """Lay out the hours of feature extraction on clusters."""
    hourly = CORES * next(iter(measured.hourly.values()))
    rows = [
        [f"{machines:,}", *(number(size / hourly / machines) for size in SIZES)]
        for machines in CLUSTERS
    ]
    return markdown(["machines", *(f"hours for {size:,}" for size in SIZES)], rows)


def table_of_backends(measured: Measured) -> str:
    """Lay out the resources of storage and search."""
    rows = []
    for size in SIZES:
        begin, each = measured.folder_search
        memory = measured.folder_memory * size
        place = [f"{size:,}", "folder", gigabytes(measured.folder_disk * size), gigabytes(memory)]
        rows.append([*place, machine_for(memory), "", "", number(1000 * (begin + each * size))])
        for name, engine in measured.backends.items():
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
    return markdown([*head, "search, ms"], rows)


def table_of_adapted(measured: Measured) -> str:
    """Lay out memory and search of adapted descriptors; time is that of the most photos, scaled."""
    photos, taken = max(measured.adapted.items())
    record = measured.folder_disk - PAPER_BYTES - measured.folder_memory  # path, time and so on
    rows = [
        [
            f"{size:,}",
            gigabytes((ADAPTED_BYTES + record + EVIDENCE_BYTES) * size),
            gigabytes(ADAPTED_VALUES * 4 * size),
            gigabytes(ADAPTED_VALUES * size),
            machine_for(ADAPTED_VALUES * 5 * size),
            number(1000 * taken * size / photos),
        ]
        for size in SIZES
    ]
    head = ["photos", "disk, GB", "values, GB", "8-bit codes, GB", "machine", "search, ms"]
    return markdown(head, rows)


def number(value: float) -> str:
    """Format a number with two significant digits."""
    rounded = float(f"{value:.1e}")
    return f"{rounded:,.{max(0, 1 - math.floor(math.log10(rounded)))}f}"


def gigabytes(value: float) -> str:
    """Format bytes in GB."""
    return number(value / 1e9)


if __name__ == "__main__":
    main()
