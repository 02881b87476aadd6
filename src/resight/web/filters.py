"""Filters of photos as clients name them."""

from datetime import datetime
from pathlib import Path

from resight.backends.store import Filter, Store
from resight.errors import UsageError
from resight.photos import absolute
from resight.web.app_state import AppState
from resight.web.problems import ProblemError
from resight.web.schemas import FilterOptions

FIRST_MOMENT = "0001-01-01T00:00:00"
"""Completes a time that names no month, day, hour or minute."""


def has_filter(options: FilterOptions) -> bool:
    """Return whether any filter is given."""
    return any(getattr(options, name) is not None for name in FilterOptions.model_fields)


def parse_filter(options: FilterOptions, store: Store, state: AppState) -> Filter:
    """Return which photos are searched or listed.

    Raises:
        ProblemError: a full path from another machine, an unknown folder, or no such time.
    """
    under = None if options.under is None else find_folder(options.under, store, state)
    taken = parse_time(options.taken_from), parse_time(options.taken_before)
    try:
        return Filter(under, *taken, options.min_side, options.file_name)
    except UsageError as error:
        raise ProblemError(422, f"{error}.") from None


def parse_time(text: str | None) -> datetime | None:
    """Return the beginning of a year, month, day, minute or second."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text + FIRST_MOMENT[len(text) :])
    except ValueError:
        raise ProblemError(422, f"There is no time {text}.") from None


def find_folder(text: str, store: Store, state: AppState) -> Path:
    """Return the folder of a full path, or of a name as `/folders` lists it."""
    path, local_only = Path(text), state.settings.local_only
    if path.is_absolute() and not local_only:
        raise ProblemError(403, "Folders can be named only on the machine itself.")
    if "\0" in text:
        raise ProblemError(422, "under: holds a NUL, so it is no folder.")
    for folder in state.listing.folders(store):
        if text in (folder.name, state.folder_text(folder.path, folder.name)):
            return folder.path
    if path.is_absolute():
        return absolute(path)
    raise ProblemError(422, "under: the collection has no folder of this name.")
