"""Endpoints of the collection, its photos, and groups of photos that show the same thing."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import JSONResponse

from resight.backends.store import Store
from resight.collection import Photo
from resight.collection.moves.trash import has_trash
from resight.photos import open_photo
from resight.ranking.groups import Group, Groups
from resight.web import photo_schemas, schemas
from resight.web.allowed_folders import allowed_folders
from resight.web.app_state import AppState, display_path, photo_by_id, photo_version
from resight.web.filters import find_folder, has_filter, parse_filter
from resight.web.move_routes import moves_allowed
from resight.web.new_collection import home_folders, offered_folders
from resight.web.pictures import full_photo, full_picture
from resight.web.problems import problem_responses
from resight.web.schemas import MAX_ID

GROUPS_PER_PAGE = 50

REVALIDATE = "private, no-cache"
"""Cached by the browser, but checked each time: an id may come to name another photo."""

IMMUTABLE = "private, max-age=31536000, immutable"
"""For addresses that name the version of the content."""

PhotoId = Annotated[int, InPath(ge=1, le=MAX_ID, description="the id of a photo")]
Version = Annotated[
    str | None,
    Query(alias="v", max_length=64, description="the photo's version: caches keep the response"),
]
PICTURE: dict[int | str, dict[str, Any]] = {
    **schemas.other_content("image/jpeg", type="string", format="binary"),
    304: {"description": "Not Modified"},
}


def router(state: AppState) -> APIRouter:
    """Return the endpoints of photos."""
    routes = APIRouter(tags=["photos"], responses=problem_responses(404, 409, 422, 429, 503))
    with_path = state.settings.local_only

    async def read(request: Request, function: Callable[[Store], dict[str, Any]]) -> Response:
        return JSONResponse(await state.lookup(request, function))

    @routes.get("/collection", response_model=schemas.CollectionResponse)
    async def collection(request: Request) -> Response:
        """Return what the collection is, and what this server allows."""
        return await read(request, lambda store: _describe(store, state))

    @routes.get("/photos", response_model=photo_schemas.PhotosResponse)
    async def photos(
        request: Request, query: Annotated[photo_schemas.PhotosQuery, Query()]
    ) -> Response:
        """Return the photos that match the filters, by default all, a page at a time."""

        def page(store: Store) -> dict[str, Any]:
            where = parse_filter(query, store, state)
            page = state.listing.page(store, where, query.sort, query.after, query.limit)
            entries = [state.photo_entry(photo) for photo in page[0]]
            return {"photos": entries, "next": page[1], "total": page[2]}

        if query.sort == "id" and not has_filter(query):
            return await read(request, page)
        # Sorting a large collection by date may take long; it must not delay other lookups.
        run = state.list_queue.run
        return JSONResponse(await run(request, lambda: page(state.service.current_store())))

    @routes.get("/photos/{id}", response_model=schemas.PhotoEntry)
    async def photo(request: Request, id: PhotoId) -> Response:
        """Return one photo."""
        return await read(request, lambda store: state.photo_entry(photo_by_id(store, id)))

    @routes.get("/photos/{id}/thumbnail", response_class=Response, responses=PICTURE)
    async def thumbnail(request: Request, id: PhotoId, v: Version = None) -> Response:
        """Return a small picture of a photo, a JPEG of at most 320 pixels a side."""

        def read_cached(store: Store) -> tuple[Photo, bytes | None]:
            photo = photo_by_id(store, id)
            return photo, state.thumbnails.get(photo)

        photo, data = await state.lookup(request, read_cached)
        headers = _cache_headers(photo, v, "small")
        if _is_current(request, headers):
            return Response(status_code=304, headers=headers)
        if data is None:
            data = await state.picture_queue.run(
                request, lambda: state.thumbnails.get_or_create(photo)
            )
        return Response(data, headers=headers, media_type="image/jpeg")

    @routes.get("/photos/{id}/original", response_class=Response, responses=PICTURE)
    async def original(request: Request, id: PhotoId, v: Version = None) -> Response:
        """Return a photo in full: its file where browsers show that, otherwise a JPEG of it."""
        photo = await state.lookup(request, lambda store: photo_by_id(store, id))
        headers = _cache_headers(photo, v, "full")
        if _is_current(request, headers):
            return Response(status_code=304, headers=headers)
        return await state.picture_queue.run(request, lambda: full_photo(photo, headers))

    @routes.get("/uploads/{token}", response_class=Response, responses=PICTURE)
    async def upload(request: Request, token: schemas.Token) -> Response:
        """Return a query photo that is still stored, by the name an earlier response gave it."""
        path = state.uploads.get(token).path
        headers = {"Cache-Control": "private, max-age=600"}
        return await state.picture_queue.run(
            request, lambda: full_picture(open_photo(path), headers)
        )

    @routes.get("/failed", response_model=photo_schemas.FailedResponse)
    async def failed(request: Request) -> Response:
        """Return the photos that could not be indexed, with the reasons."""

        def reasons(store: Store) -> dict[str, Any]:
            entries = []
            for photo in store.photos("failed"):
                entry = {"name": display_path(Path(photo.path.name)), "reason": photo.reason}
                entries.append({**entry, "path": display_path(photo.path)} if with_path else entry)
            return {"failed": entries}

        return await read(request, reasons)

    return routes


def group_router(state: AppState) -> APIRouter:
    """Return the endpoints of groups."""
    routes = APIRouter(tags=["groups"], responses=problem_responses(409, 422, 429, 503))
    with_path = state.settings.local_only

    async def find_under(request: Request, under: str | None) -> Path | None:
        if under is None:
            return None
        return await state.lookup(request, lambda store: find_folder(under, store, state))

    @routes.get("/groups", response_model=schemas.GroupsResponse)
    async def groups(
        request: Request, query: Annotated[photo_schemas.GroupsQuery, Query()]
    ) -> Response:
        """Return the groups, a page at a time: photos of the same thing, and near-duplicates."""
        folder = await find_under(request, query.under)

        def run() -> dict[str, Any]:
            end = query.after + GROUPS_PER_PAGE
            store = state.service.current_store()
            groups = state.groups.get(store, query.limit)
            found = _filtered(groups.groups, query, folder, store)
            page, photos = _with_photos(found[query.after : end], store)
            names = store.names()
            entries = [
                {
                    "kind": group.kind,
                    "photos": [
                        {**state.photo_entry(photos[id_]), "bytes": photos[id_].size}
                        for id_ in group.ids
                    ],
                    "best": group.best if group.best in photos else None,
                    "names": names.of(photos[id_].content for id_ in group.ids),
                }
                for group in page
            ]
            return {
                "limit": groups.estimated_limit if groups.limit is None else groups.limit,
                "estimated_limit": groups.estimated_limit,
                "groups": entries,
                "next": end if len(found) > end else None,
            }

        return JSONResponse(await state.group_queue.run(request, run))

    async def export(
        request: Request,
        query: photo_schemas.GroupsFilter,
        write: Callable[[Groups], str],
        media_type: str,
        name: str,
    ) -> Response:
        folder = await find_under(request, query.under)

        def run() -> str:
            store = state.service.current_store()
            groups = state.groups.get(store, query.limit)
            found = _filtered(groups.groups, query, folder, store)
            present, photos = _with_photos(found, store)
            paths = {i: p.path if with_path else Path(p.path.name) for i, p in photos.items()}
            named = [dataclasses.replace(g, paths=tuple(paths[i] for i in g.ids)) for g in present]
            return write(dataclasses.replace(groups, groups=named))

        text = await state.group_queue.run(request, run)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text, headers=headers, media_type=media_type)

    csv = schemas.other_content("text/csv")
    json_object = schemas.other_content("application/json", type="object")

    @routes.get("/groups.csv", response_class=Response, responses=csv)
    async def groups_csv(
        request: Request, query: Annotated[photo_schemas.GroupsFilter, Query()]
    ) -> Response:
        """Return the groups as CSV: number of the group, kind, path, whether it is the best."""
        media_type = "text/csv; charset=utf-8"
        return await export(request, query, Groups.to_csv, media_type, "groups.csv")

    @routes.get("/groups.json", response_class=Response, responses=json_object)
    async def groups_json(
        request: Request, query: Annotated[photo_schemas.GroupsFilter, Query()]
    ) -> Response:
        """Return the groups as JSON."""
        return await export(request, query, _as_json, "application/json", "groups.json")

    return routes


def _is_current(request: Request, headers: dict[str, str]) -> bool:
    """Return whether the client has the version that the response's headers name."""
    tags = request.headers.get("if-none-match", "").split(",")
    return not {headers["ETag"], "*"}.isdisjoint(tag.strip().removeprefix("W/") for tag in tags)


