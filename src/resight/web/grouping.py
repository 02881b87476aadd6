"""Endpoints of groups: which photos of the collection show the same thing."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from resight.collection.reader import Photo
from resight.evaluation.evaluate_collection import store_lists
from resight.ranking.groups import (
    Groups,
    NeighborLists,
    estimate_limit,
    group_photos,
    groups_as_csv,
    groups_as_json,
)
from resight.web import answers
from resight.web.answers import problems
from resight.web.app_state import Context, json_answer
from resight.web.problems import Problem
from resight.web.queries import in_order, photo_dict
from resight.web.requests import MAX_OFFSET

PAGE = 50

Limit = Annotated[
    float | None,
    Query(ge=0, le=1e9, description="the largest distance between photos that are joined"),
]


class Grouper:
    """The groups of a collection; what takes long is found once and kept until it changes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._lists: tuple[str, NeighborLists, float] | None = None
        self._found: tuple[str, Groups] | None = None

    def find(self, limit: float | None) -> Groups:
        """The groups under a limit, or under the estimated one."""
        with self._lock, self._context.engine.store() as store:
            present = store.snapshot()
            stamp = present.stamp()
            if self._lists is None or self._lists[0] != stamp:
                lists = store_lists(present, self._check_stop)
                self._lists = stamp, lists, estimate_limit(lists)
            stamp, lists, estimated = self._lists
            used = estimated if limit is None else limit
            if self._found is None or (self._found[0], self._found[1].limit) != (stamp, used):
                self._found = stamp, Groups(used, estimated, group_photos(lists, used))
            return self._found[1]

    def _check_stop(self, done: int, total: int) -> None:
        if self._context.jobs.stopping:
            raise Problem(503, "The server is stopping.")


def router(context: Context) -> APIRouter:
    """The endpoints for one server."""
    routes = APIRouter(tags=["groups"])
    grouper = Grouper(context)
    with_path = context.settings.local_only

    async def export(
        request: Request,
        limit: float | None,
        write: Callable[[Groups, dict[int, Path]], str],
        media_type: str,
        name: str,
    ) -> Response:
        def run() -> str:
            found = grouper.find(limit)
            photos = _photos(context, [id_ for group in found.groups for id_ in group.ids])
            paths = {i: p.path if with_path else Path(p.path.name) for i, p in photos.items()}
            return write(_without_gone(found, photos), paths)

        text = await context.grouping.run(request, run)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text, headers=headers, media_type=media_type)

    @routes.get(
        "/groups",
        response_model=answers.GroupsAnswer,
        responses=problems(409, 422, 429, 503),
    )
    async def groups(
        request: Request,
        limit: Limit = None,
        after: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="groups to pass over")] = 0,
    ) -> Response:
        """The groups, a page at a time: photos of the same thing, and near-duplicates."""

        def run() -> dict[str, Any]:
            found = grouper.find(limit)
            page = found.groups[after : after + PAGE]
            photos = _photos(context, [id_ for group in page for id_ in group.ids])
            onward = after + PAGE if len(found.groups) > after + PAGE else None
            entries = [
                {
                    "kind": group.kind,
                    "photos": [
                        photo_dict(photo, with_path=with_path)
                        for photo in in_order(group.ids, photos)
                    ],
                }
                for group in page
            ]
            return {
                "limit": found.limit,
                "estimated_limit": found.estimated_limit,
                "groups": entries,
                "next": onward,
            }

        return json_answer(await context.grouping.run(request, run))

    @routes.get(
        "/groups.csv",
        response_class=Response,
        responses={
            200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
            **problems(409, 422, 429, 503),
        },
    )
    async def groups_csv(request: Request, limit: Limit = None) -> Response:
        """All groups as CSV: number of the group, kind, path."""
        media_type = "text/csv; charset=utf-8"
        return await export(request, limit, groups_as_csv, media_type, "groups.csv")

    @routes.get(
        "/groups.json",
        response_class=Response,
        responses={
            200: {"content": {"application/json": {"schema": {"type": "object"}}}},
            **problems(409, 422, 429, 503),
        },
    )
    async def groups_json(request: Request, limit: Limit = None) -> Response:
        """All groups as JSON."""
        return await export(request, limit, groups_as_json, "application/json", "groups.json")

    return routes


def _photos(context: Context, ids: list[int]) -> dict[int, Photo]:
    with context.engine.store() as store:
        return store.photos_by_id(ids)


def _without_gone(found: Groups, photos: dict[int, Photo]) -> Groups:
    """The groups without photos that were removed meanwhile."""
    groups = [
        dataclasses.replace(group, ids=tuple(id_ for id_ in group.ids if id_ in photos))
        for group in found.groups
    ]
    return dataclasses.replace(found, groups=groups)
