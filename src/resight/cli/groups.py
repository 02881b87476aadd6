"""Commands that group a collection's photos."""

from typing import Annotated

from resight.cli import options as opt
from resight.cli.options import option


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
