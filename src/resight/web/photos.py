"""Endpoints of the collection and its photos."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi import Path as InPath

from resight.backends.store import Store
from resight.collection.reader import Photo
from resight.config import ExtractionConfig, to_dict
from resight.web import answers
from resight.web.answers import problems
from resight.web.app_state import Context, if_none_match, json_answer
from resight.web.pictures import IMMUTABLE, PRIVATE, picture
from resight.web.queries import photo_by_id, photo_dict, shown, version
from resight.web.requests import MAX_ID

IdInPath = Annotated[int, InPath(ge=1, le=MAX_ID, description="the id of a photo")]
Version = Annotated[
    str | None,
    Query(alias="v", max_length=64, description="its version: the answer may be kept for good"),
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", include_in_schema=False)]

PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "Not Modified"},
}


def router(context: Context) -> APIRouter:
    """The endpoints for one server."""
    routes = APIRouter(tags=["photos"])
    with_path = context.settings.local_only

    async def look(request: Request, function: Callable[[Store], Response]) -> Response:
        def run() -> Response:
            with context.engine.store() as store:
                return function(store)

        return await context.lookups.run(request, run)

    @routes.get(
        "/collection",
        response_model=answers.CollectionAnswer,
        responses=problems(422, 429, 503),
    )
    async def collection(request: Request) -> Response:
        """What the collection is, and what this server allows."""
        return await look(request, lambda opened: json_answer(_describe(opened, context)))

    @routes.get(
        "/photos",
        response_model=answers.PhotosAnswer,
        response_model_exclude_unset=True,
        responses=problems(422, 429, 503),
    )
    async def photos(
        request: Request,
        after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """The photos by ascending id, a page at a time."""

        def page(opened: Store) -> Response:
            found = opened.photos_after(after, limit + 1)
            entries = [photo_dict(photo, with_path=with_path) for photo in found[:limit]]
            onward = found[limit - 1].id if len(found) > limit else None
            return json_answer({"photos": entries, "next": onward})

        return await look(request, page)

    @routes.get(
        "/photos/{id}",
        response_model=answers.PhotoAnswer,
        responses=problems(404, 422, 429, 503),
    )
    async def photo(request: Request, id: IdInPath) -> Response:
        """One photo."""
        return await look(
            request,
            lambda opened: json_answer(photo_dict(photo_by_id(opened, id), with_path=with_path)),
        )

    @routes.get(
        "/photos/{id}/thumbnail",
        response_class=Response,
        responses={**PICTURE, **problems(404, 422, 429, 503)},
    )
    async def thumbnail(
        request: Request, id: IdInPath, v: Version = None, if_match: IfNoneMatch = None
    ) -> Response:
        """A small picture of a photo, a JPEG of at most 320 pixels a side."""
        found = await _photo(request, context, id)
        headers = _cache_headers(found, v, "small")
        if if_none_match(if_match, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        data = await context.lookups.run(request, lambda: context.thumbnails.get(found))
        if data is None:
            data, as_indexed = await context.pictures.run(
                request, lambda: context.thumbnails.make(found)
            )
            if not as_indexed:
                headers = {"Cache-Control": "no-store"}
        return Response(data, headers=headers, media_type="image/jpeg")

    @routes.get(
        "/photos/{id}/original",
        response_class=Response,
        responses={**PICTURE, **problems(404, 422, 429, 503)},
    )
    async def original(
        request: Request, id: IdInPath, v: Version = None, if_match: IfNoneMatch = None
    ) -> Response:
        """A photo in full: its file where browsers show that, else a JPEG of it."""
        found = await _photo(request, context, id)
        headers = _cache_headers(found, v, "full")
        if if_none_match(if_match, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return await context.pictures.run(request, lambda: picture(found.path, headers))

    @routes.get(
        "/uploads/{token}",
        response_class=Response,
        responses={200: PICTURE[200], **problems(404, 422, 429)},
    )
    async def upload(
        request: Request, token: Annotated[str, InPath(max_length=64, pattern="^[A-Za-z0-9_-]+$")]
    ) -> Response:
        """A query photo that is still kept, by the name an earlier answer gave it."""
        kept = context.uploads.get(token)
        headers = {"Cache-Control": "private, max-age=600"}
        return await context.pictures.run(request, lambda: picture(kept.path, headers))

    @routes.get("/failed", response_model=answers.FailedAnswer, responses=problems(422, 429, 503))
    async def failed(request: Request) -> Response:
        """The photos that could not be indexed, with the reasons."""

        def reasons(opened: Store) -> Response:
            entries = []
            for photo in opened.photos("failed"):
                entry = {"name": shown(Path(photo.path.name)), "reason": photo.reason}
                entries.append({**entry, "path": shown(photo.path)} if with_path else entry)
            return json_answer({"failed": entries})

        return await look(request, reasons)

    return routes


async def _photo(request: Request, context: Context, id_: int) -> Photo:
    def find() -> Photo:
        with context.engine.store() as opened:
            return photo_by_id(opened, id_)

    return await context.lookups.run(request, find)


def _cache_headers(photo: Photo, asked: str | None, kind: str) -> dict[str, str]:
    control = IMMUTABLE if asked == version(photo) else PRIVATE
    return {"ETag": f'"{str(photo.content)[:32]}-{kind}"', "Cache-Control": control}


def _describe(store: Store, context: Context) -> dict[str, object]:
    config, settings = store.provenance.config, context.settings
    cnn = isinstance(config, ExtractionConfig)
    return {
        "name": shown(Path(context.name)),
        "photos": store.count("ok"),
        "failed": store.count("failed"),
        "method": config.method,
        "config": to_dict(config),
        "distance": store.provenance.distance,
        "has_local": isinstance(config, ExtractionConfig) and config.cam,
        "indexing": context.jobs.running,
        "cnn": cnn,
        "urls_allowed": settings.allow_urls,
        "folders_allowed": settings.local_only,
        "max_upload_bytes": settings.max_upload_bytes,
        "max_pixels": settings.max_pixels,
    }