def _cache_headers(photo: Photo, version: str | None, kind: str) -> dict[str, str]:
    control = IMMUTABLE if version == photo_version(photo) else REVALIDATE
    return {"ETag": f'"{str(photo.content)[:32]}-{kind}"', "Cache-Control": control}


def _describe(store: Store, state: AppState) -> dict[str, Any]:
    config, settings = store.provenance.config, state.settings
    return {
        "name": display_path(Path(state.name)),
        "photos": store.count("ok"),
        "failed": store.count("failed"),
        "method": config.method,
        "config": config.to_dict(),
        "distance": store.provenance.distance,
        "has_local": config.cam,
        "indexing": state.jobs.running,
        "cnn": config.method == "cnn",
        "urls_allowed": settings.allow_urls,
        "new": state.service.is_new,
        "folders_allowed": settings.local_only
        and bool(settings.index_folders or (state.starting and home_folders(settings))),
        "index_folders": _index_folders(state),
        "local": settings.local_only,
        "moves_allowed": moves_allowed(state),
        "trash": moves_allowed(state) and has_trash(),
        "move_folders": _move_folders(state),
        "max_upload_bytes": settings.max_upload_bytes,
        "max_pixels": settings.max_pixels,
    }


def _filtered(
    groups: list[Group], query: photo_schemas.GroupsFilter, folder: Path | None, store: Store
) -> list[Group]:
    """Return the groups of a kind and a minimum size with a photo in or below a folder."""
    of_kind = [group for group in groups if query.kind in (None, group.kind)]
    found = [group for group in of_kind if len(group.ids) >= query.min_photos]
    if folder is None:
        return found
    inside = {photo.id for photo in store.photos_under(folder)}
    return [group for group in found if not inside.isdisjoint(group.ids)]


def _move_folders(state: AppState) -> list[str]:
    """Return the folders below which files may be moved."""
    if not moves_allowed(state):
        return []
    return sorted(display_path(folder) for folder in allowed_folders(state))


def _index_folders(state: AppState) -> list[str]:
    """Return folders to index that the page offers."""
    if not state.settings.local_only:
        return []
    offered = offered_folders(state.settings) if state.starting else state.settings.index_folders
    return [display_path(folder) for folder in offered]


def _as_json(groups: Groups) -> str:
    return json.dumps(groups.to_dict(), indent=2)


def _with_photos(groups: list[Group], store: Store) -> tuple[list[Group], dict[int, Photo]]:
    """Return groups without photos that were removed in the meantime, and their photos."""
    photos = store.photos_by_id([id_ for group in groups for id_ in group.ids])
    present = [
        dataclasses.replace(group, ids=tuple(id_ for id_ in group.ids if id_ in photos))
        for group in groups
    ]
    return present, photos
