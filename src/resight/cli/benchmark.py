"""Commands that compare methods on a benchmark: `benchmark run`, `verify` and `convert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resight.cli.options import (
    NETWORK,
    Device,
    Json,
    Runtime,
    benchmark_model_options,
    parse_settings,
)
from resight.errors import UsageError

if TYPE_CHECKING:
    from resight.evaluation.datasets.dataset import Dataset

benchmark = typer.Typer(
    help="Compare methods on a benchmark, by its official protocol.",
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

DatasetName = Annotated[
    str,
    typer.Argument(
        metavar="NAME:FOLDER",
        help="groups, holidays, ukb, oxford5k, paris6k, roxford5k or rparis6k, and its folder.",
        show_default=False,
    ),
]
Switches = Annotated[
    list[str] | None,
    typer.Option(
        "--switch",
        metavar="NAME=VALUE",
        help="Protocol variant: query=full or both, queries=first, database=others, upright=FILE.",
        show_default=False,
    ),
]


@benchmark.command()
def run(
    dataset: DatasetName,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Comma-separated names; see resight methods.", show_default=False
        ),
    ] = None,
    table: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="The methods of the paper's table 1 to 5.", show_default=False
        ),
    ] = None,
    switch: Switches = None,
    fit_on: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:FOLDER",
            help="Fit selections, whitenings and vocabularies on these photos.",
            show_default="the ranked photos",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Write reports and ranked lists.",
            show_default=False,
        ),
    ] = None,
    descriptors: Annotated[
        bool, typer.Option("--descriptors", help="Also write the compared descriptors (.npz).")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Descriptor cache.", show_default="the user's cache"),
    ] = None,
    json: Json = False,
    weights: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Network weights; repeat for each network.",
            show_default=False,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Evaluate several methods; each photo passes the network once."""
    from resight.cli import benchmark_output, output
    from resight.evaluation.benchmark.run import chosen_methods, run_benchmark

    names = chosen_methods(methods, table)
    read, others = _read(dataset, switch), None if fit_on is None else _read(fit_on, None)
    if out is not None:
        benchmark_output.check_folder(out)
    elif descriptors:
        raise UsageError("needs --output FOLDER", parameter="descriptors")
    with output.progress() as progress:
        done = run_benchmark(
            read,
            names,
            fit_on=others,
            cache=cache,
            model=benchmark_model_options(weights, runtime, device),
            leave_out=table is not None,
            descriptors=out if descriptors else None,
            progress=progress,
        )
    if out is not None:
        benchmark_output.write_report(done, table, out)
    benchmark_output.print_run(done, table, as_json=json)


@benchmark.command()
def verify(
    dataset: DatasetName,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Or the folder here.", show_default=False),
    ] = None,
    switch: Switches = None,
) -> None:
    """Check a local benchmark; list missing files and where to download them."""
    from resight.cli import benchmark_output
    from resight.evaluation.datasets.integrity import verify_dataset
    from resight.evaluation.datasets.registry import parse_dataset

    name, place = parse_dataset(dataset if folder is None else f"{dataset}:{folder}")
    report = verify_dataset(name, place, _switches(switch))
    benchmark_output.print_verification(report)
    if not report.whole:
        raise typer.Exit(1)


@benchmark.command()
def convert(
    pickle: Annotated[
        Path,
        typer.Argument(metavar="GND.PKL", help="Ground truth of plain values.", show_default=False),
    ],
    json: Annotated[
        Path, typer.Argument(metavar="GND.JSON", help="File to write.", show_default=False)
    ],
) -> None:
    """Convert pickled ground truth to JSON, which is then read instead."""
    from resight.cli import output
    from resight.evaluation.datasets.ground_truth_io import convert_to_json

    convert_to_json(pickle, json)
    output.say(f"{json}: written")


def _read(dataset: str, switch: list[str] | None) -> "Dataset":
    from resight.evaluation.datasets.registry import parse_dataset, read_dataset

    return read_dataset(*parse_dataset(dataset), _switches(switch))


def _switches(texts: list[str] | None) -> dict[str, str]:
    return {name: str(value) for name, value in parse_settings(texts, "switch").items()}
