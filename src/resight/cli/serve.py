"""The commands that show: `serve`, `groups` and `explain`. Registered by `cli`."""

from pathlib import Path
from typing import Annotated

import typer

from resight.cli.options import (
    Config,
    Device,
    Json,
    Place,
    Runtime,
    Weights,
    model_options,
)


def serve(
    collection: Place,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 is any free one.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(help="Secret that every request must show.", show_default=False),
    ] = None,
    urls: Annotated[
        bool, typer.Option("--urls", help="Allow to search with a photo at a web address.")
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Show the page in the browser.")
    ] = True,
    weights: Weights = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Serve a page, and an HTTP interface, on which a collection is searched with the eyes."""
    from resight.cli import output
    from resight.web.server import serve as run_server
    from resight.web.settings import WebSettings

    run_server(
        collection,
        settings=WebSettings(host=host, port=port, token=token, allow_urls=urls),
        model=model_options(weights, runtime, device),
        open_browser=open_browser,
        say=output.say,
    )


def groups(
    collection: Place,
    limit: Annotated[
        float | None,
        typer.Option(help="Largest distance within a group.", show_default="estimated"),
    ] = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV and nothing else.")] = False,
) -> None:
    """Sort a collection's photos into groups of the same thing and near-duplicates."""
    from resight.cli import output
    from resight.evaluation.evaluate_collection import groups as group_photos

    with output.progress() as progress:
        found, paths = group_photos(collection, limit=limit, progress=progress)
    output.print_groups(found, paths, style="json" if json else "csv" if csv else "table")


def explain(
    query: Annotated[Path, typer.Argument(metavar="PHOTO", show_default=False)],
    other: Annotated[Path, typer.Argument(metavar="OTHER", show_default=False)],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="The picture to write.", show_default=False)
    ],
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            "-c",
            metavar="<path or address>",
            help="Explain by its method.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    box: Annotated[
        str | None, typer.Option(help="x,y,w,h: the region that is meant.", show_default=False)
    ] = None,
    weights: Weights = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
) -> None:
    """Draw why two photos match: where they agree, and which places correspond."""
    from resight import output_files as targets
    from resight.cli import output
    from resight.searching.searcher import load_query
    from resight.views.explain import explain as explain_photos
    from resight.views.overlay import draw_explanation

    targets.ensure_picture_writable(out)
    region = None if box is None else output.parse_box(box)
    explanation = explain_photos(
        query,
        other,
        collection=collection,
        config=config,
        box=region,
        model=model_options(weights, runtime, device),
    )
    picture = draw_explanation(load_query(query, None), load_query(other, None), explanation)
    targets.save_picture(picture, out)
    output.say(
        f"{out}: distance {explanation.distance:.4f}, {100 * explanation.agreement:.0f} % in "
        f"common, {explanation.inliers} places match"
    )
