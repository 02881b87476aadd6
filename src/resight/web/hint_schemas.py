"""The requests and responses about hints."""

from pydantic import BaseModel, Field, model_validator

from resight.config import HintVerdict
from resight.web.schemas import Id, PhotoEntry, RequestModel

MAX_PAIRS = 5000
"""Pairs of photos that one decision may be about."""


class HintRequest(RequestModel):
    """A decision on photos: all the same as the first, all different, or the ones to keep."""

    verdict: HintVerdict
    photos: list[Id] = Field(min_length=1, max_length=1000, description="the ids of the photos")
    others: list[Id] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="different: photos from which each differs, rather than from each other",
    )

    @model_validator(mode="after")
    def _check_count(self) -> "HintRequest":
        if self.others is not None and self.verdict != "different":
            raise ValueError("others are for the verdict different")
        if self.verdict != "keep" and len(self.photos) < 2 and self.others is None:
            raise ValueError("same and different need two photos or more")
        if self._pairs() > MAX_PAIRS:
            raise ValueError(f"these are more than {MAX_PAIRS} pairs of photos; choose fewer")
        return self

    def _pairs(self) -> int:
        count = len(self.photos)
        if self.others is not None:
            return count * len(self.others)
        return count * (count - 1) // 2 if self.verdict == "different" else count


class HintEntry(BaseModel):
    """A decision on one or two photos; a photo that is no longer indexed is null."""

    id: str
    verdict: HintVerdict
    decided: str = Field(description="when, in UTC")
    photos: list[PhotoEntry | None]


class HintsResponse(BaseModel):
    """Hints; `replaced` are those on the same photos that a decision replaced."""

    hints: list[HintEntry]
    replaced: list[HintEntry] | None = None


READ_BY_ENDPOINTS: tuple[type[BaseModel], ...] = (HintRequest,)
"""Models that no endpoint names in its signature."""
