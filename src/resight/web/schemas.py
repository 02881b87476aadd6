"""The requests and responses of the interface, as `/api/v1/openapi.json` describes them."""

import re
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from fastapi import Path as InPath
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from starlette.requests import Request

from resight.config import Geometry, Reranking, SearchConfig, VerifiedBy
from resight.evidence import Kind
from resight.photos.transforms import Box
from resight.searching.query import Verdict
from resight.web.problems import ProblemError

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_ID = 2**63 - 1
MAX_K = 1000
MAX_OFFSET = 1_000_000
MAX_SIDE = 1_000_000
MAX_VERIFY = 50
MAX_VIEWS = 16

Id = Annotated[int, Field(ge=1, le=MAX_ID)]


def _like(pattern: str, *examples: str) -> AfterValidator:
    """Return a check of a text's form, which names examples where a pattern would say nothing."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"write it like {' or '.join(examples)}")
        return text

    return AfterValidator(check)


BOX = "[0-9]{1,7},[0-9]{1,7},[0-9]{1,7},[0-9]{1,7}"
TIME = "[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?)?)?"
BoxText = Annotated[
    str,
    _like(BOX, "120,80,300,200"),
    Field(
        json_schema_extra={"pattern": f"^{BOX}$"},
        description="x,y,w,h in pixels of the upright photo",
        examples=["120,80,300,200"],
    ),
]
Token = Annotated[str, InPath(max_length=64, pattern="^[A-Za-z0-9_-]+$")]
TimeText = Annotated[
    str,
    _like(TIME, "2019-06", "2020-01-31T12:00"),
    Field(
        json_schema_extra={"pattern": f"^{TIME}$"},
        description="the beginning of a year, month, day, minute or second in the camera's time",
        examples=["2019-06", "2020-01-31T12:00"],
    ),
]


def _search_option(name: str, **limits: Any) -> Any:
    """Return the field of a request for a field of `SearchConfig`: its default and help text."""
    field = SearchConfig.__dataclass_fields__[name]
    return Field(field.default, description=field.metadata["help"], **limits)


class RequestModel(BaseModel):
    """A request: unknown fields are refused, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid")


class FilterOptions(RequestModel):
    """Filters of photos, for searches and lists."""

    under: str | None = Field(
        None,
        max_length=4096,
        description="only photos in or below this folder, named as in `/folders`",
    )
    taken_from: TimeText | None = Field(None, description="only photos taken on or after this time")
    taken_before: TimeText | None = Field(None, description="only photos taken before this time")
    min_side: int | None = Field(
        None, ge=1, le=MAX_SIDE, description="minimum shorter side, in pixels"
    )
    file_name: str | None = Field(
        None, min_length=1, max_length=255, description="part of the file name, in any case"
    )


class SearchOptions(FilterOptions):
    """Search options, for every kind of query; also the fields of the form next to `file`."""

    box: BoxText | None = Field(None, description="search with this region of the photo")
    k: int = _search_option("k", ge=1, le=MAX_K)
    offset: int = Field(0, ge=0, le=MAX_OFFSET, description="number of results to skip")
    limit: float | None = Field(None, ge=0, le=1e9, description="largest distance")
    verify: int = _search_option("verify", ge=0, le=MAX_VERIFY)
    verify_by: VerifiedBy = _search_option("verify_by")
    verify_geometry: Geometry = _search_option("verify_geometry")
    decide: bool = _search_option("decide")
    mirrored: bool = _search_option("mirrored")
    rotated: bool = _search_option("rotated")
    rerank: Reranking = Field("none", description="how the top results are re-ranked")
    rerank_with: str | None = Field(
        None,
        max_length=400,
        description="parameters of the re-ranking: NAME=VALUE, separated by commas",
        examples=["shortlist=200,mutual=5"],
    )


class QueryReference(RequestModel):
    """A query by name: a photo of the collection, or an upload that is still stored."""

    photo: Id | None = Field(None, description="the id of a photo of the collection")
    upload: str | None = Field(
        None, max_length=64, description="the name that an earlier response gave to an upload"
    )

    alternatives: ClassVar[tuple[str, ...]] = ("photo", "upload")

    @model_validator(mode="after")
    def _check_exactly_one(self) -> "QueryReference":
        given = [name for name in self.alternatives if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(self.alternatives)}")
        return self


class SearchRequest(SearchOptions, QueryReference):
    """A search in JSON: exactly one of `photo`, `upload` and `url`, and the options."""

    url: str | None = Field(None, max_length=2000, description="where the server allows it")
    more: list[QueryReference] = Field(
        default_factory=list,
        max_length=MAX_VIEWS - 1,
        description="further photos of the same thing; all are searched with as one query",
    )

    alternatives: ClassVar[tuple[str, ...]] = ("photo", "upload", "url")

    @model_validator(mode="after")
    def _check_no_box(self) -> "SearchRequest":
        if self.more and self.box is not None:
            raise ValueError("a box is for one photo, not for several")
        return self


class SearchForm(SearchOptions):
    """A search as a form: the photo, and the options as text."""

    file: bytes = Field(json_schema_extra={"format": "binary"}, description="the photo's file")


class ExplainRequest(RequestModel):
    """A request for why a photo matched a query, or a region of it."""

    query: QueryReference
    box: BoxText | None = None
    result: Id = Field(description="the id of the photo that matched")


