"""Jobs that index the collection's folders, or folders that a client named."""

import os
from pathlib import Path
from typing import Any

from resight.collection import Collection
from resight.collection.folders import indexed_folders, single_photos
from resight.errors import CollectionError
from resight.indexing import pipeline
from resight.progress import Progress
from resight.web.allowed_folders import allowed_folders, first_folder, named_folder
from resight.web.app_state import AppState
from resight.web.job_schemas import JobRequest
from resight.web.problems import ProblemError
from resight.web.queues import Task

NOT_ALLOWED = (
    "That is neither a folder of this collection nor one that its server may index; "
    "index it on the command line."
)
NOT_AT_HOME = (
    "A new collection can begin here only with a folder below your home folder, or one that its "
    "server may index; index others on the command line."
)

LOOK = JobRequest.model_validate({"action": "index"})
"""The job that looks for new photos in the folders of the collection."""


def check_indexable(state: AppState) -> None:
    """Refuse to index a collection on a backend."""
    if state.service.remote is not None:
        raise ProblemError(409, "Index photos in a local collection; upload it with resight push.")


def index_task(body: JobRequest, state: AppState) -> Task:
    """Return the task of an index job; refuse an impossible one before it starts."""
    check_indexable(state)
    places, collection = _places(body, state), Path(state.service.place)
    is_new = state.service.is_new

    def task(progress: Progress) -> dict[str, Any]:
        if not is_new and not Collection.exists(collection):  # rather than create another one
            raise CollectionError(f"{collection}: is gone; is its disk still connected?")
        run = pipeline.index(
            places,
            collection,
            model=state.model,
            prune=body.prune,
            prune_most=body.prune_most,
            progress=progress,
        )
        report = run.report
        if report.interrupted:
            raise KeyboardInterrupt
        return {
            "photos": run.photos,
            "new": report.new,
            "changed": report.changed,
            "moved": len(report.moved),
            "unchanged": report.unchanged,
            "failed": len(report.failed),
            "vanished": len(report.vanished),
            "pruned": report.pruned,
            "note": run.selection_note,
        }

    return task


def _places(body: JobRequest, state: AppState) -> list[Path]:
    """Return the folders that a client named, or else the collection's and its single photos."""
    if body.folders is None:
        if state.service.is_new:
            raise ProblemError(409, "There is no collection yet; name a folder with photos.")
        with Collection.open(state.service.place) as opened:
            singles = [path for path in single_photos(opened) if os.path.lexists(path)]
            places = [*indexed_folders(opened), *singles]
        if not places:
            raise ProblemError(409, "None of the folders that were indexed exists any more.")
        return places
    if not state.settings.local_only:
        raise ProblemError(403, "Folders can be named only on the machine itself.")
    if state.starting:
        refusal = NOT_ALLOWED if state.settings.index_folders else NOT_AT_HOME
        folders = [first_folder(folder, state, refusal) for folder in body.folders]
    else:
        allowed = allowed_folders(state)
        folders = [named_folder(folder, allowed, NOT_ALLOWED) for folder in body.folders]
    if not all(folder.is_dir() for folder in folders):
        raise ProblemError(422, "That is not a folder on this machine.")
    return folders
