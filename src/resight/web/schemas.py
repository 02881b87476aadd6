"""The shapes of requests and answers, as `/api/v1/openapi.json` describes them."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, model_validator

from resight.config import Reranking, VerifiedBy
from resight.photos.files import absolute
from resight.photos.images import Box
from resight.stores.store import Filter
from resight.web.problems import Problem

MAX_ID = 2**63 - 1
MAX_K = 1000
MAX_OFFSET = 1_000_000
MAX_SIDE = 1_000_000
FIRST_MOMENT = "0001-01-01T00:00:00"
"""What a time is completed with where less was said."""

Id = Annotated[StrictInt, Field(ge=1, le=MAX_ID)]
BoxText = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,7},[0-9]{1,7},[0-9]{1,7},[0-9]{1,7}$",
        description="x,y,w,h in pixels of the upright photo",
        examples=["120,80,300,200"],
    ),
]
TimeText = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?)?)?$",
        description="a year, month, day, minute or second in the camera's time: its beginning",
        examples=["2019-06", "2020-01-31T12:00"],
    ),
]


class Request(BaseModel):
    """A request: unknown fields are refused, so that a misspelt one is not passed over."""

    model_config = ConfigDict(extra="forbid")


class SearchOptions(Request):
    """How to search, for every kind of query; also the fields of the form beside `file`."""

    box: BoxText | None = Field(None, description="search with this region of the photo")
    k: int = Field(10, ge=1, le=MAX_K, description="how many results")
    offset: int = Field(0, ge=0, le=MAX_OFFSET, description="how many results to pass over")
    limit: float | None = Field(None, ge=0, le=1e9, description="the largest distance shown")
    verify: int = Field(0, ge=0, le=50, description="check the geometry of so many first results")
    verify_by: VerifiedBy = Field("sift", description="by SIFT, or the network's columns")
    rerank: Reranking = Field("none", description="put the first results into a better order")
    under: str | None = Field(
        None,
        max_length=4096,
        description="among the photos in or below this folder alone; only on the machine itself",
    )
    taken_from: TimeText | None = Field(None, description="among photos taken then or later")
    taken_before: TimeText | None = Field(None, description="among photos taken earlier")
    min_side: int | None = Field(
        None, ge=1, le=MAX_SIDE, description="among photos whose shorter side has so many pixels"
    )


class StrictSearchOptions(SearchOptions):
    """The same in JSON, where a number is a number."""

    k: StrictInt = Field(10, ge=1, le=MAX_K, description="how many results")
    offset: StrictInt = Field(0, ge=0, le=MAX_OFFSET, description="how many results to pass over")
    limit: StrictFloat | StrictInt | None = Field(
        None, ge=0, le=1e9, description="the largest distance shown"
    )
    verify: StrictInt = Field(
        0, ge=0, le=50, description="check the geometry of so many first results"
    )
    min_side: StrictInt | None = Field(
        None, ge=1, le=MAX_SIDE, description="among photos whose shorter side has so many pixels"
    )


class Named(Request):
    """A query by name: a photo of the collection, or an upload that is still kept."""

    photo: Id | None = Field(None, description="the id of a photo of the collection")
    upload: str | None = Field(
        None, max_length=64, description="the name that an earlier answer gave to an upload"
    )

    @model_validator(mode="after")
    def _one(self) -> "Named":
        if sum(value is not None for value in self._named()) != 1:
            raise ValueError(f"give one of {', '.join(self._names)}")
        return self

    _names: tuple[str, ...] = ("photo", "upload")

    def _named(self) -> list[Any]:
        return [getattr(self, name) for name in self._names]


class SearchRequest(StrictSearchOptions, Named):
    """A search in JSON: exactly one of `photo`, `upload` and `url`, and the options."""

    url: str | None = Field(None, max_length=2000, description="where the server allows it")

    _names: tuple[str, ...] = ("photo", "upload", "url")


class SearchForm(SearchOptions):
    """A search as a form: the photo, and the options as text."""

    file: bytes = Field(json_schema_extra={"format": "binary"}, description="the photo's file")


class ExplainRequest(Request):
    """Why a photo matched a query, or a region of it."""

    query: Named
    box: BoxText | None = None
    result: Id = Field(description="the id of the photo that matched")


class JobRequest(Request):
    """A job: index the known folders (or further ones) anew, or forget photos."""

    action: Literal["index", "remove"]
    folders: list[Annotated[str, Field(min_length=1, max_length=4096)]] | None = Field(
        None,
        max_length=100,
        description="index: folders of the server, absolute; only on the machine itself",
    )
    prune: bool = Field(False, strict=True, description="index: forget photos that are gone")
    photos: list[Id] | None = Field(
        None, min_length=1, max_length=10_000, description="remove: the ids of the photos"
    )

    @model_validator(mode="after")
    def _fits(self) -> "JobRequest":
        if self.action == "index" and self.photos is not None:
            raise ValueError("photos are for the action remove")
        if self.action == "remove" and (self.photos is None or self.folders is not None):
            raise ValueError("the action remove needs photos, and nothing else")
        return self


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


def parse_box(text: str | None) -> Box | None:
    """`x,y,w,h` as four numbers."""
    if text is None:
        return None
    x, y, w, h = (int(part) for part in text.split(","))
    return x, y, w, h


def parse_filter(options: SearchOptions, *, local_only: bool) -> Filter | None:
    """Which photos a search is among; None for all.

    Args:
        options: of the search.
        local_only: whether the client may name folders of the server.

    Raises:
        Problem: it may not, or there is no such folder or time.
    """
    under = None if options.under is None else Path(options.under)
    if under is not None and not local_only:
        raise Problem(403, "Folders can be named only on the machine itself.")
    if under is not None and ("\0" in str(under) or not under.is_absolute()):
        raise Problem(422, "under: give the full path of a folder.")
    where = Filter(
        under and absolute(under),
        _parse_time(options.taken_from),
        _parse_time(options.taken_before),
        options.min_side,
    )
    return None if where == Filter() else where


def _parse_time(text: str | None) -> datetime | None:
    """The beginning of a year, month, day, minute or second."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text + FIRST_MOMENT[len(text) :])
    except ValueError:
        raise Problem(422, f"There is no time {text}.") from None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The description of an endpoint's errors."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": Problem(status, "").title, "content": content}
        for status in (401, 403, 421, *statuses)
    }
