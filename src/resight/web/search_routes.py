"""Endpoints of searching, and of explaining why a photo matched."""

import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from resight.backends.store import Filter
from resight.config import RerankConfig, SearchConfig
from resight.errors import UsageError
from resight.searching.query import ResultPage, SearchResults
from resight.searching.sameness import Sameness
from resight.web import schemas
from resight.web.app_state import AppState, photo_by_id
from resight.web.filters import has_filter, parse_filter
from resight.web.originals import check_unchanged
from resight.web.pictures import heat_overlay, mask_overlay
from resight.web.problems import ProblemError, problem_responses, too_large
from resight.web.schemas import QueryReference, SearchOptions, parse_box, read_json
from resight.web.uploads import QueryImage, fetch

MAX_SHORTLIST = 1000
"""Photos that one search may re-rank; the cost grows with the square of their number."""

MAX_FIELD_BYTES = 4096

MAX_FIELDS = 24
"""More than there are options."""


def router(state: AppState) -> APIRouter:
    """Return the endpoints of searching and explaining."""
    errors = problem_responses(400, 404, 408, 409, 413, 415, 422, 429, 503)
    routes = APIRouter(tags=["search"], responses=errors)

    @routes.post(
        "/search",
        response_model=schemas.SearchResponse,
        openapi_extra=schemas.body(json=schemas.SearchRequest, form=schemas.SearchForm),
    )
    async def search(request: Request) -> Response:
        """Return the photos nearest to an upload, a photo of the collection, or a web address.

        Ids and distances are those of `resight search`. An upload is stored for a while under the
        name `query.upload` of the response, for further pages, regions and explanations.
        """
        queries, options = await _read_search(request, state)
        started = time.monotonic()
        page = await _search(request, state, queries, options)
        took_ms = round(1000 * (time.monotonic() - started), 1)
        return JSONResponse(_as_dict(page, queries, options, state, took_ms))

    @routes.post(
        "/explain",
        response_model=schemas.ExplainResponse,
        openapi_extra=schemas.body(json=schemas.ExplainRequest),
    )
    async def explain(request: Request) -> Response:
        """Explain why a photo matched or not: the decision, the places that agree, heat maps."""
        body = await read_json(request, schemas.ExplainRequest)
        query = await _find_query(request, state, body.query)
        box = parse_box(body.box)
        query.check_box(box)

        def run() -> dict[str, Any]:
            store = state.service.current_store()
            photo = photo_by_id(store, body.result)
            check_unchanged(photo)
            result = QueryImage.of_photo(photo)
            explanation = state.service.explain(query, box, result)
            return {
                "query": _side(query, explanation.heat_query, explanation.mask_query),
                "result": _side(result, explanation.heat_other, explanation.mask_other),
                "matches": explanation.matches.round(1).astype(float).tolist(),
                "agreement": explanation.agreement,
                **_decision(explanation.sameness),
                "distance": explanation.distance,
                "inliers": explanation.inliers,
            }

        return JSONResponse(await state.search_queue.run(request, run))

    @routes.post(
        "/same",
        response_model=schemas.SameResponse,
        openapi_extra=schemas.body(json=schemas.SameRequest),
    )
    async def same(request: Request) -> Response:
        """Decide whether two photos show the same thing, as a search with the first would."""
        body = await read_json(request, schemas.SameRequest)
        first = await _find_query(request, state, body.first)
        second = await _find_query(request, state, body.second)
        box = parse_box(body.box)
        first.check_box(box)

        def run() -> dict[str, Any]:
            return _decision(state.service.compare(first, box, second))

        return JSONResponse(await state.search_queue.run(request, run))

    return routes


async def _find_query(request: Request, state: AppState, reference: QueryReference) -> QueryImage:
    """Return the query that a request refers to."""
    if reference.upload is not None:
        return state.uploads.get(reference.upload)
    photo_id = reference.photo or 0
    photo = await state.lookup(request, lambda store: photo_by_id(store, photo_id))
    return QueryImage.of_photo(photo)


async def _read_search(request: Request, state: AppState) -> tuple[list[QueryImage], SearchOptions]:
    if schemas.media_type(request) != "multipart/form-data":
        body = await read_json(request, schemas.SearchRequest)
        if body.url is None:
            first = await _find_query(request, state, body)
        else:
            first = await _fetch_query(request, state, body.url)
        return [first, *[await _find_query(request, state, more) for more in body.more]], body
    with state.active_uploads.acquire():
        async with _open_form(request) as (file, fields):
            options = SearchOptions.model_validate_strings(fields)
            if (file.size or 0) > state.settings.max_upload_bytes:
                raise too_large(state.settings.max_upload_bytes)
            photo = await state.lookup_queue.run(request, lambda: state.uploads.add(file.file))
    return [photo], options


