"""Commands for the names of things that photos show."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from resight.cli import options as opt
from resight.cli.options import argument, option

if TYPE_CHECKING:
    from resight.backends.names import NamedThing


def name(
    name: Annotated[str, argument("NAME", 'The name of the thing, such as "our boat".')],
    collection: opt.Place,
    photos: Annotated[
        list[Path] | None, argument("PHOTO...", "Photos of the collection that show it.")
    ] = None,
    remove: Annotated[
        bool, option("Remove the name, from all photos or from these.", "--remove")
    ] = False,
) -> None:
    """Name the thing that photos show, and find it later.

    Find more photos of it with: resight search name:NAME -c C
    """
    from resight.backends.names import name as name_thing
    from resight.cli import output

    thing = name_thing(name, photos or [], collection, remove=remove)
    output.say(f"{output.printable_text(thing.name)}: {output.count(thing.photos, 'photo')}")


def names(
    collection: opt.Place,
    source: Annotated[
        Path | None, option("Import names from --json.", "--import", metavar="FILE")
    ] = None,
    json: opt.Json = False,
) -> None:
    """List the named things and their photos, or import names.

    Export names with: resight names -c C --json > FILE
    """
    from resight.backends.names import import_names, names, names_to_dict
    from resight.cli import output

    if source is not None:
        added = import_names(source, collection)
        output.say(f"{output.count(added, 'name')} added")
    elif json:
        output.print_json(names_to_dict(names(collection)))
    else:
        _print_names(names(collection))


def _print_names(things: Sequence["NamedThing"]) -> None:
    """Print names, each above the photos that carry it."""
    from resight.cli import output

    for thing in things:
        print(output.printable_text(thing.name))
        for photo in thing.photos:
            print(f"  {output.printable(photo)}")
    output.say(output.count(things, "name"))
