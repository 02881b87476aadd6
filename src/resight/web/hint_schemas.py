"""The requests and responses about hints."""

from pydantic import BaseModel, Field, model_validator

from resight.config import HintVerdict
from resight.web.schemas import Id, PhotoEntry, RequestModel


class HintRequest(RequestModel):
    """A decision on photos: all the same as the first, all different, or the ones to keep."""

    verdict: HintVerdict
    photos: list[Id] = Field(min_length=1, max_length=100, description="the ids of the photos")

    @model_validator(mode="after")
    def _check_count(self) -> "HintRequest":
        if self.verdict != "keep" and len(self.photos) < 2:
            raise ValueError("same and different need two photos or more")
        return self


class HintEntry(BaseModel):
    """A decision on one or two photos; a photo that is no longer indexed is null."""

    id: str
    verdict: HintVerdict
    decided: str = Field(description="when, in UTC")
    photos: list[PhotoEntry | None]


class HintsResponse(BaseModel):
    """Hints."""

    hints: list[HintEntry]


READ_BY_ENDPOINTS: tuple[type[BaseModel], ...] = (HintRequest,)
"""Models that no endpoint names in its signature."""
