"""The command line: parse, call `pipeline`, print.

Answers go to stdout, everything else to stderr. Exit status 0 is success, 2 an error in plain
words, 3 (`--strict`) photos that could not be read, 1 a collection that `check` found damaged,
130 an interrupt.
"""

import os
import sys
import warnings
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from resight.cli import benchmark as cli_benchmark
from resight.cli import serve as cli_web
from resight.cli import transfer as cli_transfer
from resight.cli.options import (
    Cam,
    Collection,
    Config,
    Device,
    Json,
    Place,
    Precision,
    Rerank,
    RerankWith,
    Runtime,
    Verify,
    VerifyBy,
    VerifyGeometry,
    Weights,
    chosen_config,
    model_options,
    selection_option,
)
from resight.config import SearchConfig
from resight.errors import ResightError

INTERRUPTED = 130
TIMES = ["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
"""How a time may be written; its first moment is meant."""

app = typer.Typer(
    name="resight",
    help="Find the photos that show the very same object, building or scene.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def index(
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTOS...",
            help="Folders, photos, s3://BUCKET/FOLDER, and @FILE for a list of them.",
            show_default=False,
        ),
    ],
    collection: Collection,
    weights: Weights = None,
    config: Config = None,
    method: Annotated[
        str | None,
        typer.Option(help="cnn, or sift-vlad, which needs no weights.", show_default="cnn"),
    ] = None,
    cam: Cam = None,
    precision: Precision = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Threads that prepare photos.")] = 1,
    prune: Annotated[bool, typer.Option("--prune", help="Forget photos that are gone.")] = False,
    approximate: Annotated[
        bool | None,
        typer.Option(
            help="An approximate index for fast searches in a very large collection.",
            show_default="from 100,000 photos on",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="A Ray cluster to describe on: ray, ray://HEAD:10001 or ray:HEAD:6379.",
            show_default="this machine",
        ),
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(help="Keep here what the cluster described.", show_default=False),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 when a photo cannot be read.")
    ] = False,
) -> None:
    """Bring a collection up to date with folders of photos; run it again after any change."""
    from resight.cli import output
    from resight.indexing import pipeline
    from resight.memory import keep_heap_small

    keep_heap_small()
    with output.progress() as progress:
        run = pipeline.index(
            photos,
            collection,
            config=chosen_config(config, method),
            cam=cam,
            precision=precision,
            model=model_options(weights, runtime, device),
            workers=workers,
            prune=prune,
            approximate=approximate,
            on=on,
            segments=segments,
            progress=progress,
        )
    output.print_index_run(run, collection)
    if run.report.interrupted:
        sys.exit(INTERRUPTED)  # past `main`: how to go on has been said
    if strict and run.report.failed:
        raise typer.Exit(3)


@app.command()
def merge(
    segments: Annotated[
        list[Path],
        typer.Argument(
            metavar="SEGMENTS...", help="Segments, and folders of them.", show_default=False
        ),
    ],
    collection: Collection,
) -> None:
    """Bring segments that a cluster described into a collection; again changes nothing."""
    from resight.cli import output
    from resight.indexing.cluster import merge as home

    with output.progress() as progress:
        run = home.merge(segments, collection, progress=progress)
    output.print_index_run(run, collection)


