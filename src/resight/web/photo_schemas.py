"""The requests and responses about photos, their folders and their files."""

from typing import Literal

from pydantic import BaseModel, Field

from resight.ranking.groups import Kind
from resight.web.schemas import MAX_ID, MAX_OFFSET, FilterOptions, PhotoEntry

Sort = Literal["id", "added", "date", "name"]


class PhotosQuery(FilterOptions):
    """A page of photos: which, in what order, and where the page starts."""

    sort: Sort = Field(
        "id", description="added: the last one first; date: the newest first, undated photos last"
    )
    after: int = Field(0, ge=0, le=MAX_ID, description="the `next` of the previous page")
    limit: int = Field(100, ge=1, le=1000, description="number of photos")


class PhotosResponse(BaseModel):
    """A page of photos; `next` is the `after` of the next page, `total` counts all that match."""

    photos: list[PhotoEntry]
    next: int | None
    total: int


class PhotoDetails(PhotoEntry):
    """A photo and its file; the folder is named as in `/folders`.

    `taken`, `camera` and `lens` are as in its EXIF data; `problem` is a sentence if the file cannot
    be read now, and these are unknown.
    """

    bytes: int
    folder: str
    taken: str | None = None
    camera: str | None = None
    lens: str | None = None
    problem: str | None = None


class RevealResponse(BaseModel):
    """A file manager shows the photo."""

    status: Literal["shown"]


class FolderEntry(BaseModel):
    """A folder of the collection's photos.

    Attributes:
        folder: names it in filters: its full path for clients on the same machine.
        name: relative to the folder that holds all photos, which is called `.`.
        photos: number of photos in it and below it.
    """

    folder: str
    name: str
    photos: int


class FoldersResponse(BaseModel):
    """The folders by name; `omitted` counts the deepest ones where there are too many."""

    folders: list[FolderEntry]
    omitted: int


class FailedPhoto(BaseModel):
    """A photo that could not be indexed."""

    name: str
    reason: str
    path: str | None = None


class FailedResponse(BaseModel):
    """All photos that could not be indexed."""

    failed: list[FailedPhoto]


class GroupsFilter(BaseModel):
    """Groups of the photos: how near, how large, where, and of what kind."""

    limit: float | None = Field(
        None, ge=0, le=1e9, description="largest distance between neighbors in a group"
    )
    min_photos: int = Field(
        2, ge=2, le=MAX_OFFSET, description="minimum number of photos of a group"
    )
    under: str | None = Field(
        None,
        max_length=4096,
        description="only groups with a photo in or below this folder, named as in `/folders`",
    )
    kind: Kind | None = Field(None, description="only groups of this kind")


class GroupsQuery(GroupsFilter):
    """A page of groups."""

    after: int = Field(0, ge=0, le=MAX_OFFSET, description="number of groups to skip")
