"""What a collection is: its counts, what it was made with, what was fitted on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight.config import to_dict
from resight.storage.approximating import ApproximateIndex, approximate_status
from resight.storage.collection import Collection


@dataclass(frozen=True)
class Info:
    """What a collection is: counts, configuration, model, selection, failures, bytes on disk."""

    photos: int
    failed: list[tuple[Path, str]]
    config: dict[str, Any]
    model: dict[str, Any] | None
    fingerprint: str | None
    selection: dict[str, Any] | None
    learned: dict[str, Any] | None
    approximate: ApproximateIndex | None
    created: str
    bytes_on_disk: int


def info(collection: Path) -> Info:
    """What a collection is and what is in it."""
    with Collection.open(collection) as opened:
        return Info(
            photos=opened.count("ok"),
            failed=[(photo.path, str(photo.reason)) for photo in opened.photos("failed")],
            config=to_dict(opened.config),
            model=opened.meta("model"),
            fingerprint=opened.meta("fingerprint"),
            selection=opened.how_fitted("selection"),
            learned=opened.how_fitted("learned"),
            approximate=approximate_status(opened),
            created=str(opened.meta("created")),
            bytes_on_disk=sum(f.stat().st_size for f in collection.rglob("*") if f.is_file()),
        )
