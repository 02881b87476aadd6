"""Commands for hints: what a person decides about photos of a collection."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from resight.cli import options as opt
from resight.cli.options import argument, option
from resight.config import HintVerdict
from resight.errors import UsageError

if TYPE_CHECKING:
    from resight.backends.hints import HintChange
    from resight.collection.hints import Hint


def decide(
    verdict: Annotated[
        HintVerdict, argument("VERDICT", "same (as the first), different (all of them), or keep.")
    ],
    photos: Annotated[list[Path], argument("PHOTO...", "Photos of the collection.")],
    collection: opt.Place,
) -> None:
    """Decide that photos are the same thing or different, or which to keep.

    Searches and groups obey.
    """
    from resight.backends.hints import decide

    _print_change(decide(verdict, photos, collection))


def hints(
    collection: opt.Place,
    undo: Annotated[
        str | None, option("Undo the last decision, or a hint by its number.", metavar="last|N")
    ] = None,
    source: Annotated[
        Path | None,
        option("Import hints; the newest win.", "--import", metavar="FILE"),
    ] = None,
    json: opt.Json = False,
) -> None:
    """List what was decided about photos, undo it, or import it.

    Export hints with: resight hints -c C --json > FILE
    """
    from resight.backends.hints import hints, hints_to_dict, import_hints, undo_hints
    from resight.cli import output

    if undo is not None and source is not None:
        raise UsageError("not together with --import", parameter="undo")
    if source is not None:
        _print_change(import_hints(source, collection))
    elif undo is not None:
        _print_change(undo_hints(collection, _which(undo)))
    elif json:
        output.print_json(hints_to_dict(hints(collection)))
    else:
        _print_hints(hints(collection))


def _which(text: str) -> int | Literal["last"]:
    """Return the number of a hint, or `last`."""
    if text == "last":
        return "last"
    if not text.isdecimal():
        raise UsageError(f"expected last or the number of a hint, not {text}", parameter="undo")
    return int(text)


def _print_hints(hints: Sequence["Hint"]) -> None:
    """Print hints with their numbers, oldest first."""
    from resight.backends.hints import describe_hint
    from resight.cli import output

    for number, hint in enumerate(hints, 1):
        print(number, output.printable_text(describe_hint(hint)))
    output.say(output.count(hints, "hint"))


def _print_change(change: "HintChange") -> None:
    """Print the hints that were added, removed, and ignored."""
    from resight.backends.hints import describe_hint
    from resight.cli import output

    listed = {
        "decided": change.added,
        "no longer": change.removed,
        "ignored, as newer hints say otherwise": change.ignored,
    }
    for what, hints in listed.items():
        for hint in hints:
            output.say(f"{what}: {output.printable_text(describe_hint(hint))}")
    if not any(listed.values()):
        output.say("no hints changed")
