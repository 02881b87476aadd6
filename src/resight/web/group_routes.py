"""Endpoints of groups: which photos of the collection show the same thing."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from resight.backends.store import Store
from resight.collection.reader import Photo
from resight.evaluation.evaluate_collection import store_lists
from resight.ranking.groups import (
    Group,
    Groups,
    NeighborLists,
    estimate_limit,
    group_photos,
    groups_as_csv,
    groups_as_json,
)
from resight.web import schemas
from resight.web.app_state import AppState
from resight.web.problems import ProblemError
from resight.web.queues import JobQueue
from resight.web.schemas import photo_entry, problem_responses

PAGE_SIZE = 50

Limit = Annotated[
    float | None,
    Query(ge=0, le=1e9, description="largest distance between neighbors in a group"),
]
Writer = Callable[[Groups, dict[int, Path]], str]


class GroupCache:
    """The groups of a collection, recomputed only when it changes."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()
        self._neighbors: tuple[str, NeighborLists, float] | None = None
        self._groups: tuple[str, Groups] | None = None

    def get(self, store: Store, limit: float | None) -> Groups:
        """Return the groups under a limit, or under the estimated one."""
        with self._lock:
            snapshot = store.snapshot()
            stamp = snapshot.stamp()
            if self._neighbors is None or self._neighbors[0] != stamp:
                lists = store_lists(snapshot, self._check_stop)
                self._neighbors = stamp, lists, estimate_limit(lists)
            _, lists, estimated = self._neighbors
            limit = estimated if limit is None else limit
            if self._groups is None or (self._groups[0], self._groups[1].limit) != (stamp, limit):
                self._groups = stamp, Groups(limit, estimated, group_photos(lists, limit))
            return self._groups[1]

    def _check_stop(self, done: int, total: int) -> None:
        if self._jobs.stopping:
            raise ProblemError(503, "The server is stopping.")


def router(state: AppState) -> APIRouter:
    """Return the endpoints of groups."""
    routes = APIRouter(tags=["groups"], responses=problem_responses(409, 422, 429, 503))
    cache = GroupCache(state.jobs)
    with_path = state.settings.local_only

    @routes.get("/groups", response_model=schemas.GroupsResponse)
    async def groups(
        request: Request,
        limit: Limit = None,
        after: Annotated[
            int, Query(ge=0, le=schemas.MAX_OFFSET, description="number of groups to skip")
        ] = 0,
    ) -> Response:
        """Return the groups, a page at a time: photos of the same thing, and near-duplicates."""

        def run() -> dict[str, Any]:
            end = after + PAGE_SIZE
            store = state.service.current_store()
            groups = cache.get(store, limit)
            page, photos = _with_photos(groups.groups[after:end], store)
            entries = [
                {
                    "kind": group.kind,
                    "photos": [photo_entry(photos[id_], with_path=with_path) for id_ in group.ids],
                }
                for group in page
            ]
            return {
                "limit": groups.limit,
                "estimated_limit": groups.estimated_limit,
                "groups": entries,
                "next": end if len(groups.groups) > end else None,
            }

        return JSONResponse(await state.group_queue.run(request, run))

    async def export(
        request: Request, limit: float | None, write: Writer, media_type: str, name: str
    ) -> Response:
        def run() -> str:
            store = state.service.current_store()
            groups = cache.get(store, limit)
            present, photos = _with_photos(groups.groups, store)
            paths = {i: p.path if with_path else Path(p.path.name) for i, p in photos.items()}
            return write(dataclasses.replace(groups, groups=present), paths)

        text = await state.group_queue.run(request, run)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text, headers=headers, media_type=media_type)

    csv = schemas.other_content("text/csv")
    json = schemas.other_content("application/json", type="object")

    @routes.get("/groups.csv", response_class=Response, responses=csv)
    async def groups_csv(request: Request, limit: Limit = None) -> Response:
        """Return all groups as CSV: number of the group, kind, path."""
        media_type = "text/csv; charset=utf-8"
        return await export(request, limit, groups_as_csv, media_type, "groups.csv")

    @routes.get("/groups.json", response_class=Response, responses=json)
    async def groups_json(request: Request, limit: Limit = None) -> Response:
        """Return all groups as JSON."""
        return await export(request, limit, groups_as_json, "application/json", "groups.json")

    return routes


def _with_photos(groups: list[Group], store: Store) -> tuple[list[Group], dict[int, Photo]]:
    """Return groups without photos that were removed in the meantime, and their photos."""
    photos = store.photos_by_id([id_ for group in groups for id_ in group.ids])
    present = [
        dataclasses.replace(group, ids=tuple(id_ for id_ in group.ids if id_ in photos))
        for group in groups
    ]
    return present, photos
