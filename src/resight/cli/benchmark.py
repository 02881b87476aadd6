"""Commands that compare methods on a benchmark: `benchmark run`, `verify` and `convert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resight.cli import options as opt
from resight.cli.options import argument, option
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
    argument(
        "NAME:FOLDER",
        "groups, holidays, ukb, oxford5k, paris6k, roxford5k or rparis6k, and its folder.",
    ),
]
Switches = Annotated[
    list[str] | None,
    option(
        "Protocol variant: query=full or both, queries=first, database=others, upright=FILE.",
        "--switch",
        metavar="NAME=VALUE",
    ),
]


@benchmark.command()
def run(
    dataset: DatasetName,
    methods: Annotated[
        str | None, option("Comma-separated names; see resight methods.", metavar="NAMES")
    ] = None,
    table: Annotated[
        int | None, option("The methods of the paper's table 1 to 5.", metavar="N")
    ] = None,
    switch: Switches = None,
    fit_on: Annotated[
        str | None,
        option(
            "Fit selections, whitenings and vocabularies on these photos.",
            metavar="NAME:FOLDER",
            show_default="the ranked photos",
        ),
    ] = None,
    out: Annotated[
        Path | None, option("Write reports and ranked lists.", "--output", "-o", metavar="FOLDER")
    ] = None,
    descriptors: Annotated[
        bool, option("Also write the compared descriptors (.npz).", "--descriptors")
    ] = False,
    cache: Annotated[
        Path | None, option("Descriptor cache.", metavar="FOLDER", show_default="the user's cache")
    ] = None,
    json: opt.Json = False,
    weights: Annotated[
        list[Path] | None,
        option("Network weights; repeat for each network.", metavar="FILE", panel=opt.NETWORK),
    ] = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Evaluate several methods; each photo passes the network once."""
    from resight.cli import benchmark_output, output
    from resight.evaluation.benchmark.run import run_benchmark, select_methods

    names = select_methods(methods, table)
    ranked = _read(dataset, switch)
    fitted_on = None if fit_on is None else _read(fit_on, None)
    if out is not None:
        benchmark_output.check_folder(out)
    elif descriptors:
        raise UsageError("needs --output FOLDER", parameter="descriptors")
    with output.progress() as progress:
        done = run_benchmark(
            ranked,
            names,
            fit_on=fitted_on,
            cache=cache,
            model=opt.benchmark_model_options(weights, runtime, device),
            skip_unavailable=table is not None,
            descriptors=out if descriptors else None,
            progress=progress,
        )
    if out is not None:
        benchmark_output.write_report(done, table, out)
    benchmark_output.print_run(done, table, as_json=json)


@benchmark.command()
def verify(
    dataset: DatasetName,
    folder: Annotated[Path | None, argument("[FOLDER]", "Folder, if not given after NAME.")] = None,
    switch: Switches = None,
) -> None:
    """Check a local benchmark; list missing files and where to download them."""
    from resight.cli import benchmark_output
    from resight.evaluation.datasets import parse_dataset, verify_dataset

    name, place = parse_dataset(dataset if folder is None else f"{dataset}:{folder}")
    report = verify_dataset(name, place, _switches(switch))
    benchmark_output.print_verification(report)
    if not report.whole:
        raise typer.Exit(1)


@benchmark.command()
def convert(
    pickle: Annotated[Path, argument("GND.PKL", "Ground truth of plain values.")],
    json: Annotated[Path, argument("GND.JSON", "File to write.")],
) -> None:
    """Convert pickled ground truth to JSON, which is then read instead."""
    from resight.cli import output
    from resight.evaluation.datasets.landmarks import convert_to_json

    convert_to_json(pickle, json)
    output.say(f"{json}: written")


def _read(dataset: str, switch: list[str] | None) -> "Dataset":
    from resight.evaluation.datasets import parse_dataset, read_dataset

    return read_dataset(*parse_dataset(dataset), _switches(switch))


def _switches(texts: list[str] | None) -> dict[str, str]:
    return {name: str(value) for name, value in opt.parse_settings(texts, "switch").items()}
