"""Endpoints that watch the collection's folders for new photos."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from resight.web import schemas
from resight.web.app_state import AppState
from resight.web.index_jobs import check_indexable
from resight.web.job_schemas import WatchRequest, WatchResponse
from resight.web.problems import ProblemError, problem_responses
from resight.web.schemas import read_json
from resight.web.watching import Watcher, may_watch


def router(state: AppState, watcher: Watcher) -> APIRouter:
    """Return the endpoints of watching."""
    routes = APIRouter(tags=["jobs"], responses=problem_responses(409, 413, 415, 422, 429, 503))

    @routes.get("/watch", response_model=WatchResponse)
    async def status() -> Response:
        """Return whether the folders are watched, when they were looked at, and what came."""
        return JSONResponse(_status(state, watcher))

    @routes.post(
        "/watch", response_model=WatchResponse, openapi_extra=schemas.body(json=WatchRequest)
    )
    async def switch(request: Request) -> Response:
        """Start to watch the folders, or stop; a job that runs goes on."""
        body = await read_json(request, WatchRequest)
        if body.watching:
            check_indexable(state)
            if not may_watch(state.service.place):
                raise ProblemError(409, "The folder of this collection is read-only.")
            watcher.start()
        else:
            watcher.stop()
        return JSONResponse(_status(state, watcher))

    return routes


def _status(state: AppState, watcher: Watcher) -> dict[str, Any]:
    look, job = watcher.last, watcher.job
    return {
        "watching": watcher.watching,
        "allowed": state.service.remote is None and may_watch(state.service.place),
        "every_s": watcher.every_s,
        "looked": look and look.at,
        "folders": look.folders if look else 0,
        "missing": look.missing if look else 0,
        "added": watcher.added,
        "job": job and job.snapshot(),
    }
