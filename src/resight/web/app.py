"""The application: the page, the interface under `/api/v1`, health and metrics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

import resight
from resight.methods.factory import ModelOptions
from resight.web import (
    answers,
    explanations,
    grouping,
    job_routes,
    photos,
    problems,
    requests,
    searches,
    static_files,
)
from resight.web.app_state import Context, json_answer
from resight.web.security import API, SecurityMiddleware
from resight.web.settings import WebSettings

DESCRIPTION = """Find, in a collection of photos, those that show the very same thing.

Errors are problem details (RFC 9457). Boxes are `x,y,w,h` in pixels of the upright photo. With a
token, send it as `Authorization: Bearer TOKEN`. Status 429 says that too many requests are
waiting; `Retry-After` says when to come back.
"""

REQUEST_MODELS: tuple[type[BaseModel], ...] = (
    requests.SearchRequest,
    requests.SearchForm,
    requests.ExplainRequest,
    requests.JobRequest,
)


def create_app(
    collection: Path | str, settings: WebSettings | None = None, model: ModelOptions | None = None
) -> FastAPI:
    """The application for a collection; `app.state.context` is what its endpoints share.

    Args:
        collection: the collection's folder, or its address on an engine.
        settings: address, token and limits; who runs the application listens where they say.
        model: weights, device and engine.

    Raises:
        CollectionError: there is no collection, or it cannot be read.
    """
    context = Context.create(collection, settings or WebSettings(), model or ModelOptions())
    with context.engine.store() as store:
        store.count("ok")

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # One connection stays open, for the last one to close tidies up the database.
        with context.engine.store():
            yield
            await asyncio.to_thread(context.close)

    app = FastAPI(
        title="Resight",
        description=DESCRIPTION,
        version=resight.__version__,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.context = context
    problems.install(app, with_paths=context.settings.local_only)
    app.add_middleware(SecurityMiddleware, settings=context.settings, metrics=context.metrics)
    for routes in (
        photos.router(context),
        searches.router(context),
        explanations.router(context),
        grouping.router(context),
        job_routes.router(context),
    ):
        app.include_router(routes, prefix=API)
    app.include_router(_upkeep(context))
    app.include_router(static_files.router())
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _upkeep(context: Context) -> APIRouter:
    routes = APIRouter(tags=["upkeep"])

    @routes.get(f"{API}/health", response_model=answers.HealthAnswer, responses=answers.problems())
    async def health() -> Response:
        """Whether the server answers; needs no token."""
        return json_answer({"status": "ok"})

    @routes.get("/metrics", response_class=PlainTextResponse, responses=answers.problems())
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        gauges = {
            "searches_waiting": context.searches.waiting,
            "pictures_waiting": context.pictures.waiting,
            "lookups_waiting": context.lookups.waiting,
            "uploads_arriving": context.arriving.running,
            "uploads_kept_bytes": context.uploads.kept_bytes,
            "thumbnails_bytes": context.thumbnails.kept_bytes,
            "job_running": int(context.jobs.running),
        }
        media_type = "text/plain; version=0.0.4; charset=utf-8"
        return Response(context.metrics.text(gauges), media_type=media_type)

    return routes


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The description of the interface, with the bodies that the endpoints read themselves."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        components["Problem"] = answers.ProblemAnswer.model_json_schema()
        for model in REQUEST_MODELS:
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            components.update(described.pop("$defs", {}))
            components[model.__name__] = described
        app.openapi_schema = schema
    return app.openapi_schema
