"""Commands that compare two photos."""

from pathlib import Path
from typing import Annotated

import typer

from resight.cli import options as opt
from resight.cli.options import argument, option


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
