"""Commands that search a collection and show matches."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from resight.cli import options as opt
from resight.cli.options import argument, option
from resight.config import RerankConfig, SearchConfig

TIMES = ["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
"""Accepted time formats; a shorter one means its first moment."""

Photo = Annotated[Path, argument("PHOTO", "Query photo.")]


def search(
    query: Photo,
    collection: opt.Place,
    k: Annotated[int, option("Number of results.", "-k", metavar="N")] = SearchConfig.k,
    box: opt.BoxText = None,
    json: opt.Json = False,
    sheet: Annotated[Path | None, option("Write a contact sheet.", metavar="FILE")] = None,
    everything: Annotated[bool, option("List other similar photos, too.", "--all")] = False,
    only_same: Annotated[bool, option("List only what is surely the same.", "--only-same")] = False,
    min_probability: Annotated[
        float | None, option("Least probability to be the same.", metavar="P")
    ] = None,
    fail_if_none: Annotated[
        bool, option("Exit with status 1 if none is.", "--fail-if-none")
    ] = False,
    approximate: Annotated[
        bool, option("Use the approximate index.", "--approximate")
    ] = SearchConfig.approximate,
    rerank: opt.Rerank = RerankConfig.method,
    rerank_with: opt.RerankWith = None,
    verify: opt.Verify = SearchConfig.verify,
    verify_by: opt.VerifyBy = SearchConfig.verify_by,
    verify_geometry: opt.VerifyGeometry = SearchConfig.verify_geometry,
    under: Annotated[
        Path | None, option("In or below this folder.", metavar="FOLDER", panel=opt.FILTER)
    ] = None,
    taken_from: Annotated[
        datetime | None,
        option(
            "Taken on or after this date (EXIF).", metavar="DATE", formats=TIMES, panel=opt.FILTER
        ),
    ] = None,
    taken_before: Annotated[
        datetime | None,
        option("Taken before this date (EXIF).", metavar="DATE", formats=TIMES, panel=opt.FILTER),
    ] = None,
    min_side: Annotated[
        int | None, option("Minimum shorter side.", metavar="PIXELS", min=1, panel=opt.FILTER)
    ] = None,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Find the photos that show the same thing as a query photo."""
    from resight.cli import output
    from resight.files import ensure_picture_writable, save_picture
    from resight.searching import search
    from resight.searching.query import SAME
    from resight.views.contact_sheet import results_sheet

    if sheet is not None:
        ensure_picture_writable(sheet)
    results = search(
        query,
        collection,
        k=k,
        rerank=RerankConfig.parse(rerank, rerank_with or []),
        verify=verify,
        verify_by=verify_by,
        verify_geometry=verify_geometry,
        min_probability=max(min_probability or 0.0, SAME) if only_same else min_probability,
        approximate=approximate,
        box=opt.parse_box(box),
        under=under,
        taken_from=taken_from,
        taken_before=taken_before,
        min_side=min_side,
        model=opt.model_options(weights, runtime, device),
    )
    if sheet is not None:
        save_picture(results_sheet(results), sheet)
        output.say(f"contact sheet: {sheet}")
    if json:
        output.print_json(results.to_dict())
    else:
        output.print_results(results, everything=everything)
    if fail_if_none and not results.found:
        raise typer.Exit(1)


def same(
    first: Annotated[Path, argument("PHOTO", "A photo.")],
    second: Annotated[Path, argument("OTHER", "Another photo.")],
    collection: Annotated[
        str | None,
        option("Also compare by this collection's method.", "-c", metavar="FOLDER|URL"),
    ] = None,
    json: opt.Json = False,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Decide whether two photos show the same thing; exit with status 1 if not."""
    from resight.cli import output
    from resight.searching.sameness import same

    result = same(
        first,
        second,
        collection=collection,
        model=opt.model_options(weights, runtime, device),
    )
    output.print_sameness(result, as_json=json)
    if result.verdict == "different":
        raise typer.Exit(1)


def groups(
    collection: opt.Place,
    limit: Annotated[
        float | None,
        option("Largest distance within a group.", metavar="DISTANCE", show_default="estimated"),
    ] = None,
    json: opt.Json = False,
    csv: Annotated[bool, option("Print CSV and nothing else.", "--csv")] = False,
) -> None:
    """Group a collection's photos of the same thing; find near-duplicates."""
    from resight.cli import output
    from resight.evaluation import groups

    with output.progress() as progress:
        result = groups(collection, limit=limit, progress=progress)
    output.print_groups(result, style="json" if json else "csv" if csv else "table")


def explain(
    query: Photo,
    other: Annotated[Path, argument("OTHER", "Another photo.")],
    out: opt.Output,
    collection: Annotated[
        str | None,
        option("Explain by this collection's method.", "--collection", "-c", metavar="FOLDER|URL"),
    ] = None,
    config: opt.Config = None,
    box: opt.BoxText = None,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Draw why two photos match: similar areas and corresponding points."""
    from resight.cli import output
    from resight.files import ensure_picture_writable, save_picture
    from resight.searching.query import open_query
    from resight.views.explain import explain
    from resight.views.overlay import draw_explanation

    ensure_picture_writable(out)
    explanation = explain(
        query,
        other,
        collection=collection,
        config=config,
        box=opt.parse_box(box),
        model=opt.model_options(weights, runtime, device),
    )
    picture = draw_explanation(open_query(query).image, open_query(other).image, explanation)
    save_picture(picture, out)
    output.say(
        f"{out}: distance {explanation.distance:.4f}, {100 * explanation.agreement:.0f} % in "
        f"common, {explanation.inliers} places match"
    )


def serve(
    collection: opt.Place,
    host: Annotated[str, option("Address to listen on.", metavar="NAME")] = "127.0.0.1",
    port: Annotated[int, option("Port to listen on; 0 chooses a free one.", metavar="N")] = 8765,
    token: Annotated[
        str | None, option("Token that every request must carry.", metavar="SECRET")
    ] = None,
    urls: Annotated[bool, option("Allow queries by the URL of a photo.", "--urls")] = False,
    open_browser: Annotated[
        bool, option("Open the page in the browser.", "--open/--no-open")
    ] = True,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Serve a web page and an HTTP API to search a collection."""
    from resight.cli import output
    from resight.web import WebSettings, serve

    serve(
        collection,
        settings=WebSettings(host=host, port=port, token=token, allow_urls=urls),
        model=opt.model_options(weights, runtime, device),
        open_browser=open_browser,
        say=output.say,
    )