@app.command()
def fit(
    collection: Collection,
    method: Annotated[str | None, selection_option("method")] = None,
    features: Annotated[int | None, selection_option("features")] = None,
    variance: Annotated[float | None, selection_option("variance")] = None,
    components: Annotated[int | None, selection_option("components")] = None,
    restarts: Annotated[int | None, selection_option("restarts")] = None,
    absolute: Annotated[bool | None, selection_option("absolute")] = None,
    renormalize: Annotated[bool | None, selection_option("renormalize")] = None,
    seed: Annotated[int | None, selection_option("seed")] = None,
    max_components: Annotated[int | None, selection_option("max_components")] = None,
    shrinkage: Annotated[float | None, selection_option("shrinkage")] = None,
    prior: Annotated[float | None, selection_option("prior")] = None,
    whiten: Annotated[bool | None, selection_option("whiten")] = None,
    power: Annotated[float | None, selection_option("power")] = None,
    min_photos: Annotated[int | None, selection_option("min_photos")] = None,
    fallback: Annotated[str | None, selection_option("fallback")] = None,
    combine_with: Annotated[str | None, selection_option("combine_with")] = None,
    weight: Annotated[float | None, selection_option("weight")] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Fit on this collection instead.", show_default=False),
    ] = None,
) -> None:
    """Fit the selection or whitening anew; options left out are the collection's own."""
    from resight.cli import output
    from resight.indexing import fitting as home

    with output.progress() as progress:
        run = home.fit(
            collection,
            source=source,
            progress=progress,
            method=method,
            features=features,
            variance=variance,
            components=components,
            restarts=restarts,
            absolute=absolute,
            renormalize=renormalize,
            seed=seed,
            max_components=max_components,
            shrinkage=shrinkage,
            prior=prior,
            whiten=whiten,
            power=power,
            min_photos=min_photos,
            fallback=fallback,
            combine_with=combine_with,
            weight=weight,
        )
    output.say(f"kept {run.features} of {run.dimensions} values, fitted on {run.photos} photos")


@app.command()
def search(
    query: Annotated[
        Path, typer.Argument(metavar="PHOTO", help="The photo to search with.", show_default=False)
    ],
    collection: Place,
    k: Annotated[int, typer.Option("-k", help="How many results.")] = SearchConfig.k,
    box: Annotated[
        str | None,
        typer.Option(help="x,y,w,h: search with this region, in pixels.", show_default=False),
    ] = None,
    json: Json = False,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write a contact sheet of the results.", show_default=False),
    ] = None,
    verify: Verify = SearchConfig.verify,
    verify_by: VerifyBy = SearchConfig.verify_by,
    verify_geometry: VerifyGeometry = SearchConfig.verify_geometry,
    rerank: Rerank = SearchConfig.rerank,
    rerank_with: RerankWith = None,
    approximate: Annotated[
        bool,
        typer.Option("--approximate", help="Search by the approximate index, where there is one."),
    ] = SearchConfig.approximate,
    under: Annotated[
        Path | None,
        typer.Option(help="Among the photos in or below this folder alone.", show_default=False),
    ] = None,
    taken_from: Annotated[
        datetime | None,
        typer.Option(
            formats=TIMES, metavar="<date>", help="Taken then or later, as the camera says."
        ),
    ] = None,
    taken_before: Annotated[
        datetime | None, typer.Option(formats=TIMES, metavar="<date>", help="Taken earlier.")
    ] = None,
    min_side: Annotated[
        int | None,
        typer.Option(min=1, help="The shorter side has so many pixels.", show_default=False),
    ] = None,
    weights: Weights = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Find the photos of a collection that show the same thing as a photo."""
    from resight import output_files as targets
    from resight.backends.store import Filter
    from resight.cli import output
    from resight.photos.files import absolute
    from resight.searching import search as home

    if sheet is not None:
        targets.ensure_picture_writable(sheet)
    found = home.search(
        query,
        collection,
        SearchConfig.from_dict(
            {
                "k": k,
                "verify": verify,
                "verify_by": verify_by,
                "verify_geometry": verify_geometry,
                "approximate": approximate,
                "rerank": rerank,
                "rerank_with": rerank_with or [],
            }
        ),
        box=None if box is None else output.parse_box(box),
        where=Filter(under and absolute(under), taken_from, taken_before, min_side),
        model=model_options(weights, runtime, device),
    )
    if sheet is not None:
        output.write_sheet(found, sheet)
    output.print_results(found, as_json=json)


@app.command()
def describe(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTOS...", help="Photos and folders.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="The .npz file to write.", show_default=False)
    ],
    weights: Weights = None,
    config: Config = None,
    cam: Cam = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Write the descriptors of photos, before selection, as NumPy arrays."""
    from resight import output_files as targets
    from resight.cli import output
    from resight.indexing import describe as home

    targets.ensure_writable(out)
    with output.progress() as progress:
        described = home.describe(
            images,
            config=config,
            cam=cam,
            model=model_options(weights, runtime, device),
            progress=progress,
        )
    described.save(out)
    output.print_failures(described.failed)
    output.say(f"{out}: descriptors {described.descriptors.shape} of {len(described.paths)} photos")


