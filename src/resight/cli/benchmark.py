"""The commands for research: `methods`, `benchmark run` and `benchmark verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resight.cli.options import Device, Json, Runtime, several_weights
from resight.errors import UsageError

if TYPE_CHECKING:
    from resight.evaluation.datasets.dataset import Dataset

benchmark = typer.Typer(
    help="Compare methods on a benchmark, by its official protocol.",
    rich_markup_mode=None,
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
        help="A choice of the protocol: query=full or both, queries=first, database=others, "
        "upright=FILE.",
        show_default=False,
    ),
]


def methods(json: Json = False) -> None:
    """List the methods by name, with their papers and the papers' numbers."""
    from resight.cli import benchmark_output as output_benchmark

    output_benchmark.print_methods(as_json=json)


@benchmark.command()
def run(
    dataset: DatasetName,
    methods: Annotated[
        str | None, typer.Option(help="Names, with commas; see resight methods.")
    ] = None,
    table: Annotated[
        int | None, typer.Option(help="Instead: the methods of the paper's table 1 to 5.")
    ] = None,
    switch: Switches = None,
    fit_on: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:FOLDER",
            help="Fit selections, whitenings and vocabularies on these photos.",
            show_default="the ranked ones",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A folder for report.html, report.md, report.json and ranked lists.",
            show_default=False,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where descriptors are kept.", show_default="the user's cache"),
    ] = None,
    descriptors: Annotated[
        bool,
        typer.Option(
            "--descriptors",
            help="With --output: also METHOD.npz, the descriptors as they are compared.",
        ),
    ] = False,
    json: Json = False,
    weights: Annotated[
        list[Path] | None,
        typer.Option(
            help="Network weights, .pth or .safetensors; again for those of another network.",
            show_default=False,
        ),
    ] = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Rank a benchmark's photos by several methods; the network sees every photo once."""
    from resight.cli import benchmark_output as output_benchmark
    from resight.cli import output
    from resight.evaluation.benchmark.run import chosen_methods, run_benchmark

    names = chosen_methods(methods, table)
    read, others = _read(dataset, switch), None if fit_on is None else _read(fit_on, None)
    if out is not None:
        output_benchmark.check_folder(out)
    elif descriptors:
        raise UsageError("--descriptors: goes with --output FOLDER, where they are written")
    with output.progress() as progress:
        found = run_benchmark(
            read,
            names,
            fit_on=others,
            cache=cache,
            model=several_weights(weights, runtime, device),
            leave_out=table is not None,
            descriptors=out if descriptors else None,
            progress=progress,
        )
    if out is not None:
        output_benchmark.write_report(found, table, out)
    output_benchmark.print_run(found, table, as_json=json)


@benchmark.command()
def verify(
    dataset: DatasetName,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Or the folder here.", show_default=False),
    ] = None,
    switch: Switches = None,
) -> None:
    """Say whether a benchmark on the disk is whole, what is missing, and where it can be had."""
    from resight.cli import benchmark_output as output_benchmark
    from resight.evaluation.datasets.integrity import verify as verify_dataset
    from resight.evaluation.datasets.registry import parse_dataset

    name, place = parse_dataset(dataset if folder is None else f"{dataset}:{folder}")
    report = verify_dataset(name, place, _switches(switch))
    output_benchmark.print_verification(report)
    if not report.whole:
        raise typer.Exit(1)


@benchmark.command()
def convert(
    pickle: Annotated[
        Path, typer.Argument(metavar="GND.PKL", help="Of plain values.", show_default=False)
    ],
    json: Annotated[
        Path, typer.Argument(metavar="GND.JSON", help="The file to write.", show_default=False)
    ],
) -> None:
    """Write a pickle of the ground truth as JSON, once: it is read in its place from then on."""
    from resight.cli import output
    from resight.evaluation.datasets.ground_truth_io import convert_to_json

    convert_to_json(pickle, json)
    output.say(f"{json}: written")


def _read(dataset: str, switch: list[str] | None) -> "Dataset":
    from resight.evaluation.datasets.registry import parse_dataset, read_dataset

    return read_dataset(*parse_dataset(dataset), _switches(switch))


def _switches(given: list[str] | None) -> dict[str, str]:
    switches = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--switch {text}: write it as NAME=VALUE")
        switches[name] = value
    return switches
