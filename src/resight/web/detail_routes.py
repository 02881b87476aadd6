"""Endpoints of the folders of a collection, and of the files of its photos."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from resight.backends.store import Store
from resight.collection import Photo
from resight.photos import exif
from resight.photos.images import read_exif
from resight.web import photo_schemas
from resight.web.app_state import AppState, display_path, photo_by_id
from resight.web.file_manager import reveal
from resight.web.listing import MAX_FOLDERS, shallowest
from resight.web.originals import open_indexed
from resight.web.photo_routes import PhotoId
from resight.web.problems import ProblemError, problem_responses

REMOTE = "Only a browser on the server's own machine can have a photo shown in its folder."


def router(state: AppState) -> APIRouter:
    """Return the endpoints of folders and details."""
    routes = APIRouter(tags=["photos"], responses=problem_responses(404, 409, 422, 429, 503))

    @routes.get("/folders", response_model=photo_schemas.FoldersResponse)
    async def folders(request: Request) -> Response:
        """Return the folders of the photos, with their numbers of photos."""

        def run() -> dict[str, Any]:
            every = state.listing.folders(state.service.current_store())
            shown = shallowest(every, MAX_FOLDERS)
            return {
                "folders": [
                    {
                        "folder": state.folder_text(folder.path, folder.name),
                        "name": display_path(Path(folder.name)),
                        "photos": folder.photos,
                    }
                    for folder in shown
                ],
                "omitted": len(every) - len(shown),
            }

        return JSONResponse(await state.list_queue.run(request, run))

    @routes.get("/photos/{id}/details", response_model=photo_schemas.PhotoDetails)
    async def details(request: Request, id: PhotoId) -> Response:
        """Return a photo with the details of its file: date, camera and lens."""

        def find(store: Store) -> tuple[Photo, str]:
            photo = photo_by_id(store, id)
            return photo, state.listing.folder_name(store, photo.path.parent)

        photo, folder = await state.lookup(request, find)
        file = await state.picture_queue.run(request, lambda: _file_details(photo))
        entry = state.photo_entry(photo) | {
            "bytes": photo.size,
            "folder": state.folder_text(photo.path.parent, folder),
        }
        return JSONResponse(entry | file)

    @routes.post("/photos/{id}/reveal", response_model=photo_schemas.RevealResponse)
    async def reveal_photo(request: Request, id: PhotoId) -> Response:
        """Show a photo in the file manager of the server's machine; only for clients on it."""
        if not state.settings.local_only:
            raise ProblemError(403, REMOTE)
        photo = await state.lookup(request, lambda store: photo_by_id(store, id))
        await state.picture_queue.run(request, lambda: reveal(photo.path))
        return JSONResponse({"status": "shown"})

    return routes


def _file_details(photo: Photo) -> dict[str, Any]:
    """Return the fields of `PhotoDetails` that are in the photo's unchanged file."""
    try:
        with open_indexed(photo) as file:
            texts = read_exif(file)
    except ProblemError as problem:
        return {"problem": problem.detail}
    taken = exif.parse_time(texts.pop("taken", ""))
    return texts if taken is None else {**texts, "taken": taken.isoformat()}
