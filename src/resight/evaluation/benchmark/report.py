"""Reports of a benchmark run: rows, Markdown, JSON, and a self-contained HTML file.

The rows are compared with the papers' numbers. In the HTML, charts are SVG, photos are embedded
thumbnails.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from resight.errors import ImageError
from resight.evaluation.benchmark import TABLES, BenchmarkRun
from resight.evaluation.benchmark.ranking import MethodResult, RankedList
from resight.evaluation.decisions import Decisions
from resight.evaluation.measures import Measure
from resight.methods.spec import MethodSpec
from resight.photos.images import data_uri, load_image

MEASURES = {"ukb": "N-S"}
"""Measure of a benchmark if it is not the mAP."""

MAX_HARDEST = 12
"""Number of queries shown with photos."""
MAX_WRONG = 4
"""Number of wrong photos shown for each of them."""
THUMBNAIL = 160
CHART_WIDTH, BAR_HEIGHT, LABEL_WIDTH, QUERY_CHART_HEIGHT = 800, 26, 170, 120


@dataclass(frozen=True)
class Row:
    """A method's line: values as displayed (percent; N-S from 0 to 4), None if unknown.

    `published` is the paper's number on `published_on`; `difference` is ours minus that number, if
    it is for the same, complete benchmark. `decisions` are None if they were not measured.
    """

    method: str
    title: str
    dimensions: int
    values: dict[str, float | None]
    published: float | None
    published_on: str
    published_with: str
    difference: float | None
    decisions: Decisions | None = None


def rows(run: BenchmarkRun, table: int | None = None) -> list[Row]:
    """Return one row per method, in the order of the run."""
    return [_row(run, result, table) for result in run.results]


def markdown(run: BenchmarkRun, table: int | None = None) -> str:
    """Lay out the rows as a Markdown table, with remarks on what the figures depend on."""
    listed = rows(run, table)
    measures = run.dataset.measures
    benchmarks = sorted({row.published_on for row in listed if row.published is not None})
    show_difference = any(row.difference is not None for row in listed)
    head = ["method", "", "values", *(measure.name for measure in measures)]
    head += [f"paper, {' and '.join(map(_with_measure, benchmarks))}"] if benchmarks else []
    head += ["difference"] if show_difference else []
    head += decision_heads(run)
    lines = [f"| {' | '.join(head)} |", "|---|---|" + "---:|" * (len(head) - 2)]
    for row in listed:
        cells = [f"`{row.method}`", row.title, str(row.dimensions)]
        cells += [value_text(row.values[measure.name], measure) for measure in measures]
        if benchmarks:
            number = "" if row.published is None else f"{row.published:g}"
            cells.append(f"{number} ({row.published_with})" if row.published_with else number)
        cells += [difference_text(row, measures[0])] if show_difference else []
        cells += decision_texts(row)
        lines.append(f"| {' | '.join(cells)} |")
    for method, reason in run.skipped.items():
        lines.append(f"| `{method}` | {reason} |{' |' * (len(head) - 2)}")
    remarks = [f"{len(run.dataset.queries)} queries, {len(run.dataset.names)} photos"]
    remarks += [f"{name}: {value}" for name, value in run.dataset.switches.items()]
    fitted = dict.fromkeys(result.fitted_on for result in run.results if result.fitted_on)
    remarks += [f"fitted on: {value}" for value in fitted]
    remarks += effects(run)
    return "\n".join([*lines, "", *(f"- {remark}" for remark in remarks)]) + "\n"


def as_json(run: BenchmarkRun, table: int | None = None) -> dict[str, Any]:
    """Return all results and what they depend on, as JSON values."""
    dataset = run.dataset
    return {
        "dataset": dataset.name,
        "photos": len(dataset.names),
        "queries": [query.name for query in dataset.queries],
        "switches": dict(dataset.switches),
        "missing": list(dataset.missing),
        "unreadable": [{"path": str(path), "reason": reason} for path, reason in run.failed],
        "conditions": dict(run.conditions),
        "skipped": dict(run.skipped),
        "methods": [
            {
                **vars(row),
                "decisions": None if row.decisions is None else row.decisions.to_dict(),
                "source": run.methods[row.method].source,
                "settings": _settings(run.methods[row.method]),
                "fitted_on": result.fitted_on,
                "seconds": round(result.seconds, 3),
                "per_query": result.values,
            }
            for row, result in zip(rows(run, table), run.results, strict=True)
        ],
    }


def effects(run: BenchmarkRun) -> list[str]:
    """Describe the effect of missing and unreadable photos, in sentences."""
    sentences = []
    missing = run.dataset.effect_of_missing()
    if missing:
        sentences.append(missing)
    if run.failed:
        names = ", ".join(path.name for path, _ in run.failed[:3])
        more = ", ..." if len(run.failed) > 3 else ""
        photos = "1 photo" if len(run.failed) == 1 else f"{len(run.failed)} photos"
        sentences.append(
            f"{photos} could not be read ({names}{more}): not ranked; as a positive one counts as "
            "not found, as a query it has no value"
        )
    return sentences


def ranked_lists(run: BenchmarkRun, result: MethodResult) -> Mapping[str, RankedList]:
    """Return a method's rankings by the names of queries and photos, for other tools."""
    names = run.dataset.names
    return {
        query.name: RankedList([names[row] for row in ranking.rows], ranking.distances.tolist())
        for query, ranking in zip(run.dataset.queries, result.rankings, strict=True)
        if ranking is not None
    }


