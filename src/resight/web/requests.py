"""The shapes of requests, as `/api/v1/openapi.json` describes them, and what they ask for."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, model_validator

from resight.backends.store import Filter
from resight.config import Geometry, Reranking, SearchConfig, VerifiedBy
from resight.errors import UsageError
from resight.photos.files import absolute
from resight.photos.images import Box
from resight.web.problems import Problem

MAX_ID = 2**63 - 1
MAX_K = 1000
MAX_OFFSET = 1_000_000
MAX_SHORTLIST = 1000
"""Photos that one search may re-rank; what that takes grows with their square."""
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
    k: int = Field(SearchConfig.k, ge=1, le=MAX_K, description="how many results")
    offset: int = Field(0, ge=0, le=MAX_OFFSET, description="how many results to pass over")
    limit: float | None = Field(None, ge=0, le=1e9, description="the largest distance shown")
    verify: int = Field(
        SearchConfig.verify, ge=0, le=50, description="check the geometry of so many first results"
    )
    verify_by: VerifiedBy = Field(
        SearchConfig.verify_by, description="by SIFT, or the network's columns"
    )
    verify_geometry: Geometry = Field(
        SearchConfig.verify_geometry,
        description="what the matches are to agree on: a homography, or an affine map",
    )
    rerank: Reranking = Field(
        SearchConfig.rerank, description="put the first results into a better order"
    )
    rerank_with: str | None = Field(
        None,
        max_length=400,
        description="numbers of the re-ranking that shall differ: NAME=VALUE, commas between them",
        examples=["shortlist=200,mutual=5"],
    )
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

    k: StrictInt = Field(SearchConfig.k, ge=1, le=MAX_K, description="how many results")
    offset: StrictInt = Field(0, ge=0, le=MAX_OFFSET, description="how many results to pass over")
    limit: StrictFloat | StrictInt | None = Field(
        None, ge=0, le=1e9, description="the largest distance shown"
    )
    verify: StrictInt = Field(
        SearchConfig.verify, ge=0, le=50, description="check the geometry of so many first results"
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


def parse_box(text: str | None) -> Box | None:
    """`x,y,w,h` as four numbers."""
    if text is None:
        return None
    x, y, w, h = (int(part) for part in text.split(","))
    return x, y, w, h


def search_config(options: SearchOptions) -> SearchConfig:
    """How a search is answered.

    Raises:
        Problem: the numbers of the re-ranking cannot be, or are more than the server does.
    """
    try:
        config = SearchConfig(
            k=options.k,
            rerank=options.rerank,
            rerank_with=tuple(options.rerank_with.split(",")) if options.rerank_with else (),
            verify=options.verify,
            verify_by=options.verify_by,
            verify_geometry=options.verify_geometry,
        )
    except UsageError as error:
        raise Problem(422, f"{error}.") from None
    if config.reranking.shortlist > MAX_SHORTLIST:
        raise Problem(422, f"rerank_with: shortlist: at most {MAX_SHORTLIST}.")
    return config


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
