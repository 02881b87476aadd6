"""The shapes of answers, as `/api/v1/openapi.json` describes them."""

from typing import Any, Literal

from pydantic import BaseModel

from resight.web.problems import Problem


class ProblemAnswer(BaseModel):
    """An error (RFC 9457); `detail` is a sentence for a person."""

    type: str
    title: str
    status: int
    detail: str


class PhotoAnswer(BaseModel):
    """A photo of the collection; `path` only on the machine itself."""

    id: int
    name: str
    width: int
    height: int
    version: str
    path: str | None = None


class ResultAnswer(PhotoAnswer):
    """A photo found; `inliers` only where the geometry was checked.

    `region` and `query_region` are the boxes x, y, w, h of the photo found and of the query that
    hold what agrees.
    """

    rank: int
    distance: float
    inliers: int | None = None
    region: list[int] | None = None
    query_region: list[int] | None = None


class QueryAnswer(BaseModel):
    """The query: its upright size, and the name under which an upload is kept."""

    photo: int | None
    upload: str | None
    width: int
    height: int


class SearchAnswer(BaseModel):
    """The answer to a search; `total` counts the photos within the limit.

    Among some photos alone and without a limit it is null: nobody has counted them.
    """

    query: QueryAnswer
    box: list[int] | None
    results: list[ResultAnswer]
    total: int | None
    took_ms: float


class CollectionAnswer(BaseModel):
    """What the collection is and what the server allows."""

    name: str
    photos: int
    failed: int
    method: str
    config: dict[str, Any]
    distance: str
    has_local: bool
    indexing: bool
    cnn: bool
    urls_allowed: bool
    folders_allowed: bool
    max_upload_bytes: int
    max_pixels: int


class PhotosAnswer(BaseModel):
    """A page of photos; `next` is the `after` of the page that follows."""

    photos: list[PhotoAnswer]
    next: int | None


class FailedPhoto(BaseModel):
    """A photo that could not be indexed."""

    name: str
    reason: str
    path: str | None = None


class FailedAnswer(BaseModel):
    """All photos that could not be indexed."""

    failed: list[FailedPhoto]


class ProgressAnswer(BaseModel):
    """How far a job is."""

    what: str
    done: int
    total: int


class JobAnswer(BaseModel):
    """A job."""

    id: str
    action: str
    state: Literal["running", "done", "failed"]
    progress: ProgressAnswer
    detail: str | None
    result: dict[str, Any] | None


class JobStarted(BaseModel):
    """The id of a job that was started."""

    id: str


class SideAnswer(BaseModel):
    """One photo of an explanation: its upright size and overlays as `data:` addresses."""

    width: int
    height: int
    heat: str | None
    cam: str | None


class ExplainAnswer(BaseModel):
    """Why two photos matched; matches are x1, y1, x2, y2 in pixels of the upright photos."""

    query: SideAnswer
    result: SideAnswer
    matches: list[list[float]]
    inliers: int
    distance: float
    agreement: float | None


class GroupAnswer(BaseModel):
    """Photos of the same thing, or nearly the same pictures."""

    kind: Literal["same-thing", "near-duplicate"]
    photos: list[PhotoAnswer]


class GroupsAnswer(BaseModel):
    """A page of groups; `limit` is the largest distance between neighbors in a group."""

    limit: float
    estimated_limit: float
    groups: list[GroupAnswer]
    next: int | None


class HealthAnswer(BaseModel):
    """The server answers."""

    status: Literal["ok"]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The description of an endpoint's errors."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": Problem(status, "").title, "content": content}
        for status in (401, 403, 421, *statuses)
    }