@contextlib.asynccontextmanager
async def _open_form(request: Request) -> AsyncIterator[tuple[UploadFile, dict[str, str]]]:
    """Open the photo in a form, and its other fields; close the file when the block ends."""
    try:
        form = await request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except (HTTPException, ValueError) as error:
        message = getattr(error, "detail", "the form is damaged")
        raise ProblemError(400, f"The form cannot be read: {message.rstrip('.')}.") from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ProblemError(422, "The form has no photo: send it as the field “file”.")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        if len(form.multi_items()) != len(fields) + 1:
            raise ProblemError(422, "The form has the same field twice.")
        yield file, fields
    finally:
        await form.close()


async def _fetch_query(request: Request, state: AppState, url: str) -> QueryImage:
    if not state.settings.allow_urls:
        raise ProblemError(403, "This server does not fetch web addresses; send the photo itself.")

    def fetch_upload() -> QueryImage:
        with tempfile.TemporaryFile() as file:
            fetch(url, file, state.settings.max_upload_bytes)
            file.seek(0)
            return state.uploads.add(file)

    return await state.fetch_queue.run(request, fetch_upload)


async def _search(
    request: Request, state: AppState, queries: list[QueryImage], options: SearchOptions
) -> ResultPage:
    box = parse_box(options.box)
    queries[0].check_box(box)
    config = search_config(options)
    where: Filter | None = None
    if has_filter(options):
        where = await state.lookup(request, lambda store: parse_filter(options, store, state))

    def search(cached_only: bool) -> ResultPage | None:
        return state.service.search_photos(queries, box, config, where, cached_only=cached_only)

    page = None
    if config.verify == 0 and config.rerank.method == "none" and where is None:
        page = await state.lookup_queue.run(request, lambda: search(cached_only=True))
    if page is None:
        page = await state.search_queue.run(request, lambda: search(cached_only=False))
    assert page is not None
    return page


def search_config(options: SearchOptions) -> SearchConfig:
    """Return the configuration of a search; refuse parameters beyond the server's limits."""
    settings = options.rerank_with.split(",") if options.rerank_with else []
    try:
        config = SearchConfig(
            k=options.k,
            offset=options.offset,
            max_distance=options.limit,
            rerank=RerankConfig.parse(options.rerank, settings),
            verify=options.verify,
            verify_by=options.verify_by,
            verify_geometry=options.verify_geometry,
            decide=options.decide,
            mirrored=options.mirrored,
            rotated=options.rotated,
        )
    except UsageError as error:
        raise ProblemError(422, f"{error}.") from None
    if config.rerank.shortlist > MAX_SHORTLIST:
        raise ProblemError(422, f"rerank_with: shortlist: at most {MAX_SHORTLIST}.")
    return config


def result_entries(page: ResultPage, state: AppState) -> list[dict[str, Any]]:
    """Return the results of a page as `ResultEntry`."""
    results = []
    for photo, result, copies in zip(page.photos, page.results, page.copies, strict=True):
        entry = state.photo_entry(photo)
        entry |= {"rank": result.rank, "distance": result.distance}
        if result.probability is not None:
            entry |= {"verdict": result.verdict, "probability": result.probability}
        if result.kind is not None:
            entry["kind"] = result.kind
        if result.hint:
            entry["hint"] = True
        if result.unread:
            entry["unread"] = True
        if result.match is not None:
            entry |= result.match.to_dict()
        if copies:
            entry["copies"] = [state.photo_entry(copy) for copy in copies]
        results.append(entry)
    return results


def _as_dict(
    page: ResultPage,
    queries: list[QueryImage],
    options: SearchOptions,
    state: AppState,
    took_ms: float,
) -> dict[str, Any]:
    results = result_entries(page, state)
    if len(queries) > 1:
        for entry, result in zip(results, page.results, strict=True):
            entry["view"] = result.view
    box = parse_box(options.box)
    query = queries[0]
    width, height = query.size
    return {
        "query": {"photo": query.photo, "upload": query.upload, "width": width, "height": height},
        "box": list(box) if box else None,
        "results": results,
        "found": SearchResults(None, None, page.results).found,
        "total": page.total,
        "took_ms": took_ms,
    }


def _decision(sameness: Sameness) -> dict[str, Any]:
    return {**sameness.to_dict(), "summary": str(sameness)}


def _side(image: QueryImage, heat: np.ndarray, mask: np.ndarray | None) -> dict[str, Any]:
    return {
        "width": image.size[0],
        "height": image.size[1],
        "heat": heat_overlay(heat, image.size),
        "cam": mask_overlay(mask, image.size),
    }