def value_text(value: float | None, measure: Measure) -> str:
    """Format a value: two decimals of percent, three of the N-S score."""
    return "" if value is None else f"{value:.{3 if measure.scale == 1 else 2}f}"


def difference_text(row: Row, measure: Measure) -> str:
    """Format the difference to the paper's number, with its sign; empty if there is none."""
    digits = 3 if measure.scale == 1 else 2
    return "" if row.difference is None else f"{row.difference:+.{digits}f}"


def decision_heads(run: BenchmarkRun) -> list[str]:
    """Return the headings of `decision_texts`; none if decisions were not measured."""
    measured = any(result.decisions is not None for result in run.results)
    return ["precision", "recall", "F1", "first matches", "calibration error"] if measured else []


def decision_texts(row: Row) -> list[str]:
    """Format the measures of decisions, in percent; none if they were not measured.

    Precision, recall and F1 are of pairs that show the same thing, at least probably; first matches
    are those with the verdict `same`.
    """
    decisions = row.decisions
    if decisions is None:
        return []
    pairs, error = decisions.probable.pairs, decisions.calibration_error
    shares = pairs.precision, pairs.recall, pairs.f1, decisions.same.first_matches
    texts = ["" if share is None else f"{100 * share:.1f}" for share in shares]
    return [*texts, "" if error is None else f"{error:.3f}"]


def published_text(row: Row) -> tuple[str, str]:
    """Format the paper's number, and where and under which conditions it was measured."""
    if row.published is None:
        return "", ""
    conditions = f" ({row.published_with})" if row.published_with else ""
    return f"{row.published:g}", _with_measure(row.published_on) + conditions


def _with_measure(benchmark: str) -> str:
    return f"{benchmark} {MEASURES.get(benchmark, 'mAP')}"


def _row(run: BenchmarkRun, result: MethodResult, table: int | None) -> Row:
    dataset = run.dataset
    method = run.methods[result.method]
    values = {
        measure.name: None if (v := result.measures[measure.name]) is None else v * measure.scale
        for measure in dataset.measures
    }
    same_benchmark = dataset.benchmark in method.published.scores
    benchmark = dataset.benchmark if same_benchmark else TABLES.get(table or 0, "")
    published = method.published.scores.get(benchmark)
    ours = values[dataset.measures[0].name]
    difference = None
    complete = dataset.effect_of_missing() is None
    if same_benchmark and complete and published is not None and ours is not None:
        difference = ours - published
    return Row(
        result.method,
        method.title,
        result.dimensions,
        values,
        published,
        benchmark if published is not None else "",
        method.published.conditions if published is not None else "",
        difference,
        result.decisions,
    )


