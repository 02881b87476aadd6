"""Commands that compare methods on a benchmark: `benchmark run`, `verify` and `convert`."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resight.cli import options as opt
from resight.cli.options import argument, option
from resight.errors import UsageError

if TYPE_CHECKING:
    from resight.evaluation.benchmark import BenchmarkRun
    from resight.evaluation.datasets import Verification
    from resight.evaluation.datasets.dataset import Dataset

REPORTS = "report.html", "report.md", "report.json"
LISTED = 10
"""Number of missing photos that are listed; the rest are counted."""

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
    decisions: Annotated[
        bool,
        option("Also decide which photos show the same thing, and measure that.", "--decisions"),
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
    from resight.cli import output
    from resight.evaluation.benchmark import run_benchmark, select_methods

    names = select_methods(methods, table)
    ranked = _read(dataset, switch)
    fitted_on = None if fit_on is None else _read(fit_on, None)
    if out is not None:
        _check_folder(out)
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
            decisions=decisions,
            progress=progress,
        )
    if out is not None:
        _write_report(done, table, out)
    _print_run(done, table, as_json=json)


@benchmark.command()
def verify(
    dataset: DatasetName,
    folder: Annotated[Path | None, argument("[FOLDER]", "Folder, if not given after NAME.")] = None,
    switch: Switches = None,
) -> None:
    """Check a local benchmark; list missing files and where to download them."""
    from resight.evaluation.datasets import parse_dataset, verify_dataset

    name, place = parse_dataset(dataset if folder is None else f"{dataset}:{folder}")
    report = verify_dataset(name, place, _switches(switch))
    _print_verification(report)
    if not report.complete:
        raise typer.Exit(1)


@benchmark.command()
def convert(
    pickle: Annotated[Path, argument("GND.PKL", "Ground truth of plain values.")],
    target: Annotated[Path, argument("GND.JSON", "File to write.")],
) -> None:
    """Convert pickled ground truth to JSON, which is then read instead."""
    from resight.cli import output
    from resight.evaluation.datasets.landmarks import convert_to_json

    convert_to_json(pickle, target)
    output.say(f"{target}: written")


def _read(dataset: str, switch: list[str] | None) -> "Dataset":
    from resight.evaluation.datasets import parse_dataset, read_dataset

    return read_dataset(*parse_dataset(dataset), _switches(switch))


def _switches(texts: list[str] | None) -> dict[str, str]:
    return {name: str(value) for name, value in opt.parse_settings(texts, "switch").items()}


def _print_run(run: "BenchmarkRun", table: int | None, *, as_json: bool) -> None:
    """Print the scores of the methods next to those of their papers."""
    from rich.table import Table

    from resight.cli.output import count, print_json, print_table, say
    from resight.evaluation.benchmark import report

    if as_json:
        print_json(report.as_json(run, table))
        return
    measures = run.dataset.measures
    scores = Table(box=None, pad_edge=False)
    scores.add_column("method")
    heads = ("values", *(measure.name for measure in measures), "paper", "difference")
    for head in (*heads, *report.decision_heads(run)):
        scores.add_column(head, justify="right")
    for row in report.rows(run, table):
        number, conditions = report.published_text(row)
        paper = f"{number} ({conditions})" if number else ""
        figures = [report.value_text(row.values[measure.name], measure) for measure in measures]
        scores.add_row(
            row.method,
            str(row.dimensions),
            *figures,
            paper,
            report.difference_text(row, measures[0]),
            *report.decision_texts(row),
        )
    for method, needs in run.skipped.items():
        scores.add_row(method, needs)
    print_table(scores)
    say(f"{count(run.dataset.queries, 'query')}, {count(run.dataset.names, 'photo')}")
    for effect in report.effects(run):
        say(effect)


def _check_folder(folder: Path) -> None:
    """Create the folder of a report, and check that it is writable, before long work.

    Raises:
        UsageError: it cannot be written to, or has another report, which would be overwritten.
    """
    from resight.files import write_errors

    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        present = [name for name in REPORTS if (folder / name).exists()]
        if present and not _is_report(folder / REPORTS[-1]):
            raise UsageError(f"{folder / present[0]}: exists, and is no report of a benchmark")


def _is_report(file: Path) -> bool:
    """Return whether an earlier run wrote a report's JSON file."""
    try:
        return {"dataset", "methods"} <= set(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _write_report(run: "BenchmarkRun", table: int | None, folder: Path) -> None:
    """Write the report as HTML, Markdown and JSON, ranked lists (TREC, Holidays) and qrels."""
    from resight.cli.output import say
    from resight.evaluation.benchmark import report
    from resight.evaluation.benchmark.ranking import write_holidays, write_qrels, write_trec
    from resight.files import write_output
    from resight.photos import escape_undecodable

    texts = (
        escape_undecodable(report.html_report(run, table)),
        escape_undecodable(report.markdown(run, table)),
        json.dumps(report.as_json(run, table), indent=1),
    )
    for name, text in zip(REPORTS, texts, strict=True):
        with write_output(folder / name) as unfinished:
            unfinished.write_text(text, "utf-8")
    for result in run.results:
        lists = report.ranked_lists(run, result)
        write_trec(lists, folder / f"{result.method}.trec", result.method)
        write_holidays(lists, folder / f"{result.method}.ranks")
    for judgement in dict.fromkeys(measure.judgement for measure in run.dataset.measures):
        write_qrels(run.dataset, folder / f"{judgement.replace(' ', '-')}.qrels", judgement)
    say(f"{folder}: report.html, report.md, report.json, {len(run.results)} ranked lists, qrels")


def _print_verification(verification: "Verification") -> None:
    """Print which files of a benchmark are missing, and where to download them."""
    from resight.cli.output import count

    dataset, origin = verification.dataset, verification.origin
    photos = count(dataset.names, "photo")
    print(f"{dataset.name}: {photos}, {count(dataset.queries, 'query')}")
    if origin is not None:
        official_photos, official_queries = dataset.official
        print(f"official: {official_photos} photos, {official_queries} queries")
        print(f"download: {origin.url} ({origin.terms})")
        print(f"cite: {origin.citation}")
    for title, lines in (
        ("missing", list(dataset.missing)),
        ("unreadable", [f"{path}: {reason}" for path, reason in verification.unreadable]),
        ("unexpected, not ranked", list(map(str, verification.unexpected))),
    ):
        if lines:
            print(f"{title}: {len(lines)}")
            for line in lines[:LISTED]:
                print(f"  {line}")
    effect = dataset.effect_of_missing()
    if effect:
        print(effect)
    print("complete" if verification.complete else "incomplete")
