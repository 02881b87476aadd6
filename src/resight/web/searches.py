"""Endpoints of searching."""

import tempfile
import time
from typing import Any

from fastapi import APIRouter, Request, Response

from resight.web import answers
from resight.web.answers import problems
from resight.web.app_state import Context, json_answer
from resight.web.fetching import fetch
from resight.web.forms import is_form, read_json, reading_form
from resight.web.limits import too_large
from resight.web.problems import Problem
from resight.web.queries import photo_by_id, photo_dict
from resight.web.requests import (
    Named,
    SearchOptions,
    SearchRequest,
    parse_box,
    parse_filter,
    search_config,
)
from resight.web.search_service import Answer, QueryImage

SEARCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/SearchRequest"}},
            "multipart/form-data": {"schema": {"$ref": "#/components/schemas/SearchForm"}},
        },
    }
}


def router(context: Context) -> APIRouter:
    """The endpoints for one server."""
    routes = APIRouter(tags=["search"])

    @routes.post(
        "/search",
        response_model=answers.SearchAnswer,
        openapi_extra=SEARCH_BODY,
        responses=problems(400, 404, 408, 409, 413, 415, 422, 429, 503),
    )
    async def search(request: Request) -> Response:
        """The photos nearest to an upload, a photo of the collection, or a web address.

        Ids and distances are those of `resight search`. An upload is kept for a while under the
        name `query.upload` of the answer, for further pages, boxes and explanations.
        """
        if is_form(request):
            subject, options = await _receive(request, context)
        else:
            asked = await read_json(request, SearchRequest)
            options = asked
            if asked.url is not None:
                subject = await _fetch(request, context, asked.url)
            else:
                subject = await find_subject(request, context, asked)
        started = time.monotonic()
        answer = await _answer(request, context, subject, options)
        took_ms = round(1000 * (time.monotonic() - started), 1)
        return json_answer(_as_dict(answer, subject, options, context, took_ms))

    return routes


async def find_subject(request: Request, context: Context, named: Named) -> QueryImage:
    """The photo that a request names.

    Raises:
        Problem: there is none of that name.
    """
    if named.upload is not None:
        return QueryImage.of_upload(context.uploads.get(named.upload))
    id_ = named.photo or 0

    def find() -> QueryImage:
        with context.engine.store() as store:
            return QueryImage.of_photo(photo_by_id(store, id_))

    return await context.lookups.run(request, find)


async def _receive(request: Request, context: Context) -> tuple[QueryImage, SearchOptions]:
    with context.arriving.counted():
        async with reading_form(request) as (file, fields):
            options = SearchOptions.model_validate_strings(fields)
            if (file.size or 0) > context.settings.max_upload_bytes:
                raise too_large(context.settings.max_upload_bytes)
            upload = await context.lookups.run(request, lambda: context.uploads.add(file.file))
    return QueryImage.of_upload(upload), options


async def _fetch(request: Request, context: Context, url: str) -> QueryImage:
    if not context.settings.allow_urls:
        raise Problem(403, "This server does not fetch web addresses; send the photo itself.")

    def run() -> QueryImage:
        with tempfile.TemporaryFile() as file:
            fetch(url, file, context.settings.max_upload_bytes)
            file.seek(0)
            return QueryImage.of_upload(context.uploads.add(file))

    return await context.fetches.run(request, run)


async def _answer(
    request: Request, context: Context, subject: QueryImage, options: SearchOptions
) -> Answer:
    box = parse_box(options.box)
    subject.check_box(box)
    where = parse_filter(options, local_only=context.settings.local_only)
    config = search_config(options)

    def search(only_recalled: bool) -> Answer | None:
        with context.engine.searching() as searcher:
            if only_recalled:
                searcher.store.check()  # an empty collection is said before anything waits
                if context.engine.recall(searcher, subject, box) is None:
                    return None
            return searcher.answer(
                subject,
                box,
                config,
                offset=options.offset,
                limit=options.limit,
                where=where,
            )

    if config.verify == 0 and config.rerank == "none" and where is None:
        quick = await context.lookups.run(request, lambda: search(only_recalled=True))
        if quick is not None:
            return quick
    found = await context.searches.run(request, lambda: search(only_recalled=False))
    if found is None:
        raise Problem(500, "The search gave no answer.")
    return found


def _as_dict(
    answer: Answer, subject: QueryImage, options: SearchOptions, context: Context, took_ms: float
) -> dict[str, Any]:
    results = []
    for photo, result in answer.results:
        entry = photo_dict(photo, with_path=context.settings.local_only)
        entry |= {"rank": result.rank, "distance": result.distance}
        if result.inliers is not None:
            entry["inliers"] = result.inliers
        if result.region and result.query_region:
            entry |= {"region": list(result.region), "query_region": list(result.query_region)}
        results.append(entry)
    box = parse_box(options.box)
    width, height = subject.size
    query = {"photo": subject.photo, "upload": subject.upload, "width": width, "height": height}
    return {
        "query": query,
        "box": list(box) if box else None,
        "results": results,
        "total": answer.total,
        "took_ms": took_ms,
    }
