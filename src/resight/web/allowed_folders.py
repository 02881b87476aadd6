"""Folders of this machine that clients may name: the collection's, and further allowed ones."""

import os
from pathlib import Path

from resight.collection import Collection
from resight.collection.folders import indexed_folders, is_searched
from resight.photos import is_under
from resight.web.app_state import AppState
from resight.web.new_collection import home_folders
from resight.web.problems import ProblemError


def named_folder(text: str, allowed: set[Path], refusal: str) -> Path:
    """Return a folder that a client named, which need not exist.

    Raises:
        ProblemError: 422 for a relative path or what can be no folder, 403 with the refusal if
            the folder, links resolved, is not below an allowed one.
    """
    folder = Path(text)
    if "\0" in text or not folder.is_absolute():
        raise ProblemError(422, "Give the full paths of folders on this machine.")
    if not is_under(Path(os.path.realpath(folder)), allowed):
        raise ProblemError(403, refusal)
    try:
        place = next(each for each in (folder, *folder.parents) if each.exists())
    except OSError:  # such as a name that is too long
        raise ProblemError(422, "There cannot be a folder of this name.") from None
    if not place.is_dir():
        raise ProblemError(422, "That is a file, or below one; name a folder.")
    return folder


def allowed_folders(state: AppState) -> set[Path]:
    """Return the allowed folders, links resolved."""
    folders = set(state.settings.index_folders)
    if not state.service.is_new:
        with Collection.open(state.service.place) as opened:
            folders.update(indexed_folders(opened))
    return {Path(os.path.realpath(folder)) for folder in folders}


def first_folder(text: str, state: AppState, refusal: str) -> Path:
    """Return the folder that a client named for the first photos of a new collection.

    Raises:
        ProblemError: see `named_folder`; 403 also for folders with a hidden one above them.
    """
    allowed = allowed_folders(state) | set(home_folders(state.settings))
    folder = named_folder(text, allowed, refusal)
    if not is_searched(Path(os.path.realpath(folder)), allowed):
        raise ProblemError(403, "Hidden folders can be indexed only on the command line.")
    return folder