def _settings(method: MethodSpec) -> dict[str, Any]:
    """Return all that a method's figures depend on besides the weights."""
    verify = {"first": method.verify, "by": method.verify_by} if method.verify else None
    return {
        "extraction": method.config.to_dict(),
        "selection": method.reduction.to_dict(),
        "rerank": None if method.rerank.method == "none" else method.rerank.to_dict(),
        "verify": verify,
    }


# HTML, by the template report.html


def html_report(run: BenchmarkRun, table: int | None = None) -> str:
    """Render the report of a run as HTML; `table` selects the paper's table to compare with."""
    import jinja2

    dataset, listed = run.dataset, rows(run, table)
    measure = dataset.measures[0]
    best = max(run.results, key=lambda result: result.measures[measure.name] or 0.0)
    values = sorted(value for value in best.values[measure.name] if value is not None)
    top = 4.0 if measure.kind == "first four" else 1.0
    heads = ["values", *(one.name for one in dataset.measures)]
    heads += ["paper"] if any(row.published is not None for row in listed) else []
    heads += ["difference"] if any(row.difference is not None for row in listed) else []
    heads += decision_heads(run)
    source = Path(__file__).with_name("report.html").read_text("utf-8")
    return (
        jinja2.Environment(autoescape=True)
        .from_string(source)
        .render(
            title=f"{dataset.name}: {len(dataset.queries)} queries, {len(dataset.names)} photos",
            remarks=[f"{name}: {value}" for name, value in dataset.switches.items()] + effects(run),
            heads=heads,
            rows=listed,
            skipped=run.skipped,
            measures=dataset.measures,
            measure=measure,
            top=top,
            best=best.method,
            queries=[value / top for value in values],
            step=CHART_WIDTH / max(1, len(values)),
            hardest=[_hard_query(run, best, index) for index in hardest(best, measure)],
            conditions=_condition_texts(run.conditions),
            width=CHART_WIDTH,
            height=QUERY_CHART_HEIGHT,
            bar=BAR_HEIGHT,
            label=LABEL_WIDTH,
            value_text=value_text,
            published_text=published_text,
            difference_text=difference_text,
            decision_texts=decision_texts,
        )
    )


def hardest(result: MethodResult, measure: Measure) -> list[int]:
    """Return the indices of the queries with the lowest values; perfect ones are excluded."""
    perfect = 4.0 if measure.kind == "first four" else 1 - 1e-9  # but for rounding
    values = enumerate(result.values[measure.name])
    imperfect = [(value, i) for i, value in values if value is not None and value < perfect]
    return [i for _, i in sorted(imperfect)[:MAX_HARDEST]]


def _condition_texts(conditions: Mapping[str, Any]) -> dict[str, str]:
    """Return the conditions as text; those without a value are left out."""
    texts = {}
    for name, value in conditions.items():
        pairs = value.items() if isinstance(value, Mapping) else [("", value)]
        texts[name] = ", ".join(f"{key} {one}".strip() for key, one in pairs if one is not None)
    return {name: text for name, text in texts.items() if text}


def _hard_query(run: BenchmarkRun, result: MethodResult, index: int) -> dict[str, Any]:
    dataset = run.dataset
    measure = dataset.measures[0]
    query = dataset.queries[index]
    ranking = result.rankings[index]
    judgement = query.judgements[measure.judgement]
    correct = {*judgement.positives, *judgement.junk, query.row}
    ranked = [] if ranking is None else ranking.rows.tolist()
    wrong = [dataset.paths[row] for row in ranked if row not in correct]
    value = result.values[measure.name][index]
    return {
        "name": query.name,
        "value": value_text(None if value is None else value * measure.scale, measure),
        "photos": [
            _photo(query.path, query.name, "query"),
            *(_photo(path, path.name, "wrong") for path in wrong[:MAX_WRONG]),
        ],
    }


def _photo(path: Path, caption: str, kind: str) -> dict[str, str]:
    try:
        image = load_image(path, 2 * THUMBNAIL)
    except ImageError as error:
        return {"kind": kind, "caption": f"{caption}: {error}"}
    image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL), Image.Resampling.BILINEAR)
    return {"kind": kind, "caption": caption, "uri": data_uri(image)}
