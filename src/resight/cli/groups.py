"""The command that groups a collection's photos."""

from pathlib import Path
from typing import Annotated

from resight.cli import options as opt
from resight.cli.options import option


def groups(
    collection: opt.Place,
    limit: Annotated[
        float | None,
        option("Largest distance within a group.", metavar="DISTANCE", show_default="estimated"),
    ] = None,
    gap: Annotated[
        float | None,
        option(
            "Join photos that are only probably the same if they were taken (EXIF) within these "
            "seconds of each other, as in bursts.",
            metavar="SECONDS",
            show_default="time is ignored",
        ),
    ] = None,
    sheet: Annotated[
        Path | None, option("Write a contact sheet, one row a group.", metavar="FILE")
    ] = None,
    json: opt.Json = False,
    csv: Annotated[bool, option("Print CSV and nothing else.", "--csv")] = False,
) -> None:
    """Group a collection's photos of the same thing; find near-duplicates."""
    from resight.cli import output
    from resight.evaluation import groups
    from resight.files import ensure_picture_writable, save_picture
    from resight.views.group_sheet import MAX_GROUPS, groups_sheet

    style = opt.one_of(json=json, csv=csv) or "table"
    if sheet is not None:
        ensure_picture_writable(sheet)
    with output.progress() as progress:
        result = groups(collection, limit=limit, gap=gap, progress=progress)
    if sheet is not None:
        save_picture(groups_sheet(result), sheet)
        hidden = len(result) - MAX_GROUPS
        rest = f" ({output.count(hidden, 'group')} more are not shown)" if hidden > 0 else ""
        output.say(f"contact sheet: {sheet}{rest}")
    output.print_groups(result, style=style)
