"""Commands that create, update, check and copy collections."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from resight.cli import options as opt
from resight.cli.options import argument, option
from resight.config import BackendConfig


def index(
    photos: Annotated[
        list[Path],
        argument(
            "PHOTOS...", "Folders, photos, s3://BUCKET/FOLDER, or @FILE with one path per line."
        ),
    ],
    collection: opt.Collection,
    config: opt.Config = None,
    prune: Annotated[bool, option("Forget photos that are gone.", "--prune")] = False,
    prune_most: Annotated[bool, option("Even if most are gone.", "--prune-most")] = False,
    rehash: Annotated[bool, option("Read unchanged files, too.", "--rehash")] = False,
    strict: Annotated[bool, option("Fail if a photo does.", "--strict")] = False,
    approximate: Annotated[
        bool | None, option("Build an approximate index.", show_default="from 100k")
    ] = None,
    evidence: Annotated[
        bool | None,
        option("Keep local features to decide by.", "--evidence/--no-evidence"),
    ] = None,
    workers: Annotated[int, option("Threads that decode photos.", metavar="N", min=1)] = 1,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
    precision: opt.Precision = None,
    cam: opt.Cam = None,
    on: Annotated[
        str | None,
        option(
            "Extract on ray, ray://HEAD:10001 or ray:HEAD:6379.",
            metavar="ADDRESS",
            show_default="this machine",
            panel=opt.CLUSTER,
        ),
    ] = None,
    segments: Annotated[
        Path | None,
        option("Keep the extracted segments here.", metavar="FOLDER", panel=opt.CLUSTER),
    ] = None,
) -> None:
    """Index folders of photos; re-run to update."""
    from resight.cli import output
    from resight.cli.app import INTERRUPTED
    from resight.indexing.pipeline import index
    from resight.memory import keep_heap_small

    keep_heap_small()
    with output.progress() as progress:
        run = index(
            photos,
            collection,
            config=config,
            cam=cam,
            precision=precision,
            model=opt.model_options(weights, runtime, device),
            workers=workers,
            prune=prune,
            prune_most=prune_most,
            rehash=rehash,
            approximate=approximate,
            evidence=evidence,
            on=on,
            segments=segments,
            progress=progress,
        )
    output.print_index_run(run, collection)
    if run.report.interrupted:
        sys.exit(INTERRUPTED)  # not through `main`: the message has been printed
    if strict and run.report.failed:
        raise typer.Exit(3)


def merge(
    segments: Annotated[list[Path], argument("SEGMENTS...", "Segments, or folders of them.")],
    collection: opt.Collection,
) -> None:
    """Merge cluster segments into a collection (idempotent)."""
    from resight.cli import output
    from resight.indexing.cluster.merge import merge

    with output.progress() as progress:
        run = merge(segments, collection, progress=progress)
    output.print_index_run(run, collection)


def info(
    collection: opt.Place,
    settings: Annotated[
        bool, option("Also print all settings of the method.", "--settings")
    ] = False,
    json: opt.Json = False,
) -> None:
    """Show the size, method and failures of a collection."""
    from resight.backends.manage import info
    from resight.cli import output

    output.print_info(info(collection), settings=settings, as_json=json)


def move(
    source: Annotated[Path, argument("FROM", "Former folder or photo.")],
    target: Annotated[Path, argument("TO", "Where it is now.")],
    collection: opt.Collection,
) -> None:
    """Follow a folder that was moved or renamed, without reading its photos."""
    from resight.backends.manage import move
    from resight.cli import output

    moved = move(source, target, collection)
    output.say(f"{collection}: {output.count(moved, 'photo')} moved to {target}")


def remove(
    paths: Annotated[list[Path], argument("PATHS...", "Photos or folders.")],
    collection: opt.Place,
    everything: Annotated[
        bool, option("Remove even all photos of the collection.", "--everything")
    ] = False,
) -> None:
    """Remove photos from a collection; their files stay."""
    from resight.backends.manage import remove
    from resight.cli import output

    removed = remove(paths, collection, everything=everything)
    output.say(f"removed {output.count(removed, 'photo')} from {collection}")


def check(
    collection: opt.Collection,
    sample: Annotated[
        str | None,
        option("Check the next N-th; N runs check all.", metavar="1/N", show_default="all"),
    ] = None,
    duration: Annotated[
        str | None,
        option("Stop then; the next run goes on there.", "--for", metavar="30s|10m|2h"),
    ] = None,
    read_photos: Annotated[
        bool, option("Read the photos too, and list damaged ones.", "--read-photos")
    ] = False,
    json: opt.Json = False,
) -> None:
    """Verify the integrity of a collection; rebuild damaged indexes.

    Exit status: 0 intact, 1 damaged (now repaired as printed), 2 not checked,

    3 the collection is intact, but photos are damaged.
    """
    from resight.cli import output
    from resight.collection.integrity import check

    report = check(
        collection,
        sample=1.0 if sample is None else opt.parse_share(sample),
        seconds=None if duration is None else opt.parse_duration(duration),
        read_photos=read_photos,
    )
    if json:
        output.print_json(report.to_dict())
    else:
        output.print_check(report, collection)
    if not report.intact:
        raise typer.Exit(1)
    if report.rotted:
        raise typer.Exit(3)


def push(
    address: opt.Address,
    collection: opt.Collection,
    prune: Annotated[bool, option("Remove photos that the folder lacks.", "--prune")] = False,
    replace: Annotated[bool, option("Replace whatever is stored there.", "--replace")] = False,
    compact: Annotated[
        bool, option("Send only the compared values; cannot be pulled.", "--compact")
    ] = False,
    links: Annotated[int, opt.backend_option("links")] = BackendConfig.links,
    build_effort: Annotated[int, opt.backend_option("build_effort")] = BackendConfig.build_effort,
    search_effort: Annotated[
        int, opt.backend_option("search_effort")
    ] = BackendConfig.search_effort,
    half: Annotated[bool, opt.backend_option("half")] = BackendConfig.half,
    build_memory: Annotated[int, opt.backend_option("build_memory")] = BackendConfig.build_memory,
    shards: Annotated[int, opt.backend_option("shards")] = BackendConfig.shards,
    replicas: Annotated[int, opt.backend_option("replicas")] = BackendConfig.replicas,
    oversampling: Annotated[float, opt.backend_option("oversampling")] = BackendConfig.oversampling,
) -> None:
    """Push a collection to a database; re-run to update or resume."""
    from resight.backends.transfer import push
    from resight.cli import output

    config = BackendConfig(
        links=links,
        build_effort=build_effort,
        search_effort=search_effort,
        half=half,
        build_memory=build_memory,
        shards=shards,
        replicas=replicas,
        oversampling=oversampling,
    )
    with output.progress() as progress:
        done = push(
            collection,
            address,
            config,
            compact=compact,
            prune=prune,
            replace=replace,
            progress=progress,
        )
    output.print_transfer(done)


def pull(
    address: opt.Address,
    collection: opt.Collection,
    empty: Annotated[
        bool, option("Pull no photos, only the method to index more.", "--empty")
    ] = False,
) -> None:
    """Pull a collection from a database into a folder; re-run to resume."""
    from resight.backends.transfer import pull
    from resight.cli import output

    with output.progress() as progress:
        done = pull(address, collection, empty=empty, progress=progress)
    output.print_transfer(done)
