"""Endpoints of jobs: indexing, removing and moving in the background, with events to follow."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from resight.collection.folders import forget
from resight.collection.writer import writing
from resight.progress import Progress
from resight.web import job_schemas, schemas
from resight.web.app_state import AppState
from resight.web.index_jobs import index_task
from resight.web.move_routes import move_task, undo_task
from resight.web.problems import ProblemError, problem_responses
from resight.web.queues import Job, Task
from resight.web.schemas import read_json

POLL_S = 0.2
HEARTBEAT_POLLS = 75
"""Polls without progress after which a comment keeps the connection open."""


def router(state: AppState) -> APIRouter:
    """Return the endpoints of jobs."""
    errors = problem_responses(404, 409, 413, 415, 422, 429, 503)
    routes = APIRouter(tags=["jobs"], responses=errors)

    @routes.post(
        "/jobs",
        status_code=202,
        response_model=job_schemas.JobStarted,
        openapi_extra=schemas.body(json=job_schemas.JobRequest),
    )
    async def start(request: Request) -> Response:
        """Re-index the collection's folders, remove photos from it, or move their files.

        Only `move` and `undo-move` touch files, and only where the server allows it.
        """
        body = await read_json(request, job_schemas.JobRequest)
        job = await state.lookup_queue.run(
            request, lambda: state.jobs.start(body.action, _task(body, state))
        )
        return JSONResponse({"id": job.id}, 202)

    @routes.get("/jobs/{id}", response_model=job_schemas.JobResponse)
    async def job(id: schemas.Token) -> Response:
        """Return a job: its progress, or how it ended."""
        return JSONResponse(state.jobs.get(id).snapshot())

    @routes.delete("/jobs/{id}", status_code=202, response_model=job_schemas.JobResponse)
    async def stop(id: schemas.Token) -> Response:
        """Stop a job after the current photo; finished photos stay indexed."""
        job = state.jobs.get(id)
        job.stop.set()
        return JSONResponse(job.snapshot(), 202)

    @routes.get(
        "/jobs/{id}/events",
        response_class=StreamingResponse,
        responses=schemas.other_content("text/event-stream"),
    )
    async def events(id: schemas.Token) -> Response:
        """Stream a job's events: `progress` {what, done, total}, at last `done` or `failed`."""
        return StreamingResponse(_events(state.jobs.get(id)), media_type="text/event-stream")

    return routes


async def _events(job: Job) -> AsyncIterator[str]:
    sent: dict[str, Any] | None = None
    idle_polls = 0
    while True:
        snapshot = job.snapshot()
        progress = snapshot["progress"]
        if progress != sent and progress["what"]:
            sent, idle_polls = progress, 0
            yield _event("progress", progress)
        if snapshot["state"] == "done":
            yield _event("done", snapshot["result"] or {})
            return
        if snapshot["state"] == "failed":
            yield _event("failed", {"detail": snapshot["detail"]})
            return
        idle_polls += 1
        if idle_polls % HEARTBEAT_POLLS == 0:
            yield ": heartbeat\n\n"
        await asyncio.sleep(POLL_S)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _task(body: job_schemas.JobRequest, state: AppState) -> Task:
    """Return a job's task; refuse impossible jobs before they start."""
    if body.action == "remove":
        return _remove_task(body.photos or [], state)
    if body.action == "move":
        return move_task(body, state)
    if body.action == "undo-move":
        return undo_task(body, state)
    return index_task(body, state)


def _remove_task(ids: list[int], state: AppState) -> Task:
    photos = state.service.current_store().photos_by_id(ids)
    for id_ in ids:
        if id_ not in photos:
            detail = f"There is no photo {id_} in this collection; none was removed."
            raise ProblemError(404, detail)

    def task(progress: Progress) -> dict[str, Any]:
        if state.service.remote is not None:
            state.service.remote.remove(ids)
            removed = len(ids)
        else:
            with writing(Path(state.service.place)) as writer:
                photos = list(writer.collection.photos_by_id(ids).values())
                writer.remove(photos)
                forget(writer)
                removed = len(photos)
        progress("removing", removed, removed)
        return {"removed": removed}

    return task
