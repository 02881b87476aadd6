"""A query photo, resolved once (its file, content and region), and the results of its search."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from resight.collection import Photo
from resight.errors import ImageError, QueryError
from resight.evidence import Kind
from resight.files import file_sha256
from resight.photos import absolute, path_text
from resight.photos.images import image_size, load_image, thumbnail_figure
from resight.photos.transforms import Box, check_box, crop_box, scale_box, turn, unturn, unturn_box

QuerySource = str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any]
"""A file, or an upright image: RGB, or uint8 (H, W, 3)."""


@dataclass(frozen=True)
class QueryPhoto:
    """A photo, or a region of it, to search with.

    Attributes:
        name: the file as the user named it; None for an image in memory.
        path: its absolute path.
        box: the region.
        content: SHA-256 of the file; None if it is not a regular file, or not needed.
        picture: the image in memory.
        mirrored: search with its mirror image.
        turns: search with it turned clockwise by this many quarters, after mirroring.
    """

    name: Path | None = None
    path: Path | None = None
    box: Box | None = None
    content: str | None = None
    picture: Image.Image | None = None
    mirrored: bool = False
    turns: int = 0

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole upright photo.

        Raises:
            QueryError: the file is no image.
        """
        if self.picture is not None:
            return self.picture.size
        try:
            return image_size(self._file)
        except ImageError as error:
            raise QueryError(f"{self.name}: {error}") from None

    @cached_property
    def image(self) -> Image.Image:
        """The upright photo, cropped to its box and then turned; loaded on first use.

        Raises:
            QueryError: the file is no image.
            UsageError: the box is not inside it.
        """
        try:
            image = self.picture or load_image(self._file)
        except ImageError as error:
            raise QueryError(f"{self.name}: {error}") from None
        if self.box is not None:
            check_box(self.box, self.size)
            image = crop_box(image, scale_box(self.box, self.size, image.size))
        return turn(image, mirrored=self.mirrored, turns=self.turns)

    @property
    def turned(self) -> bool:
        """Whether the photo is mirrored or turned."""
        return self.mirrored or self.turns > 0

    def turned_views(self, *, mirrored: bool, rotated: bool) -> "list[QueryPhoto]":
        """Return the photo's mirror image and its three quarter turns, as far as requested."""
        views = []
        if mirrored:
            views.append(replace(self, content=None, mirrored=True))
        if rotated:
            views += [replace(self, content=None, turns=turns) for turns in (1, 2, 3)]
        return views

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of `image` at full resolution."""
        _, _, width, height = self.box or (0, 0, *self.size)
        return (height, width) if self.turns % 2 else (width, height)

    def in_photo(self, box: Box) -> Box:
        """Convert a box in pixels of `image` at full resolution to pixels of the whole photo."""
        x, y, w, h = unturn_box(box, self.image_size, mirrored=self.mirrored, turns=self.turns)
        left, top = self.box[:2] if self.box else (0, 0)
        return x + left, y + top, w, h

    def points_in_photo(self, points: np.ndarray) -> np.ndarray:
        """Convert points (n, 2) of `image` at full resolution to pixels of the whole photo."""
        upright = unturn(points, self.image_size, mirrored=self.mirrored, turns=self.turns)
        corner = self.box[:2] if self.box else (0, 0)
        return upright + np.array(corner, np.float32)

    @property
    def _file(self) -> Path:
        assert self.path is not None  # without a path there is a picture
        return self.path


def open_query(source: QuerySource, box: Box | None = None) -> QueryPhoto:
    """Resolve a query: find its file, hash its content, or check its box.

    Raises:
        QueryError: the file cannot be read.
        UsageError: the box is not inside the photo.
    """
    if isinstance(source, np.ndarray):
        source = Image.fromarray(source)
    if isinstance(source, Image.Image):
        query = QueryPhoto(box=box, picture=source.convert("RGB"))
    else:
        name = Path(source)
        path = absolute(name)
        try:
            # Opening anything but a regular file, such as a pipe, could block.
            content = file_sha256(path) if box is None and path.is_file() else None
        except OSError as error:
            raise QueryError(f"{name}: {error.strerror or error}") from None
        query = QueryPhoto(name, path, box, content)
    if box is not None:
        check_box(box, query.size)
    return query


@dataclass(frozen=True)
class VerifiedMatch:
    """The outcome of verifying a result against the query.

    Attributes:
        inliers: number of local features that agree on one geometry.
        query_region: smallest box around them in the query; None without any.
        region: smallest box around them in the result; None without any.
        places: float32 (inliers, 4), x and y of each in the query, x and y in the result, in pixels
            of the upright photos; None from spatial verification, or where the query is gone.
    """

    inliers: int
    query_region: Box | None
    region: Box | None
    places: np.ndarray | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; no regions where there are none."""
        entry: dict[str, Any] = {"inliers": self.inliers}
        if self.region and self.query_region:
            entry |= {"region": list(self.region), "query_region": list(self.query_region)}
        return entry


Verdict = Literal["same", "probable", "different"]
"""Same thing, probably the same thing, not the same thing."""
SAME = 0.85
"""Minimum probability of the verdict `same`."""
PROBABLE = 0.5
"""Minimum probability of the verdict `probable`."""


