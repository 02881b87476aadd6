"""A run's figures as rows, as Markdown, and as JSON: ours beside the paper's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resight.evaluation.benchmark.ranking import MethodResult
from resight.evaluation.benchmark.run import BenchmarkRun
from resight.evaluation.datasets.ranked_lists import RankedList
from resight.evaluation.protocols import Measure
from resight.methods.spec import MethodSpec

REFERENCE = {1: "holidays", 2: "holidays", 3: "ukb", 4: "oxford5k", 5: "oxford5k"}
"""A table's benchmark, whose numbers stand beside ours where a dataset has none of its own."""

MEASURED_BY = {"ukb": "N-S"}
"""What a benchmark is measured by where that is not the mAP."""


@dataclass(frozen=True)
class Row:
    """A method's line: values as people read them (percent; N-S from 0 to 4), None where unknown.

    `published` is the paper's number on `published_on`; `difference` is ours minus it, on the same
    benchmark, and the whole of it, alone.
    """

    method: str
    title: str
    dimensions: int
    values: dict[str, float | None]
    published: float | None
    published_on: str
    published_with: str
    difference: float | None


def rows(run: BenchmarkRun, table: int | None = None) -> list[Row]:
    """One row a method, in the order of the run."""
    return [_row(run, result, table) for result in run.results]


def markdown(run: BenchmarkRun, table: int | None = None) -> str:
    """The rows as a Markdown table, and under it what the figures depend on."""
    found, measures = rows(run, table), run.dataset.measures
    head = [
        "method",
        "",
        "values",
        *(measure.name for measure in measures),
        *_published_head(found),
    ]
    lines = [f"| {' | '.join(head)} |", "|---|---|" + "---:|" * (len(head) - 2)]
    for row in found:
        cells = [f"`{row.method}`", row.title, str(row.dimensions)]
        cells += [shown(row.values[measure.name], measure) for measure in measures]
        lines.append(f"| {' | '.join([*cells, *_published_cells(row, measures[0], found)])} |")
    for method, needs in run.left_out.items():
        lines.append(f"| `{method}` | {needs} |{' |' * (len(head) - 2)}")
    remarks = [f"{len(run.dataset.queries)} queries, {len(run.dataset.names)} photos"]
    remarks += [f"{name}: {value}" for name, value in run.dataset.switches.items()]
    fitted = dict.fromkeys(result.fitted_on for result in run.results if result.fitted_on)
    remarks += [f"fitted on: {value}" for value in fitted]
    remarks += effects(run)
    return "\n".join([*lines, "", *(f"- {remark}" for remark in remarks)]) + "\n"


def as_json(run: BenchmarkRun, table: int | None = None) -> dict[str, Any]:
    """Everything that was found, with what it depends on."""
    dataset = run.dataset
    return {
        "dataset": dataset.name,
        "photos": len(dataset.names),
        "queries": [query.name for query in dataset.queries],
        "switches": dict(dataset.switches),
        "missing": list(dataset.missing),
        "unreadable": [{"path": str(path), "reason": reason} for path, reason in run.failed],
        "conditions": dict(run.conditions),
        "left_out": dict(run.left_out),
        "methods": [
            {
                **vars(row),
                "source": run.recipes[row.method].source,
                "settings": _settings(run.recipes[row.method]),
                "fitted_on": result.fitted_on,
                "seconds": round(result.seconds, 3),
                "per_query": result.values,
            }
            for row, result in zip(rows(run, table), run.results, strict=True)
        ],
    }


def published_on(name: str) -> str:
    """A benchmark, and what its numbers measure."""
    return f"{name} {MEASURED_BY.get(name, 'mAP')}"


def effects(run: BenchmarkRun) -> list[str]:
    """What missing and unreadable photos change, in sentences."""
    found = [run.dataset.effect_of_missing()]
    if run.failed:
        names = ", ".join(path.name for path, _ in run.failed[:3])
        more = ", ..." if len(run.failed) > 3 else ""
        photos = f"{len(run.failed)} photo{'s' * (len(run.failed) > 1)}"
        found.append(
            f"{photos} could not be read ({names}{more}): not ranked; as a positive one counts as "
            "not found, as a query it has no value"
        )
    return [effect for effect in found if effect]


def ranked_lists(run: BenchmarkRun, result: MethodResult) -> Mapping[str, RankedList]:
    """A method's rankings by the names of queries and photos, for other tools."""
    names = run.dataset.names
    return {
        query.name: RankedList([names[row] for row in ranked.rows], ranked.distances.tolist())
        for query, ranked in zip(run.dataset.queries, result.ranked, strict=True)
        if ranked is not None
    }


def shown(value: float | None, measure: Measure) -> str:
    """A value as people read it: two digits of percent, three of the N-S score."""
    return "" if value is None else f"{value:.{3 if measure.scale == 1 else 2}f}"


def shown_difference(row: Row, measure: Measure) -> str:
    """Ours minus the paper's number, with its sign; empty where there is nothing to compare."""
    digits = 3 if measure.scale == 1 else 2
    return "" if row.difference is None else f"{row.difference:+.{digits}f}"


def _row(run: BenchmarkRun, result: MethodResult, table: int | None) -> Row:
    dataset, recipe = run.dataset, run.recipes[result.method]
    first = dataset.measures[0]
    values = {
        measure.name: None if (v := result.measures[measure.name]) is None else v * measure.scale
        for measure in dataset.measures
    }
    own = dataset.benchmark in recipe.published.scores
    on = dataset.benchmark if own else REFERENCE.get(table or 0, "")
    published, ours = recipe.published.scores.get(on), values[first.name]
    difference = None
    # Of a part of a benchmark there is nothing to compare.
    whole = dataset.effect_of_missing() is None
    if own and whole and published is not None and ours is not None:
        difference = ours - published
    return Row(
        result.method,
        recipe.title,
        result.dimensions,
        values,
        published,
        on if published is not None else "",
        recipe.published.conditions if published is not None else "",
        difference,
    )


def _settings(recipe: MethodSpec) -> dict[str, Any]:
    """All that a method's figures depend on beside the weights."""
    verified = {"first": recipe.verify, "by": recipe.verify_by} if recipe.verify else None
    return {
        "extraction": recipe.config.to_dict(),
        "selection": recipe.reduction.to_dict(),
        "rerank": None if recipe.rerank.method == "none" else recipe.rerank.to_dict(),
        "verify": verified,
    }


def _published_head(found: list[Row]) -> list[str]:
    on = {row.published_on for row in found if row.published is not None}
    if not on:
        return []
    compared = any(row.difference is not None for row in found)
    return [
        f"paper, {' and '.join(map(published_on, sorted(on)))}",
        *(["difference"] if compared else []),
    ]


def _published_cells(row: Row, measure: Measure, found: list[Row]) -> list[str]:
    cells = []
    for head in _published_head(found):
        if head == "difference":
            cells.append(shown_difference(row, measure))
        elif row.published is None:
            cells.append("")
        else:
            cells.append(
                f"{row.published:g}" + (f" ({row.published_with})" * bool(row.published_with))
            )
    return cells
