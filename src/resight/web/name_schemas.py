"""The requests and responses about names of things."""

from typing import Annotated

from pydantic import BaseModel, Field

from resight.collection.names import MAX_LENGTH
from resight.web.schemas import Id, PhotoEntry, RequestModel, SearchOptions

MAX_PHOTOS = 1000

Name = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH, description="the name of a thing")]


class NameRequest(RequestModel):
    """A name for the thing that photos show."""

    name: Name
    photos: list[Id] = Field(
        min_length=1, max_length=MAX_PHOTOS, description="the ids of photos that show it"
    )


class ThingSearchRequest(SearchOptions):
    """A search with the photos that carry a name; regions are of single photos."""

    thing: Name


class NamedEntry(BaseModel):
    """A named thing: the number of photos that carry the name, and the first of them."""

    name: str
    count: int
    photos: list[PhotoEntry]


class NamesResponse(BaseModel):
    """The named things, by name."""

    names: list[NamedEntry]


class NameChangeResponse(NamedEntry):
    """A thing after a change; `changed` are the ids of photos whose names changed, copies too."""

    changed: list[int]


READ_BY_ENDPOINTS: tuple[type[BaseModel], ...] = (NameRequest, ThingSearchRequest)
"""Models that no endpoint names in its signature."""