def verdict_of(probability: float) -> Verdict:
    """Return a probability as a word.

    >>> verdict_of(0.97), verdict_of(0.6), verdict_of(0.1)
    ('same', 'probable', 'different')
    """
    if probability >= SAME:
        return "same"
    return "probable" if probability >= PROBABLE else "different"


@dataclass(frozen=True)
class MatchStrength:
    """The strength of a match between two photos, see `evidence.probability.observations`.

    Attributes:
        log10_nfa: logarithm of the number of false alarms of the match of SIFT features, without
            the background.
        features: number of features of the photo that has fewer.
        columns: as `log10_nfa`, of the match of columns; None without columns.
        query_features: number of features of the query.
    """

    log10_nfa: float
    features: int
    columns: float | None
    query_features: int


@dataclass(frozen=True)
class Decided:
    """The decision on one result.

    Attributes:
        probability: that it shows the same thing as the query, from 0 to 1.
        match: the places that agree, in pixels of the photos; None without evidence.
        kind: how it differs from the query; None if it shows something else, or without evidence.
        hint: whether a person decided it; then the probability is 0 or 1.
        agreement: of the evidence; None without evidence.
    """

    probability: float
    match: VerifiedMatch | None
    kind: Kind | None = None
    hint: bool = False
    agreement: MatchStrength | None = None


@dataclass(frozen=True)
class Result:
    """A photo of the collection.

    Attributes:
        rank: from 1.
        path: of its file.
        distance: smaller is nearer; with re-ranking or verification it does not decide the rank.
        match: the places that agree with the query, by spatial verification or by the evidence
            kept with the collection; None if there is neither.
        probability: that it shows the same thing, from 0 to 1; None without a decision.
        kind: how it differs from the query, if it shows the same thing, at least probably; None
            without evidence.
        copies: further photos of identical content, which are folded under this one.
        view: of several queries, the place (from 0) of the one that shows it most probably, to
            which `match` and `kind` refer.
        hint: whether a person decided that it does or does not show the same thing.
        unread: whether its file could not be read for spatial verification; it kept its place.
    """

    rank: int
    path: Path
    distance: float
    match: VerifiedMatch | None = None
    probability: float | None = None
    kind: Kind | None = None
    copies: tuple[Path, ...] = ()
    view: int = 0
    hint: bool = False
    unread: bool = False

    @property
    def verdict(self) -> Verdict | None:
        """Whether it shows the same thing; None without a decision."""
        return None if self.probability is None else verdict_of(self.probability)

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

        A result that was decided on has `verdict` and `probability`, `kind` if it shows the same
        thing, and `hint` (true) if a person decided it. One that was compared by local features
        has `inliers`, and with any of them `region` and `query_region`, boxes [x, y, w, h]. One
        with copies has their paths, `copies`. One that could not be read to be verified has
        `unread` (true).
        """
        entry: dict[str, Any] = {
            "path": path_text(self.path),
            "distance": self.distance,
            "rank": self.rank,
        }
        if self.probability is not None:
            entry |= {"verdict": self.verdict, "probability": self.probability}
        if self.kind is not None:
            entry["kind"] = self.kind
        if self.copies:
            entry["copies"] = [path_text(path) for path in self.copies]
        if self.hint:
            entry["hint"] = True
        if self.unread:
            entry["unread"] = True
        return entry | (self.match.to_dict() if self.match else {})


@dataclass(frozen=True)
class ResultPage:
    """A page of results, in the same order the rows of the photos and of their copies.

    `total` is the number of all photos that were ranked, copies included. It is None where counting
    would take too long: with a filter, without a maximum distance. `blank` is that of
    `SearchResults`.
    """

    results: list[Result]
    photos: list[Photo]
    copies: list[tuple[Photo, ...]]
    total: int | None
    blank: bool = False


@dataclass(frozen=True)
class SearchResults:
    """The results of one search, best first.

    Attributes:
        query: the photo as it was named, the first of several; None for an image in memory.
        box: the region of it.
        results: the photos.
        total: number of photos that the search ranks, copies included; None with a filter.
        queries: all photos, where several views of one thing were searched with.
        blank: the query shows too few details to be compared; only copies of it are found.
    """

    query: Path | None
    box: Box | None
    results: list[Result]
    total: int | None = None
    queries: tuple[Path | None, ...] = ()
    blank: bool = False

    @property
    def found(self) -> int | None:
        """Number of results that show the same thing, at least probably; None if undecided."""
        if any(result.probability is None for result in self.results):
            return None
        return sum(result.verdict != "different" for result in self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: `query`, `box` and `blank` where so, `found` and `results`.

        With several views of one thing there is a list `queries` as well, and each result has the
        place of its `view` there, from 0.
        """
        entry: dict[str, Any] = {"query": _text(self.query)}
        if self.queries:
            entry["queries"] = [_text(query) for query in self.queries]
        if self.box:
            entry["box"] = list(self.box)
        if self.found is not None:
            entry["found"] = self.found
        if self.blank:
            entry["blank"] = True
        results = [result.to_dict() for result in self.results]
        if self.queries:
            for result, listed in zip(self.results, results, strict=True):
                listed["view"] = result.view
        return entry | {"results": results}

    def _repr_html_(self) -> str:
        """Show thumbnails of the results in a notebook."""
        figures = (
            thumbnail_figure(result.path, f"{result.rank}. {result.distance:.4f}")
            for result in self.results
        )
        return f"<div>{''.join(figures)}</div>"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
