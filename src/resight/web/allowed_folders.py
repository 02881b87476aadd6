"""Folders of this machine that clients may name: the collection's, and further allowed ones."""

import os
from pathlib import Path

from resight.collection import Collection
from resight.collection.folders import indexed_folders
from resight.photos import is_under
from resight.web.app_state import AppState
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
    with Collection.open(state.service.place) as opened:
        folders = {*indexed_folders(opened), *state.settings.index_folders}
    return {Path(os.path.realpath(folder)) for folder in folders}