@app.command()
def evaluate(
    groups: Annotated[
        Path,
        typer.Argument(
            metavar="GROUPS.JSON",
            help="{group: [paths beside it]}, or its folder.",
            show_default=False,
        ),
    ],
    collection: Place,
    rerank: Rerank = SearchConfig.rerank,
    rerank_with: RerankWith = None,
    verify: Verify = SearchConfig.verify,
    verify_by: VerifyBy = SearchConfig.verify_by,
    verify_geometry: VerifyGeometry = SearchConfig.verify_geometry,
    json: Json = False,
    weights: Weights = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Measure how well a collection finds known groups: mAP and N-S score."""
    from resight.cli import output
    from resight.evaluation import evaluate_collection as home

    fields = {
        "rerank": rerank,
        "rerank_with": rerank_with or [],
        "verify": verify,
        "verify_by": verify_by,
        "verify_geometry": verify_geometry,
    }
    with output.progress() as progress:
        evaluation = home.evaluate(
            groups,
            collection,
            SearchConfig.from_dict(fields),
            model=model_options(weights, runtime, device),
            progress=progress,
        )
    output.print_evaluation(evaluation, as_json=json)


@app.command()
def info(collection: Place, json: Json = False) -> None:
    """Say what a collection is, what is in it, and which photos failed."""
    from resight.backends import info as home
    from resight.cli import output

    output.print_info(home.info(collection), as_json=json)


@app.command()
def remove(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATHS...", help="Photos or folders.", show_default=False),
    ],
    collection: Place,
) -> None:
    """Forget photos; the files themselves are left alone."""
    from resight.cli import output
    from resight.indexing import remove as home

    removed = home.remove(paths, collection)
    output.say(f"removed {len(removed)} photos from {collection}")


@app.command()
def check(collection: Collection) -> None:
    """Read everything in a collection; repair what is derived."""
    from resight.cli import output
    from resight.collection import integrity

    report = integrity.check(collection)
    output.print_check(report, collection)
    if report.problems:
        raise typer.Exit(1)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to put it.")] = Path(
        "resight-demo"
    ),
    weights: Weights = None,
    config: Annotated[str, typer.Option(help="paper or fast.")] = "fast",
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Draw a small collection, index it, search in it, and show the result."""
    from resight.cli import output
    from resight.demo.run import run_demo

    with output.progress() as progress:
        result = run_demo(
            folder, config=config, model=model_options(weights, runtime, device), progress=progress
        )
    output.print_demo(result)


for command in (
    *(cli_web.serve, cli_web.groups, cli_web.explain),
    *(cli_transfer.push, cli_transfer.pull, cli_benchmark.methods),
):
    app.command()(command)
app.add_typer(cli_benchmark.benchmark, name="benchmark")


def main() -> None:
    """Run the command line; every error that has a plain text is one line on stderr."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # remarks on odd files, amid the output
    try:
        status = app(sys.argv[1:] or ["--help"], prog_name="resight", standalone_mode=False)
        sys.stdout.flush()
    except ResightError as error:
        status = _fail(_message(error))
    except _CommandLineError as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "resight"
        status = _fail(f"{error.format_message()} (see {command} --help)")  # type: ignore[attr-defined]
    except OSError as error:
        status = _fail(f"{error.filename or 'input/output'}: {error.strerror or error}")
        _discard_output()
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    if status == INTERRUPTED:  # typer turns Ctrl-C into this status, without a word
        print("resight: stopped; run the same command again to go on", file=sys.stderr)
    sys.exit(status if isinstance(status, int) else 0)


_CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]
"""Typer exports only this class's descendant; it is the base of all its errors of usage."""


def _message(error: ResightError) -> str:
    """Return the message of an error with the option in place of the parameter's name."""
    if error.parameter is None:
        return str(error)
    return f"--{error.parameter.replace('_', '-')}{str(error).removeprefix(error.parameter)}"


def _fail(message: str) -> int:
    print(f"resight: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _discard_output() -> None:
    """Nothing more on stdout, where it cannot be written: the interpreter would try at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
