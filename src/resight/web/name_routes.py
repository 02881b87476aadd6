"""Endpoints of names: things that a person named, and searches for more photos of them."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from resight.backends.names import name as name_thing
from resight.backends.store import Store
from resight.collection import Photo
from resight.collection.names import check_name
from resight.errors import UsageError
from resight.searching.named import photos_of_thing
from resight.searching.query import SearchResults
from resight.web import name_schemas, schemas
from resight.web.app_state import AppState, photo_by_id
from resight.web.filters import has_filter, parse_filter
from resight.web.name_schemas import MAX_PHOTOS, Name, NameRequest, ThingSearchRequest
from resight.web.problems import ProblemError, problem_responses
from resight.web.schemas import Id, read_json
from resight.web.search_routes import result_entries, search_config

SHOWN = 12
"""Photos of each thing in the list of names."""


def router(state: AppState) -> APIRouter:
    """Return the endpoints of names."""
    errors = problem_responses(404, 409, 413, 415, 422, 429, 503)
    routes = APIRouter(tags=["names"], responses=errors)

    @routes.get("/names", response_model=name_schemas.NamesResponse)
    async def names(request: Request) -> Response:
        """Return the named things, each with some of its photos."""

        def run(store: Store) -> dict[str, Any]:
            things = store.names().things
            return {"names": [_entry(store, state, *thing) for thing in things.items()]}

        return JSONResponse(await state.lookup(request, run))

    @routes.post(
        "/names",
        response_model=name_schemas.NameChangeResponse,
        openapi_extra=schemas.body(json=NameRequest),
    )
    async def add(request: Request) -> Response:
        """Name the thing that some photos show."""
        body = await read_json(request, NameRequest)
        return JSONResponse(
            await state.lookup(request, lambda store: _change(store, state, body.name, body.photos))
        )

    @routes.delete("/names", response_model=name_schemas.NameChangeResponse)
    async def remove(
        request: Request,
        name: Name,
        photo: Annotated[
            list[Id] | None,
            Query(max_length=MAX_PHOTOS, description="only from these photos, by their ids"),
        ] = None,
    ) -> Response:
        """Remove a name, from all photos or from some."""

        def run(store: Store) -> dict[str, Any]:
            return _change(store, state, name, photo or [], remove=True)

        return JSONResponse(await state.lookup(request, run))

    @routes.post(
        "/names/search",
        response_model=schemas.SearchResponse,
        openapi_extra=schemas.body(json=ThingSearchRequest),
    )
    async def search(request: Request) -> Response:
        """Search with the photos that carry a name, fused into one answer.

        `view` of a result is the id of the photo that shows it best, and `named` whether it
        carries the name itself.
        """
        body = await read_json(request, ThingSearchRequest)
        if body.box is not None:
            raise ProblemError(422, "box: only with a single photo as the query.")
        config = search_config(body)
        started = time.monotonic()

        def run() -> dict[str, Any]:
            store = state.service.current_store()
            where = parse_filter(body, store, state) if has_filter(body) else None
            try:
                views = photos_of_thing(store, body.thing)
            except UsageError:
                raise _no_such_name(body.thing) from None
            page = state.service.search_views(views, config, where)
            by_content = {str(p.content): p for p in reversed(_photos(store, body.thing))}
            entries = result_entries(page, state)
            for entry, result, photo in zip(entries, page.results, page.photos, strict=True):
                entry["view"] = by_content[str(views[result.view].content)].id
                entry["named"] = str(photo.content) in by_content
            first = by_content[str(views[0].content)]
            size = {"width": first.width, "height": first.height}
            return {
                "query": {"photo": first.id, "upload": None, **size},
                "box": None,
                "results": entries,
                "found": SearchResults(None, None, page.results).found,
                "total": page.total,
            }

        found = await state.search_queue.run(request, run)
        return JSONResponse({**found, "took_ms": round(1000 * (time.monotonic() - started), 1)})

    return routes


def _change(
    store: Store, state: AppState, name: str, ids: list[int], *, remove: bool = False
) -> dict[str, Any]:
    """Give a name to photos or remove it; return the thing and the photos that changed."""
    paths = [photo_by_id(store, id_).path for id_ in ids]
    before = {photo.id for photo in _photos(store, name)}
    if remove and not store.names().contents(_checked(name)):
        raise _no_such_name(name)
    if remove and not before.issuperset(ids):
        raise ProblemError(404, f"Not all of these photos are named “{_checked(name)}”.")
    location = state.service.remote or state.service.place
    name_thing(name, paths, location, remove=remove)
    after = {photo.id for photo in _photos(store, name)}
    key, things = _checked(name), store.names().things
    spelling = next((each for each in things if each.casefold() == key.casefold()), key)
    entry = _entry(store, state, spelling, things.get(spelling, []))
    return {**entry, "changed": sorted(before ^ after)}


def _entry(store: Store, state: AppState, name: str, contents: list[str]) -> dict[str, Any]:
    """Return a thing as a `NamedEntry`."""
    photos = store.photos_with(contents)
    return {
        "name": name,
        "count": len(photos),
        "photos": [state.photo_entry(photo) for photo in photos[:SHOWN]],
    }


def _photos(store: Store, name: str) -> list[Photo]:
    """Return the photos that carry a name, by ascending ID."""
    return store.photos_with(store.names().contents(_checked(name)))


def _checked(name: str) -> str:
    try:
        return check_name(name)
    except UsageError as error:
        raise ProblemError(422, f"That cannot be a name: {error}.") from None


def _no_such_name(name: str) -> ProblemError:
    return ProblemError(404, f"Nothing in this collection is named “{_checked(name)}”.")
