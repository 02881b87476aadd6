"""Print methods and benchmark results, and write benchmark reports."""

import json
from pathlib import Path

from rich.table import Table

from resight.cli.output import count, print_json, print_table, say
from resight.evaluation.benchmark import report
from resight.evaluation.benchmark.run import BenchmarkRun
from resight.evaluation.datasets import Verification
from resight.evaluation.datasets.ranked_lists import write_holidays, write_qrels, write_trec
from resight.files import write_errors
from resight.methods import METHODS
from resight.methods.spec import MethodSpec
from resight.photos.paths import escape_undecodable

LISTED = 10
"""Number of missing photos that are listed; the rest are counted."""


def print_methods(*, as_json: bool) -> None:
    """Print the methods by name."""
    if as_json:
        print_json({name: _method_as_dict(spec) for name, spec in METHODS.items()})
        return
    table = Table(box=None, pad_edge=False)
    for head in ("method", "what", "weights", "values", "tables", "published", "paper"):
        table.add_column(head, no_wrap=head in ("method", "weights"))
    for name, spec in METHODS.items():
        published = spec.published
        scores = ", ".join(f"{name} {value:g}" for name, value in published.scores.items())
        conditions = f" ({published.conditions})" if published.conditions else ""
        tables = ", ".join(map(str, published.tables))
        weights = spec.weights or "none"
        table.add_row(
            name, spec.title, weights, spec.values, tables, scores + conditions, spec.source
        )
    print_table(table)


def print_run(run: BenchmarkRun, table: int | None, *, as_json: bool) -> None:
    """Print the scores of the methods next to those of their papers."""
    if as_json:
        print_json(report.as_json(run, table))
        return
    measures = run.dataset.measures
    scores = Table(box=None, pad_edge=False)
    scores.add_column("method")
    for head in ("values", *(measure.name for measure in measures), "paper", "difference"):
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
        )
    for method, needs in run.skipped.items():
        scores.add_row(method, needs)
    print_table(scores)
    say(f"{count(run.dataset.queries, 'query')}, {count(run.dataset.names, 'photo')}")
    for effect in report.effects(run):
        say(effect)


def check_folder(folder: Path) -> None:
    """Create the folder of a report, and check that it is writable, before long work.

    Raises:
        UsageError: it is a file, or cannot be created or written.
    """
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()


def write_report(run: BenchmarkRun, table: int | None, folder: Path) -> None:
    """Write the report as HTML, Markdown and JSON, ranked lists (TREC, Holidays) and qrels."""
    with write_errors(folder):
        for name, text in (
            ("html", report.html_report(run, table)),
            ("md", report.markdown(run, table)),
        ):
            (folder / f"report.{name}").write_text(escape_undecodable(text), "utf-8")
        (folder / "report.json").write_text(
            json.dumps(report.as_json(run, table), indent=1), "utf-8"
        )
    for result in run.results:
        lists = report.ranked_lists(run, result)
        write_trec(lists, folder / f"{result.method}.trec", result.method)
        write_holidays(lists, folder / f"{result.method}.ranks")
    for judgement in dict.fromkeys(measure.judgement for measure in run.dataset.measures):
        write_qrels(run.dataset, folder / f"{judgement.replace(' ', '-')}.qrels", judgement)
    say(f"{folder}: report.html, report.md, report.json, {len(run.results)} ranked lists, qrels")


def print_verification(verification: Verification) -> None:
    """Print which files of a benchmark are missing, and where to download them."""
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
    print("complete" if verification.whole else "incomplete")


def _method_as_dict(spec: MethodSpec) -> dict[str, object]:
    return {
        "title": spec.title,
        "source": spec.source,
        "tables": list(spec.published.tables),
        "published": dict(spec.published.scores),
        "published_with": spec.published.conditions,
        "values": spec.values,
        "weights": spec.weights,
        "extraction": spec.config.to_dict(),
        "selection": spec.reduction.to_dict(),
        "rerank": spec.rerank.to_dict(),
        "verify": spec.verify,
        "verify_by": spec.verify_by,
    }
