"""The best photo of a group.

A photo that a person decided to keep is the best; of several, the one decided last. Otherwise

1. photos with at least `ENOUGH` of the most pixels remain,
2. of these, photos with at least `ENOUGH` of the greatest sharpness,
3. of these, the largest file is the best; of equal ones, the first that was indexed.

The sharpness is the variance of the Laplacian of a copy of at most 480 pixels, stored with the
evidence. It compares photos of the same thing, not photos of different things.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from resight.backends.store import Store
from resight.collection.hints import Hints
from resight.evaluation.evidence_reader import EvidenceReader
from resight.ranking.groups import Group

ENOUGH = 0.8
"""Share of the most pixels, or of the greatest sharpness, that makes no visible difference."""


@dataclass(frozen=True)
class Candidate:
    """Properties of a photo by which the best of its group is chosen.

    Attributes:
        id: of the photo.
        content: SHA-256 of the file.
        pixels: number of them.
        sharpness: None without evidence.
        size: of the file in bytes.
    """

    id: int
    content: str
    pixels: int
    sharpness: float | None
    size: int


def best_photo(group: Sequence[Candidate], kept: Mapping[str, str]) -> int:
    """Return the ID of the best photo of a group.

    `kept` is when it was decided to keep a photo, by its content; later times compare greater.
    """
    chosen = [candidate for candidate in group if candidate.content in kept]
    if chosen:
        last = max(kept[candidate.content] for candidate in chosen)
        return min(candidate.id for candidate in chosen if kept[candidate.content] == last)
    most = max(candidate.pixels for candidate in group)
    large = [candidate for candidate in group if candidate.pixels >= ENOUGH * most]
    sharpest = max(candidate.sharpness or 0.0 for candidate in large)
    sharp = [each for each in large if (each.sharpness or 0.0) >= ENOUGH * sharpest]
    return min(sharp, key=lambda each: (-each.size, each.id)).id


def with_best(
    groups: Sequence[Group], store: Store, reader: EvidenceReader, hints: Hints
) -> list[Group]:
    """Return groups with the best photo of each."""
    photos = store.photos_by_id({id_ for group in groups for id_ in group.ids})
    sharpness = reader.sharpness({str(photo.content) for photo in photos.values()})
    candidates = {
        id_: Candidate(
            id_,
            str(photo.content),
            (photo.width or 0) * (photo.height or 0),
            sharpness.get(str(photo.content)),
            photo.size,
        )
        for id_, photo in photos.items()
    }
    found = []
    for group in groups:
        present = [candidates[id_] for id_ in group.ids if id_ in candidates]
        best = best_photo(present, hints.kept) if present else None
        found.append(replace(group, best=best))
    return found
