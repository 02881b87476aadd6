"""Endpoints of hints: what a person decided about photos."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import JSONResponse

from resight.backends.hints import decide, undo_hints
from resight.backends.store import Store
from resight.collection.hints import Hint
from resight.errors import UsageError
from resight.web import schemas
from resight.web.app_state import AppState, photo_by_id
from resight.web.hint_schemas import HintRequest, HintsResponse
from resight.web.problems import ProblemError, problem_responses
from resight.web.schemas import read_json

HintId = Annotated[
    str, InPath(pattern="^[0-9a-f]{16}(-[0-9a-f]{16})?$", description="the id of a hint")
]

CONTRADICTION = "The decision contradicts earlier ones, or is about photos of the same content."


def router(state: AppState) -> APIRouter:
    """Return the endpoints of hints."""
    errors = problem_responses(404, 409, 413, 415, 422, 429, 503)
    routes = APIRouter(tags=["hints"], responses=errors)

    @routes.get("/hints", response_model=HintsResponse)
    async def hints(request: Request) -> Response:
        """Return the hints, oldest first."""

        def run(store: Store) -> dict[str, Any]:
            return {"hints": _entries(list(store.hints()), store, state)}

        return JSONResponse(await state.lookup(request, run))

    @routes.post(
        "/hints",
        response_model=HintsResponse,
        openapi_extra=schemas.body(json=HintRequest),
    )
    async def add(request: Request) -> Response:
        """Decide that photos are the same or different, or which to keep; return the new hints."""
        body = await read_json(request, HintRequest)

        def run(store: Store) -> dict[str, Any]:
            photos, others = (
                [photo_by_id(store, id_).path for id_ in ids]
                for ids in (body.photos, body.others or ())
            )
            location = state.service.remote or state.service.place
            try:
                change = decide(body.verdict, photos, location, apart_from=others)
            except UsageError:  # its message names the files, which clients must not see
                raise ProblemError(409, CONTRADICTION) from None
            state.service.refresh()
            return {
                "hints": _entries(change.added, store, state),
                "replaced": _entries(change.removed, store, state),
            }

        return JSONResponse(await state.lookup(request, run))

    @routes.delete("/hints", response_model=HintsResponse)
    async def undo_decision(
        request: Request,
        decided: Annotated[str, Query(max_length=40, description="the time of the decision")],
    ) -> Response:
        """Undo all the hints of one decision; return them."""

        def run(store: Store) -> dict[str, Any]:
            found = [hint for hint in store.hints() if hint.decided == decided]
            if not found:
                raise ProblemError(404, "There is no decision of that time in this collection.")
            undo_hints(state.service.remote or state.service.place, found)
            state.service.refresh()
            return {"hints": _entries(found, store, state)}

        return JSONResponse(await state.lookup(request, run))

    @routes.delete("/hints/{id}", response_model=HintsResponse)
    async def undo(request: Request, id: HintId) -> Response:
        """Undo a hint; return it."""

        def run(store: Store) -> dict[str, Any]:
            found = [hint for hint in store.hints() if hint.id == id]
            if not found:
                raise ProblemError(404, f"There is no hint {id} in this collection.")
            undo_hints(state.service.remote or state.service.place, found[0])
            state.service.refresh()
            return {"hints": _entries(found, store, state)}

        return JSONResponse(await state.lookup(request, run))

    return routes


def _entries(
    hints: list[Hint] | tuple[Hint, ...], store: Store, state: AppState
) -> list[dict[str, Any]]:
    """Return hints as `HintEntry`, with the first photo of each content."""
    photos: dict[str, dict[str, Any]] = {}
    for photo in store.photos_with({content for hint in hints for content in hint.contents}):
        photos.setdefault(str(photo.content), state.photo_entry(photo))
    return [
        {
            "id": hint.id,
            "verdict": hint.verdict,
            "decided": hint.decided,
            "photos": [photos.get(content) for content in hint.contents],
        }
        for hint in hints
    ]