class SameRequest(RequestModel):
    """A request for whether two photos, or a region of the first and a photo, are the same."""

    first: QueryReference
    second: QueryReference
    box: BoxText | None = Field(None, description="the region of the first photo")


class ProblemDetails(BaseModel):
    """An error (RFC 9457); `detail` is a sentence for a person."""

    type: str
    title: str
    status: int
    detail: str


class PhotoEntry(BaseModel):
    """A photo of the collection; `path` only for clients on the same machine."""

    id: int
    name: str
    width: int
    height: int
    version: str
    path: str | None = None


class ResultEntry(PhotoEntry):
    """A result of a search; `inliers` where local features were compared.

    `probability` is that of showing the same thing as the query, 0 to 1, and `kind` how it differs
    from it. `region` and `query_region` are the boxes x, y, w, h of the result and of the query
    that hold the inliers. `copies` are further photos of identical content, which are no results
    themselves. `view` is the place, from 0, of the query photo that shows it most probably; only
    with several query photos.
    """

    rank: int
    distance: float
    verdict: Verdict | None = None
    probability: float | None = None
    kind: Kind | None = None
    hint: bool | None = Field(None, description="true: a person decided it")
    unread: bool | None = Field(
        None, description="true: its file could not be read to be verified; it kept its place"
    )
    inliers: int | None = None
    region: list[int] | None = None
    query_region: list[int] | None = None
    copies: list[PhotoEntry] | None = None
    view: int | None = None
    named: bool | None = Field(None, description="by name: whether it carries the name")


class QueryInfo(BaseModel):
    """The query: its upright size, and the name under which an upload is stored."""

    photo: int | None
    upload: str | None
    width: int
    height: int


class SearchResponse(BaseModel):
    """The results of a search; `total` counts the photos within the limit, copies included.

    It is null in a filtered search without a limit, where nothing counts them. `found` counts the
    results of this page that show the same thing, at least probably; null without decisions.
    """

    query: QueryInfo
    box: list[int] | None
    results: list[ResultEntry]
    found: int | None
    total: int | None
    took_ms: float


class CollectionResponse(BaseModel):
    """The collection, and what the server allows."""

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
    new: bool = Field(description="whether there is no collection yet")
    folders_allowed: bool = Field(description="whether jobs may index folders that clients name")
    index_folders: list[str] = Field(description="such folders, for clients on the same machine")
    local: bool = Field(description="whether clients are on the same machine, and see paths")
    moves_allowed: bool = Field(description="whether jobs may move files")
    trash: bool = Field(description="whether they can move files to the system's trash")
    move_folders: list[str] = Field(description="folders below which files may be moved")
    max_upload_bytes: int
    max_pixels: int


class ExplainedPhoto(BaseModel):
    """One photo of an explanation: its upright size and overlays as `data:` URLs."""

    width: int
    height: int
    heat: str | None
    cam: str | None


class SameResponse(BaseModel):
    """The decision on two photos, with the fields of a result; `summary` says it in words."""

    verdict: Verdict
    probability: float
    kind: Kind | None = None
    hint: bool | None = Field(None, description="true: a person decided it")
    summary: str
    distance: float
    inliers: int | None = None
    region: list[int] | None = None
    query_region: list[int] | None = None


class ExplainResponse(SameResponse):
    """An explanation of why two photos match or not.

    `matches` are the places that agree, by which was decided: x1, y1, x2, y2 in pixels of the
    upright photos. `agreement` is the share of the descriptors that is common.
    """

    query: ExplainedPhoto
    result: ExplainedPhoto
    matches: list[list[float]]
    inliers: int
    agreement: float | None


class GroupPhoto(PhotoEntry):
    """A photo in a group, with the size of its file."""

    bytes: int


class GroupEntry(BaseModel):
    """Photos of the same thing, or near-duplicates."""

    kind: Literal["same-thing", "near-duplicate"]
    photos: list[GroupPhoto]
    best: int | None = Field(description="the id of the best photo")
    names: list[str] = Field(description="names that any of the photos carries")


class GroupsResponse(BaseModel):
    """A page of groups; `limit` is the largest distance between neighbors in a group."""

    limit: float
    estimated_limit: float
    groups: list[GroupEntry]
    next: int | None


class HealthResponse(BaseModel):
    """The server is up."""

    status: Literal["ok"]


async def read_json(request: Request, model: type[ModelT]) -> ModelT:
    """Read the JSON body of a request; a number in it must be a number, not text."""
    if media_type(request) != "application/json":
        raise ProblemError(415, "Send application/json (or a form with the photo, to search).")
    return model.model_validate_json(await request.body(), strict=True)


def media_type(request: Request) -> str:
    """Return the media type of a request's body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_box(text: str | None) -> Box | None:
    """Parse a `BoxText`."""
    if text is None:
        return None
    x, y, w, h = (int(part) for part in text.split(","))
    return x, y, w, h


READ_BY_ENDPOINTS: tuple[type[BaseModel], ...] = (
    ProblemDetails,
    SearchRequest,
    SearchForm,
    ExplainRequest,
    SameRequest,
)
"""Models that no endpoint names in its signature."""


def body(**models: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that an endpoint reads itself: JSON, or a form."""
    types = {"json": "application/json", "form": "multipart/form-data"}
    content = {
        types[kind]: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
        for kind, model in models.items()
    }
    return {"requestBody": {"required": True, "content": content}}


def other_content(media_type: str, **schema: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a response that is not JSON of a model."""
    return {200: {"content": {media_type: {"schema": schema or {"type": "string"}}}}}
