"""Jobs that move the files of photos, where `serve --allow-move` allows it, and undo that."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from resight.backends.store import Store
from resight.collection import Collection, Photo
from resight.collection.folders import indexed_folders, is_searched
from resight.collection.moves import MoveReport, move_photos, past_moves, undo_move
from resight.collection.moves.trash import has_trash
from resight.collection.writer import Writer, writing
from resight.photos import is_under
from resight.progress import Progress
from resight.web.allowed_folders import allowed_folders, named_folder
from resight.web.app_state import AppState, display_path
from resight.web.job_schemas import JobRequest, MovesResponse
from resight.web.problems import ProblemError, problem_responses
from resight.web.queues import Task

MAX_FAILURES = 20
"""Files in the result of a job that could not be moved, or got another name."""

NOT_ALLOWED = (
    "That is neither below a folder of this collection nor below one that its server allows; "
    "choose another folder."
)


def router(state: AppState) -> APIRouter:
    """Return the endpoint of past moves."""
    routes = APIRouter(tags=["jobs"], responses=problem_responses(429, 503))

    @routes.get("/moves", response_model=MovesResponse)
    async def moves(request: Request) -> Response:
        """Return the moves whose files are not all back, the newest first."""

        def run(_: Store) -> dict[str, Any]:
            if state.service.remote is not None:
                return {"moves": []}
            return {
                "moves": [
                    {
                        "id": move.move,
                        "started": move.started,
                        "photos": move.photos,
                        "trash": move.folder is None,
                        "folder": _shown(move.folder, state),
                    }
                    for move in past_moves(Path(state.service.place))
                ]
            }

        return JSONResponse(await state.lookup(request, run))

    return routes


def moves_allowed(state: AppState) -> bool:
    """Return whether this server moves files."""
    settings = state.settings
    return settings.allow_move and settings.local_only and state.service.remote is None


def move_task(body: JobRequest, state: AppState) -> Task:
    """Return the task that moves photos; refuse an impossible one before it starts."""
    _check_allowed(state)
    ids = body.photos or []
    photos = state.service.current_store().photos_by_id(ids)
    for id_ in ids:
        if id_ not in photos:
            detail = f"There is no photo {id_} in this collection; none was moved."
            raise ProblemError(404, detail)
    chosen = list(photos.values())
    if body.to is None:
        if not has_trash():
            raise ProblemError(409, "Moving to this system's trash is not supported; use a folder.")
        return _task(state, lambda *work: _move(chosen, None, *work))
    folder = _folder(body.to, state)
    return _task(state, lambda *work: _move(chosen, folder, *work))


def undo_task(body: JobRequest, state: AppState) -> Task:
    """Return the task that brings the files of a move back."""
    _check_allowed(state)
    moves = [move.move for move in past_moves(Path(state.service.place))]
    if not moves or body.move not in (None, *moves):
        raise ProblemError(404, "There is no such move to undo; its files may be back already.")

    def undo(writer: Writer, roots: set[Path], progress: Progress) -> MoveReport:
        return undo_move(writer, body.move, roots=roots, progress=progress)

    return _task(state, undo)


def _move(
    photos: list[Photo],
    folder: Path | None,
    writer: Writer,
    roots: set[Path],
    progress: Progress,
) -> MoveReport:
    single = {photo.path.parent for photo in photos if not is_searched(photo.path, roots)}
    return move_photos(writer, photos, folder, roots=roots | single, progress=progress)


def _task(state: AppState, work: Callable[[Writer, set[Path], Progress], MoveReport]) -> Task:
    """Return the task that does some work while it holds the collection's lock."""

    def task(progress: Progress) -> dict[str, Any]:
        with writing(Path(state.service.place)) as writer:
            report = work(writer, set(indexed_folders(writer.collection)), progress)
        failures = [
            {"name": display_path(Path(path.name)), "reason": reason}
            for path, reason in report.failed[:MAX_FAILURES]
        ]
        return {
            "move": report.move,
            "moved": len(report.moved),
            "failed": len(report.failed),
            "failures": failures,
            "renamed": len(report.renamed),
            "renames": [
                {"name": display_path(Path(before.name)), "now": display_path(Path(after.name))}
                for before, after in report.renamed[:MAX_FAILURES]
            ],
            "stopped": report.stopped,
        }

    return task


def _check_allowed(state: AppState) -> None:
    """Refuse moves that the server's settings or its collection do not allow."""
    if not state.settings.local_only:
        raise ProblemError(403, "Photos can be moved only on the machine itself.")
    if not state.settings.allow_move:
        detail = "This server does not move photos; its owner can allow that."
        raise ProblemError(403, detail)
    if state.service.remote is not None:
        raise ProblemError(409, "Photos can be moved only with a collection in a local folder.")
    if not os.access(state.service.place, os.W_OK):
        raise ProblemError(409, "The folder of this collection is read-only, so nothing is moved.")


def _folder(text: str, state: AppState) -> Path:
    """Return the folder to move to, in the collection's own spelling of its folders.

    Raises:
        ProblemError: it is not allowed, is a file, or belongs to the collection itself.
    """
    named_folder(text, allowed_folders(state), NOT_ALLOWED)
    real = Path(os.path.realpath(text))
    if is_under(real, {Path(os.path.realpath(state.service.place))}):
        raise ProblemError(403, "That is the folder of the collection itself; choose another.")
    with Collection.open(state.service.place) as opened:
        folders = indexed_folders(opened)
    for folder in folders:
        resolved = Path(os.path.realpath(folder))
        if is_under(real, {resolved}):
            return folder / real.relative_to(resolved)
    return real


def _shown(folder: Path | None, state: AppState) -> str | None:
    """Return a folder as text; its path only for clients on the same machine."""
    if folder is None:
        return None
    return display_path(folder if state.settings.local_only else Path(folder.name))
