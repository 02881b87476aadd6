"""Commands that search a collection and show matches."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from resight.cli.options import (
    FILTER,
    Box_,
    Config,
    Device,
    Json,
    Output,
    Place,
    Rerank,
    RerankWith,
    Runtime,
    Verify,
    VerifyBy,
    VerifyGeometry,
    Weights,
    model_options,
    parse_box,
)
from resight.config import SearchConfig

TIMES = ["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
"""Accepted time formats; a shorter one means its first moment."""

Photo = Annotated[Path, typer.Argument(metavar="PHOTO", help="Query photo.", show_default=False)]


def search(
    query: Photo,
    collection: Place,
    k: Annotated[int, typer.Option("-k", metavar="N", help="Number of results.")] = SearchConfig.k,
    box: Box_ = None,
    json: Json = False,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a contact sheet.", show_default=False),
    ] = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Use the approximate index.")
    ] = SearchConfig.approximate,
    rerank: Rerank = SearchConfig.rerank,
    rerank_with: RerankWith = None,
    verify: Verify = SearchConfig.verify,
    verify_by: VerifyBy = SearchConfig.verify_by,
    verify_geometry: VerifyGeometry = SearchConfig.verify_geometry,
    under: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="In or below this folder.",
            show_default=False,
            rich_help_panel=FILTER,
        ),
    ] = None,
    taken_from: Annotated[
        datetime | None,
        typer.Option(
            formats=TIMES,
            metavar="DATE",
            help="Taken on or after this date (EXIF).",
            show_default=False,
            rich_help_panel=FILTER,
        ),
    ] = None,
    taken_before: Annotated[
        datetime | None,
        typer.Option(
            formats=TIMES,
            metavar="DATE",
            help="Taken before this date (EXIF).",
            show_default=False,
            rich_help_panel=FILTER,
        ),
    ] = None,
    min_side: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            help="Minimum shorter side.",
            show_default=False,
            rich_help_panel=FILTER,
        ),
    ] = None,
    weights: Weights = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Find the photos that show the same thing as a query photo."""
    from resight.backends.store import Filter
    from resight.cli import output
    from resight.output_files import ensure_picture_writable
    from resight.photos.paths import absolute
    from resight.searching.search import search

    if sheet is not None:
        ensure_picture_writable(sheet)
    config = {
        "k": k,
        "verify": verify,
        "verify_by": verify_by,
        "verify_geometry": verify_geometry,
        "approximate": approximate,
        "rerank": rerank,
        "rerank_with": rerank_with or [],
    }
    results = search(
        query,
        collection,
        SearchConfig.from_dict(config),
        box=parse_box(box),
        where=Filter(under and absolute(under), taken_from, taken_before, min_side),
        model=model_options(weights, runtime, device),
    )
    if sheet is not None:
        output.write_sheet(results, sheet)
    output.print_results(results, as_json=json)


def groups(
    collection: Place,
    limit: Annotated[
        float | None,
        typer.Option(
            metavar="DISTANCE", help="Largest distance within a group.", show_default="estimated"
        ),
    ] = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV and nothing else.")] = False,
) -> None:
    """Group a collection's photos of the same thing; find near-duplicates."""
    from resight.cli import output
    from resight.evaluation.evaluate_collection import groups

    with output.progress() as progress:
        found, paths = groups(collection, limit=limit, progress=progress)
    output.print_groups(found, paths, style="json" if json else "csv" if csv else "table")


def explain(
    query: Photo,
    other: Annotated[
        Path, typer.Argument(metavar="OTHER", help="Another photo.", show_default=False)
    ],
    out: Output,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            "-c",
            metavar="FOLDER|URL",
            help="Explain by this collection's method.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    box: Box_ = None,
    weights: Weights = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Draw why two photos match: similar areas and corresponding points."""
    from resight.cli import output
    from resight.output_files import ensure_picture_writable, save_picture
    from resight.searching.searcher import load_query
    from resight.views.explain import explain
    from resight.views.overlay import draw_explanation

    ensure_picture_writable(out)
    explanation = explain(
        query,
        other,
        collection=collection,
        config=config,
        box=parse_box(box),
        model=model_options(weights, runtime, device),
    )
    picture = draw_explanation(load_query(query, None), load_query(other, None), explanation)
    save_picture(picture, out)
    output.say(
        f"{out}: distance {explanation.distance:.4f}, {100 * explanation.agreement:.0f} % in "
        f"common, {explanation.inliers} places match"
    )


def serve(
    collection: Place,
    host: Annotated[str, typer.Option(metavar="NAME", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", help="Port to listen on; 0 chooses a free one.")
    ] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="SECRET", help="Token that every request must carry.", show_default=False
        ),
    ] = None,
    urls: Annotated[
        bool, typer.Option("--urls", help="Allow queries by the URL of a photo.")
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    weights: Weights = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Serve a web page and an HTTP API to search a collection."""
    from resight.cli import output
    from resight.web.server import serve
    from resight.web.settings import WebSettings

    serve(
        collection,
        settings=WebSettings(host=host, port=port, token=token, allow_urls=urls),
        model=model_options(weights, runtime, device),
        open_browser=open_browser,
        say=output.say,
    )
