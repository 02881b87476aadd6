"""A run as one HTML file: bars for the methods, every query's precision, the hardest queries.

The file stands by itself: figures are drawn as SVG, photos are small pictures inside of it.
"""

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from resight.errors import ImageError
from resight.evaluation.benchmark.ranking import MethodResult
from resight.evaluation.benchmark.report import (
    Row,
    effects,
    published_on,
    rows,
    shown,
    shown_difference,
)
from resight.evaluation.benchmark.run import BenchmarkRun
from resight.evaluation.datasets.dataset import DatasetQuery
from resight.evaluation.protocols import Measure
from resight.photos.images import load_image

HARDEST = 12
"""Queries that are shown with pictures."""
FIRST_WRONG = 4
"""Wrong photos shown for each of them."""
THUMBNAIL = 160
NONE_HARD = "<p>None: every query finds all that is right first.</p>"

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #242428; background: #faf9f6;
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .3rem .6rem; text-align: left;
  border-bottom: 1px solid #dad7cf; vertical-align: top; } td.n, th.n { text-align: right;
  font-variant-numeric: tabular-nums; } small { color: #6c6a66; }
svg { display: block; width: 100%; height: auto; } figure { margin: 0; }
.row { display: flex; gap: .6rem; flex-wrap: wrap; margin: .6rem 0 1.2rem; }
.row figure { width: 10rem; } .row img { width: 100%; border-radius: 4px; }
.row figcaption { font-size: .8rem; overflow-wrap: anywhere; color: #6c6a66; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .85rem; }
dt { color: #6c6a66; } dd { margin: 0; overflow-wrap: anywhere; }
.query img { outline: 3px solid #242428; } .wrong img { outline: 3px solid #cb3a34; }
"""


def page(run: BenchmarkRun, table: int | None = None) -> str:
    """The whole page."""
    dataset, found = run.dataset, rows(run, table)
    measure = dataset.measures[0]
    best = max(run.results, key=lambda result: result.measures[measure.name] or 0.0)
    title = f"{escape(dataset.name)}: {len(dataset.queries)} queries, {len(dataset.names)} photos"
    remarks = [f"{name}: {value}" for name, value in dataset.switches.items()] + effects(run)
    parts = [
        f"<h1>{title}</h1>",
        f"<p><small>{escape('; '.join(remarks))}</small></p>",
        _table(found, dataset.measures, run.left_out),
        f"<h2>{escape(measure.name)} of each method</h2>",
        _bars(found, measure),
        f"<h2>Every query, hardest first</h2><p><small>{escape(measure.name)} by "
        f"{escape(best.method)}; one bar a query.</small></p>",
        _queries(best, measure),
        f"<h2>The hardest queries, and the first wrong photos ({escape(best.method)})</h2>",
        *([_hard(run, best, index) for index in hardest(best, measure)] or [NONE_HARD]),
        _conditions(run.conditions),
    ]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    viewport = '<meta name="viewport" content="width=device-width">'
    body = "\n".join(parts)
    return f'<!doctype html><html lang="en"><head>{head}{viewport}</head><body>{body}</body></html>'


def hardest(result: MethodResult, measure: Measure) -> list[int]:
    """Indices of the queries with the lowest values, lowest first; perfect ones are not hard."""
    values = enumerate(result.values[measure.name])
    known = [(value, i) for i, value in values if value is not None and value < _best(measure)]
    return [i for _, i in sorted(known)[:HARDEST]]


def _best(measure: Measure) -> float:
    """The value of a query whose ranking is perfect, but for rounding."""
    return 4.0 if measure.kind == "first four" else 1 - 1e-9


def _table(found: list[Row], measures: tuple[Measure, ...], left_out: Mapping[str, str]) -> str:
    compared = any(row.difference is not None for row in found)
    known = any(row.published is not None for row in found)
    heads = [*(m.name for m in measures), *["paper"] * known, *["difference"] * compared]
    head = "".join(f'<th class="n">{escape(name)}</th>' for name in heads)
    lines = []
    for row in found:
        cells = "".join(
            f'<td class="n">{shown(row.values[measure.name], measure)}</td>' for measure in measures
        )
        paper = "" if row.published is None else f"{row.published:g}"
        on = published_on(row.published_on) if row.published_on else ""
        on += f" ({row.published_with})" if row.published_with else ""
        beside = f'<td class="n">{paper}<br><small>{escape(on)}</small></td>' * known
        beside += f'<td class="n">{shown_difference(row, measures[0])}</td>' * compared
        lines.append(
            f"<tr><td><b>{escape(row.method)}</b><br><small>{escape(row.title)}</small></td>"
            f'<td class="n">{row.dimensions}</td>{cells}{beside}</tr>'
        )
    for method, needs in left_out.items():
        lines.append(
            f"<tr><td><b>{escape(method)}</b></td>"
            f'<td colspan="{len(heads) + 1}">{escape(needs)}</td></tr>'
        )
    return f'<table><tr><th>method</th><th class="n">values</th>{head}</tr>{"".join(lines)}</table>'


def _conditions(conditions: Mapping[str, Any]) -> str:
    """What the figures depend on, a line each."""
    lines = []
    for name, value in conditions.items():
        pairs = value.items() if isinstance(value, Mapping) else [("", value)]
        said = ", ".join(f"{key} {one}".strip() for key, one in pairs if one is not None)
        if said:
            lines.append(f"<dt>{escape(name)}</dt><dd>{escape(said)}</dd>")
    return f"<h2>What the figures depend on</h2><dl>{''.join(lines)}</dl>"


def _bars(found: list[Row], measure: Measure) -> str:
    top = 4.0 if measure.scale == 1 else 100.0
    height, width, label = 26, 800, 170
    lines = []
    for i, row in enumerate(found):
        value, y = row.values[measure.name] or 0.0, i * height
        length = (width - label - 80) * value / top
        lines.append(
            f'<text x="{label - 8}" y="{y + 17}" text-anchor="end">{escape(row.method)}</text>'
            f'<rect x="{label}" y="{y + 4}" width="{length:.1f}" height="17" fill="#2f6f8f"/>'
            f'<text x="{label + length + 6:.1f}" y="{y + 17}">'
            f"{shown(row.values[measure.name], measure)}</text>"
        )
    return (
        f'<svg viewBox="0 0 {width} {height * len(found) + 4}" font-size="13" role="img" '
        f'aria-label="{escape(measure.name)} of each method">{"".join(lines)}</svg>'
    )


def _queries(result: MethodResult, measure: Measure) -> str:
    known = sorted(value for value in result.values[measure.name] if value is not None)
    top, width, height = (4.0 if measure.kind == "first four" else 1.0), 800, 120
    step = width / max(1, len(known))
    bars = "".join(
        f'<rect x="{i * step:.2f}" y="{height * (1 - value / top):.1f}" '
        f'width="{max(0.3, step * 0.85):.2f}" height="{height * value / top:.1f}" fill="#2f6f8f"/>'
        for i, value in enumerate(known)
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="every query">'
        f'<rect width="{width}" height="{height}" fill="#efede7"/>{bars}</svg>'
    )


def _hard(run: BenchmarkRun, result: MethodResult, index: int) -> str:
    dataset, measure = run.dataset, run.dataset.measures[0]
    query, ranked = dataset.queries[index], result.ranked[index]
    if ranked is None:
        return ""
    wrong = [dataset.paths[row] for row in ranked.rows if _is_wrong(query, row, measure)]
    pictures = [_figure(query.path, query.name, "query")]
    pictures += [_figure(path, path.name, "wrong") for path in wrong[:FIRST_WRONG]]
    value = result.values[measure.name][index]
    said = shown(None if value is None else value * measure.scale, measure)
    return f'<p>{escape(query.name)}: {said}</p><div class="row">{"".join(pictures)}</div>'


def _is_wrong(query: DatasetQuery, row: int, measure: Measure) -> bool:
    judgement = query.judgements[measure.judgement]
    return row not in judgement.positives and row not in judgement.junk and row != query.row


def _figure(path: Path, caption: str, kind: str) -> str:
    try:
        image = load_image(path, 2 * THUMBNAIL)
    except ImageError as error:
        said = escape(f"{caption}: {error}")
        return f'<figure class="{kind}"><figcaption>{said}</figcaption></figure>'
    image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL), Image.Resampling.BILINEAR)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<figure class="{kind}"><img alt="" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
