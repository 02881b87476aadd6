"""The application: the page, the interface under `/api/v1`, health and metrics."""

import asyncio
import contextlib
import mimetypes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.staticfiles import StaticFiles

import resight
from resight.errors import UsageError
from resight.methods.model import ModelOptions
from resight.web import (
    WebSettings,
    detail_routes,
    hint_routes,
    hint_schemas,
    job_routes,
    job_schemas,
    move_routes,
    name_routes,
    name_schemas,
    photo_routes,
    problems,
    schemas,
    search_routes,
    watch_routes,
)
from resight.web.app_state import METRICS_TYPE, AppState
from resight.web.index_jobs import LOOK, index_task
from resight.web.security import API, SecurityMiddleware
from resight.web.transport import Compression, HeadRequests
from resight.web.watching import Watcher

CLEAN_S = 60.0
"""Seconds between two removals of expired uploads and of thumbnails of removed photos."""

STATIC = Path(__file__).parent / "static"

DESCRIPTION = """Find photos of a collection that show the same object, building or scene.

Errors are problem details (RFC 9457). Boxes are `x,y,w,h` in pixels of the upright photo. With a
token, send it as `Authorization: Bearer TOKEN`. Status 429 means that too many requests are
waiting; `Retry-After` is when to try again.
"""


SECURITY_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token that `resight serve` prints, or that it was started with.",
    }
}


class PageFiles(StaticFiles):
    """The page's files, which browsers revalidate each time."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """Return a file, or 304 if the client has its current version."""
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "private, no-cache"
        return response


class WebApp(FastAPI):
    """An application whose description has the bodies that endpoints read themselves."""

    def openapi(self) -> dict[str, Any]:
        """Return the description of the interface."""
        if self.openapi_schema is None:
            description = super().openapi()
            components = description["components"]["schemas"]
            description["components"]["securitySchemes"] = SECURITY_SCHEMES
            if self.state.shared.settings.token is not None:
                description["security"] = [{name: []} for name in SECURITY_SCHEMES]
            for model in (
                *schemas.READ_BY_ENDPOINTS,
                *hint_schemas.READ_BY_ENDPOINTS,
                *job_schemas.READ_BY_ENDPOINTS,
                *name_schemas.READ_BY_ENDPOINTS,
            ):
                described = model.model_json_schema(ref_template="#/components/schemas/{model}")
                components.update(described.pop("$defs", {}))
                components[model.__name__] = described
        return super().openapi()


def create_app(
    collection: Path | str, settings: WebSettings | None = None, model: ModelOptions | None = None
) -> FastAPI:
    """Create the application for a collection; `app.state.shared` is its `AppState`.

    Args:
        collection: the collection's folder, or its address on a backend.
        settings: address, token and limits; the caller has to listen on that address.
        model: weights, device and runtime.

    Raises:
        CollectionError: there is no collection, or it cannot be read.
        UsageError: a collection on a backend cannot be watched.
    """
    state = AppState(collection, settings or WebSettings(), model or ModelOptions())
    state.service.store.count("ok")
    if state.settings.watch and state.service.remote is not None:
        raise UsageError("only with a collection in a folder", parameter="watch")
    watcher = Watcher(
        Path(collection), state.jobs, lambda: index_task(LOOK, state), state.settings.watch_every_s
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        cleaning = asyncio.create_task(_clean_regularly(state))
        if state.settings.watch:
            watcher.start()
        yield
        watcher.stop()
        cleaning.cancel()
        await asyncio.to_thread(state.close)

    app = WebApp(
        title="Resight",
        description=DESCRIPTION,
        version=resight.__version__,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # its page would fetch scripts from other sites
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.shared = state
    problems.install_handlers(app, with_paths=state.settings.local_only)
    app.add_middleware(Compression)
    app.add_middleware(HeadRequests)
    app.add_middleware(SecurityMiddleware, settings=state.settings, metrics=state.metrics)
    routers = (
        photo_routes.router,
        detail_routes.router,
        photo_routes.group_router,
        search_routes.router,
        job_routes.router,
        move_routes.router,
        hint_routes.router,
        name_routes.router,
    )
    for router in routers:
        app.include_router(router(state), prefix=API)
    app.include_router(watch_routes.router(state, watcher), prefix=API)
    app.include_router(_monitoring_router(state))
    _serve_page(app)
    return app


async def _clean_regularly(state: AppState) -> None:
    """Delete expired files at the start, and then regularly."""
    while True:
        await asyncio.to_thread(state.clean)
        await asyncio.sleep(CLEAN_S)


def _monitoring_router(state: AppState) -> APIRouter:
    routes = APIRouter(tags=["monitoring"])
    errors = problems.problem_responses()

    @routes.get(
        f"{API}/health",
        response_model=schemas.HealthResponse,
        responses=errors,
        openapi_extra={"security": []},
    )
    async def health() -> Response:
        """Return that the server is up; needs no token."""
        return JSONResponse({"status": "ok"})

    @routes.get("/metrics", response_class=PlainTextResponse, responses=errors)
    async def read_metrics() -> Response:
        """Return counters and gauges in Prometheus' text format."""
        return Response(state.metrics.text(), media_type=METRICS_TYPE)

    return routes


def _serve_page(app: FastAPI) -> None:
    mimetypes.add_type("text/javascript", ".js")  # some systems are configured otherwise
    files = PageFiles(directory=STATIC)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon(request: Request) -> Response:
        return await files.get_response("icon.svg", request.scope)

    app.mount("/static", files)
