"""Commands that compare two photos."""

from pathlib import Path
from typing import Annotated

import typer

from resight.cli import options as opt
from resight.cli.options import argument, option
from resight.errors import UsageError


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


def explain(
    query: Annotated[Path, argument("PHOTO", "Query photo.")],
    other: Annotated[Path, argument("OTHER", "Another photo.")],
    out: Annotated[
        Path | None, option("Picture to write.", "--output", "-o", metavar="FILE")
    ] = None,
    collection: Annotated[
        str | None,
        option("Explain by this collection's method.", "--collection", "-c", metavar="FOLDER|URL"),
    ] = None,
    config: opt.Config = None,
    box: opt.BoxText = None,
    json: opt.Json = False,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Show why two photos are the same thing or not: similar areas, places that agree."""
    from resight.cli import output
    from resight.files import ensure_picture_writable, save_picture
    from resight.views.explain import explain
    from resight.views.overlay import draw_explanation

    if out is None and not json:
        raise UsageError("explain: give a picture to write, -o FILE, or --json")
    if out is not None:
        ensure_picture_writable(out)
    explanation = explain(
        query,
        other,
        collection=collection,
        config=config,
        box=opt.parse_box(box),
        model=opt.model_options(weights, runtime, device),
    )
    if out is not None:
        save_picture(draw_explanation(explanation), out)
        output.say(f"{out}: {explanation.sameness}")
    if json:
        output.print_json(explanation.to_dict())
