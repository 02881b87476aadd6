"""Results of a search."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.collection import Photo
from resight.photos import path_text
from resight.photos.notebook import thumbnail_figure
from resight.photos.transforms import Box

if TYPE_CHECKING:
    from resight.searching.spatial_verification import VerifiedMatch


@dataclass(frozen=True)
class Result:
    """A photo of the collection.

    Attributes:
        rank: from 1.
        path: of its file.
        distance: smaller is nearer; with re-ranking or verification it does not decide the rank.
        match: the outcome of spatial verification; None if the photo was not verified.
    """

    rank: int
    path: Path
    distance: float
    match: "VerifiedMatch | None" = None

    @property
    def inliers(self) -> int | None:
        """Number of local features that agree with the query on one geometry."""
        return self.match.inliers if self.match else None

    @property
    def region(self) -> Box | None:
        """Smallest box around the inliers, in pixels of the upright photo."""
        return self.match.region if self.match else None

    @property
    def query_region(self) -> Box | None:
        """Smallest box around the inliers, in pixels of the upright query."""
        return self.match.query_region if self.match else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: `path`, `distance`, `rank`.

        A verified result has `inliers`, and with any of them `region` and `query_region`, boxes
        [x, y, w, h].
        """
        entry: dict[str, Any] = {
            "path": path_text(self.path),
            "distance": self.distance,
            "rank": self.rank,
        }
        if self.match is not None:
            entry |= self.match.to_dict()
        return entry


@dataclass(frozen=True)
class ResultPage:
    """A page of results, the photos' rows in the same order, and the number of all results.

    `total` is None where counting would take too long: with a filter, without a maximum distance.
    """

    results: list[Result]
    photos: list[Photo]
    total: int | None


@dataclass(frozen=True)
class SearchResults:
    """The results of one search, best first.

    Attributes:
        query: the photo as it was named; None for an image in memory.
        box: the region of it.
        results: the photos.
        total: number of photos that the search ranks; None with a filter.
    """

    query: Path | None
    box: Box | None
    results: list[Result]
    total: int | None = None

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: `query`, `box` where there is one, and `results`."""
        box = {"box": list(self.box)} if self.box else {}
        query = None if self.query is None else str(self.query)
        return {"query": query, **box, "results": [result.to_dict() for result in self.results]}

    def _repr_html_(self) -> str:
        """Show thumbnails of the results in a notebook."""
        figures = (
            thumbnail_figure(result.path, f"{result.rank}. {result.distance:.4f}")
            for result in self.results
        )
        return f"<div>{''.join(figures)}</div>"
