"""What the commands for research show and write."""

import json
from pathlib import Path

from rich.table import Table

from resight.cli.output import print_json, print_table, say
from resight.evaluation.benchmark.html_report import page
from resight.evaluation.benchmark.report import as_json as report_json
from resight.evaluation.benchmark.report import (
    effects,
    markdown,
    published_on,
    ranked_lists,
    rows,
    shown,
    shown_difference,
)
from resight.evaluation.benchmark.run import BenchmarkRun
from resight.evaluation.datasets.integrity import Verification
from resight.evaluation.datasets.ranked_lists import write_holidays, write_qrels, write_trec
from resight.methods.catalogue import METHODS
from resight.methods.spec import MethodSpec
from resight.output_files import write_errors
from resight.photos.paths import escape_undecodable

LISTED = 10
"""Missing photos that are named; the rest are counted."""


def print_methods(*, as_json: bool) -> None:
    """The methods by name."""
    if as_json:
        print_json({name: _plain(recipe) for name, recipe in METHODS.items()})
        return
    table = Table(box=None, pad_edge=False)
    for head in ("method", "what", "weights", "values", "tables", "published", "paper"):
        table.add_column(head, no_wrap=head in ("method", "weights"))
    for name, recipe in METHODS.items():
        numbers = ", ".join(
            f"{where} {value:g}" for where, value in recipe.published.scores.items()
        )
        with_ = f" ({recipe.published.conditions})" if recipe.published.conditions else ""
        table.add_row(
            name,
            recipe.title,
            recipe.weights or "none",
            recipe.values,
            ", ".join(map(str, recipe.published.tables)),
            numbers + with_,
            recipe.source,
        )
    print_table(table)


def print_run(run: BenchmarkRun, table: int | None, *, as_json: bool) -> None:
    """The methods' figures, the paper's beside them."""
    if as_json:
        print_json(report_json(run, table))
        return
    found, measures = rows(run, table), run.dataset.measures
    shown_table = Table(box=None, pad_edge=False)
    shown_table.add_column("method")
    for head in ("values", *(measure.name for measure in measures), "paper", "difference"):
        shown_table.add_column(head, justify="right")
    for row in found:
        paper = (
            "" if row.published is None else f"{row.published:g} ({published_on(row.published_on)})"
        )
        figures = [shown(row.values[measure.name], measure) for measure in measures]
        shown_table.add_row(
            row.method, str(row.dimensions), *figures, paper, shown_difference(row, measures[0])
        )
    for method, needs in run.left_out.items():
        shown_table.add_row(method, needs)
    print_table(shown_table)
    say(f"{len(run.dataset.queries)} queries, {len(run.dataset.names)} photos")
    for effect in effects(run):
        say(effect)


def check_folder(folder: Path) -> None:
    """Make the folder for a report, or refuse what cannot be one, before the work.

    Raises:
        UsageError: it is a file, or cannot be made or written.
    """
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()


def write_report(run: BenchmarkRun, table: int | None, folder: Path) -> None:
    """Page, Markdown, JSON, and every method's ranked lists in TREC's and Holidays' formats."""
    with write_errors(folder):
        for name, text in (("html", page(run, table)), ("md", markdown(run, table))):
            (folder / f"report.{name}").write_text(escape_undecodable(text), "utf-8")
        (folder / "report.json").write_text(json.dumps(report_json(run, table), indent=1), "utf-8")
    for result in run.results:
        lists = ranked_lists(run, result)
        write_trec(lists, folder / f"{result.method}.trec", result.method)
        write_holidays(lists, folder / f"{result.method}.ranks")
    for judgement in dict.fromkeys(measure.judgement for measure in run.dataset.measures):
        write_qrels(run.dataset, folder / f"{judgement.replace(' ', '-')}.qrels", judgement)
    say(f"{folder}: report.html, report.md, report.json, {len(run.results)} ranked lists, qrels")


def print_verification(report: Verification) -> None:
    """What is there of a benchmark, what is not, and where to get it."""
    dataset, origin = report.dataset, report.origin
    print(f"{dataset.name}: {len(dataset.names)} photos, {len(dataset.queries)} queries")
    if origin is not None:
        photos, queries = dataset.official
        print(f"officially: {photos} photos, {queries} queries")
        print(f"to be had by hand: {origin.url} ({origin.terms})")
        print(f"to be cited: {origin.citation}")
    for title, lines in (
        ("missing", list(dataset.missing)),
        ("unreadable", [f"{path}: {reason}" for path, reason in report.unreadable]),
        ("unexpected, not ranked", list(map(str, report.unexpected))),
    ):
        if lines:
            print(f"{title}: {len(lines)}")
            for line in lines[:LISTED]:
                print(f"  {line}")
    effect = dataset.effect_of_missing()
    if effect:
        print(effect)
    print("whole" if report.whole else "not whole")


def _plain(recipe: MethodSpec) -> dict[str, object]:
    return {
        "title": recipe.title,
        "source": recipe.source,
        "tables": list(recipe.published.tables),
        "published": dict(recipe.published.scores),
        "published_with": recipe.published.conditions,
        "values": recipe.values,
        "weights": recipe.weights,
        "extraction": recipe.config.to_dict(),
        "selection": recipe.reduction.to_dict(),
        "rerank": recipe.rerank.to_dict(),
        "verify": recipe.verify,
        "verify_by": recipe.verify_by,
    }
