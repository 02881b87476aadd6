"""Endpoint of explanations: why a photo of the collection matched a query."""

from typing import Any

from fastapi import APIRouter, Request, Response

from resight.photos.images import Box
from resight.web import answers
from resight.web.answers import problems
from resight.web.app_state import Context, json_answer
from resight.web.forms import read_json
from resight.web.overlays import heat_overlay, mask_overlay
from resight.web.queries import photo_by_id
from resight.web.requests import ExplainRequest, parse_box
from resight.web.search_service import QueryImage, ServiceSearcher
from resight.web.searches import find_subject

EXPLAIN_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/ExplainRequest"}}
        },
    }
}


def router(context: Context) -> APIRouter:
    """The endpoints for one server."""
    routes = APIRouter(tags=["explain"])

    @routes.post(
        "/explain",
        response_model=answers.ExplainAnswer,
        openapi_extra=EXPLAIN_BODY,
        responses=problems(404, 408, 409, 413, 415, 422, 429, 503),
    )
    async def explain(request: Request) -> Response:
        """Why a photo matched: heat over both photos, and the places that match."""
        asked = await read_json(request, ExplainRequest)
        subject = await find_subject(request, context, asked.query)
        box = parse_box(asked.box)
        subject.check_box(box)

        def run() -> dict[str, Any]:
            with context.engine.searching() as searcher:
                other = QueryImage.of_photo(photo_by_id(searcher.store, asked.result))
                return _explain(searcher, subject, box, other)

        return json_answer(await context.searches.run(request, run))

    return routes


def _explain(
    searcher: ServiceSearcher, subject: QueryImage, box: Box | None, other: QueryImage
) -> dict[str, Any]:
    found = searcher.explain(subject, box, other)
    sides = [
        {
            "width": side.size[0],
            "height": side.size[1],
            "heat": heat_overlay(heat, side.size),
            "cam": mask_overlay(mask, side.size),
        }
        for side, heat, mask in (
            (subject, found.heat_query, found.mask_query),
            (other, found.heat_other, found.mask_other),
        )
    ]
    return {
        "query": sides[0],
        "result": sides[1],
        "matches": found.matches.round(1).astype(float).tolist(),
        "inliers": found.inliers,
        "distance": found.distance,
        "agreement": found.agreement,
    }
