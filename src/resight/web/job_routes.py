"""Endpoints of jobs: indexing and removing in the background, with events to follow."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse

from resight.collection.reader import Collection
from resight.collection.writer import writing
from resight.indexing import pipeline
from resight.progress import Progress
from resight.web import answers
from resight.web.answers import problems
from resight.web.app_state import Context, json_answer
from resight.web.forms import read_json
from resight.web.jobs import Job, Work
from resight.web.problems import Problem
from resight.web.queries import known_places
from resight.web.requests import JobRequest

LOOK_EVERY_S = 0.2
HEARTBEAT = 75
"""Looks without news after which a comment keeps the connection open."""

JOB_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobRequest"}}},
    }
}

JobId = Annotated[str, InPath(max_length=64, pattern="^[A-Za-z0-9_-]+$")]


def router(context: Context) -> APIRouter:
    """The endpoints for one server."""
    routes = APIRouter(tags=["jobs"])

    @routes.post(
        "/jobs",
        status_code=202,
        response_model=answers.JobStarted,
        openapi_extra=JOB_BODY,
        responses=problems(404, 409, 413, 415, 422, 429, 503),
    )
    async def start(request: Request) -> Response:
        """Index the known folders anew, or forget photos; the files are never touched."""
        asked = await read_json(request, JobRequest)

        def begin() -> Job:
            return context.jobs.start(asked.action, _work(asked, context))

        job = await context.lookups.run(request, begin)
        return json_answer({"id": job.id}, 202)

    @routes.get("/jobs/{id}", response_model=answers.JobAnswer, responses=problems(404, 422))
    async def job(id: JobId) -> Response:
        """A job: how far it is, how it ended."""
        return json_answer(context.jobs.get(id).snapshot())

    @routes.delete(
        "/jobs/{id}",
        status_code=202,
        response_model=answers.JobAnswer,
        responses=problems(404, 422),
    )
    async def stop(id: JobId) -> Response:
        """Stop a job after the photo it is at; what is done stays done."""
        found = context.jobs.get(id)
        found.stop.set()
        return json_answer(found.snapshot(), 202)

    @routes.get(
        "/jobs/{id}/events",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **problems(404, 422),
        },
    )
    async def events(id: JobId) -> Response:
        """The job's events: `progress` {what, done, total}, at the end `done` or `failed`."""
        return StreamingResponse(
            _events(context.jobs.get(id), context), media_type="text/event-stream"
        )

    return routes


async def _events(job: Job, context: Context) -> AsyncIterator[str]:
    said, quiet = None, 0
    while True:
        snapshot = job.snapshot()
        progress, state = snapshot["progress"], snapshot["state"]
        if progress != said and progress["what"]:
            said, quiet = progress, 0
            yield _event("progress", progress)
        if state == "done":
            yield _event("done", snapshot["result"] or {})
            return
        if state == "failed":
            yield _event("failed", {"detail": snapshot["detail"]})
            return
        quiet += 1
        if quiet % HEARTBEAT == 0:
            yield ": still there\n\n"
        await asyncio.sleep(LOOK_EVERY_S)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _work(asked: JobRequest, context: Context) -> Work:
    """What a job is to do; what cannot be is refused here, before it starts."""
    if asked.action == "remove":
        return _removing(asked.photos or [], context)
    if context.engine.remote is not None:
        raise Problem(409, "Photos are indexed in a folder, and brought here by resight push.")
    folder = Path(context.engine.place)
    return _indexing(folder, _places(folder, asked, context), asked.prune, context)


def _places(folder: Path, asked: JobRequest, context: Context) -> list[Path]:
    if asked.folders is None:
        with Collection.open(folder) as collection:
            places = known_places(collection)
        if not places:
            raise Problem(409, "None of the folders that were indexed is there any more.")
        return places
    if not context.settings.local_only:
        raise Problem(403, "Folders can be named only on the machine itself.")
    places = [Path(folder) for folder in asked.folders]
    for place in places:
        if "\0" in str(place) or not place.is_absolute() or not place.is_dir():
            raise Problem(422, f"{place} is no folder on this machine; give its full path.")
    return places


def _indexing(folder: Path, places: list[Path], prune: bool, context: Context) -> Work:
    def work(progress: Progress) -> dict[str, Any]:
        run = pipeline.index(places, folder, model=context.model, prune=prune, progress=progress)
        report = run.report
        if report.interrupted:
            raise KeyboardInterrupt
        return {
            "photos": run.photos,
            "new": report.new,
            "changed": report.changed,
            "moved": len(report.moved),
            "unchanged": report.unchanged,
            "failed": len(report.failed),
            "vanished": len(report.vanished),
            "pruned": report.pruned,
            "note": run.selection_note,
        }

    return work


def _removing(ids: list[int], context: Context) -> Work:
    with context.engine.store() as store:
        found = store.photos_by_id(ids)
    for id_ in ids:
        if id_ not in found:
            raise Problem(404, f"There is no photo {id_} in this collection; none was removed.")

    def work(progress: Progress) -> dict[str, Any]:
        if context.engine.remote is not None:
            context.engine.remote.remove(ids)
            removed = len(ids)
        else:
            with writing(Path(context.engine.place)) as writer:
                photos = list(writer.collection.photos_by_id(ids).values())
                writer.remove(photos)
                removed = len(photos)
        progress("removing", removed, removed)
        return {"removed": removed}

    return work
