"""Endpoint of explanations: why a photo of the collection matched a query."""

import base64
import io
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from PIL import Image

from resight.views import overlay
from resight.web import schemas
from resight.web.app_state import AppState, json_response
from resight.web.queries import QueryImage, parse_box, photo_by_id, read_json
from resight.web.schemas import problem_responses
from resight.web.search_routes import find_query

OVERLAY_SIDE = 400
SHADE = (12, 14, 20, 165)
"""Color, RGBA, over everything outside the class activation mask."""


def router(state: AppState) -> APIRouter:
    """Return the endpoint of explanations."""
    routes = APIRouter(tags=["explain"])

    @routes.post(
        "/explain",
        response_model=schemas.ExplainResponse,
        openapi_extra=schemas.json_body("ExplainRequest"),
        responses=problem_responses(404, 408, 409, 413, 415, 422, 429, 503),
    )
    async def explain(request: Request) -> Response:
        """Explain why a photo matched: heat maps of both photos, and matching places."""
        body = await read_json(request, schemas.ExplainRequest)
        query = await find_query(request, state, body.query)
        box = parse_box(body.box)
        query.check_box(box)

        def run() -> dict[str, Any]:
            store = state.service.current_store()
            result = QueryImage.of_photo(photo_by_id(store, body.result))
            explanation = state.service.explain(query, box, result)
            return {
                "query": _side(query, explanation.heat_query, explanation.mask_query),
                "result": _side(result, explanation.heat_other, explanation.mask_other),
                "matches": explanation.matches.round(1).astype(float).tolist(),
                "inliers": explanation.inliers,
                "distance": explanation.distance,
                "agreement": explanation.agreement,
            }

        return json_response(await state.search_queue.run(request, run))

    return routes


def heat_overlay(heat: np.ndarray, size: tuple[int, int]) -> str | None:
    """Return a heat map, float (h, w) in 0..1, as a `data:` URL for a photo; None without heat."""
    if not heat.size or float(heat.max()) <= 0:
        return None
    return _data_url(overlay.heat_overlay(heat, _overlay_size(size)))


def mask_overlay(mask: np.ndarray | None, size: tuple[int, int]) -> str | None:
    """Return a `data:` URL that shades a photo outside a mask, bool (h, w); None without one."""
    if mask is None:
        return None
    cells = Image.fromarray(mask.astype(np.uint8) * 255)
    inside = np.asarray(cells.resize(_overlay_size(size), Image.Resampling.BILINEAR)) / 255
    picture = np.empty((*inside.shape, 4), np.uint8)
    picture[:] = SHADE
    picture[..., 3] = (SHADE[3] * (1 - inside)).round().astype(np.uint8)
    return _data_url(Image.fromarray(picture))


def _side(image: QueryImage, heat: np.ndarray, mask: np.ndarray | None) -> dict[str, Any]:
    return {
        "width": image.size[0],
        "height": image.size[1],
        "heat": heat_overlay(heat, image.size),
        "cam": mask_overlay(mask, image.size),
    }


def _overlay_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, OVERLAY_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
