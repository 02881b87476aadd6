"""What a collection is: its counts, what it was made with, what was fitted on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight.backends.local import LocalStore
from resight.backends.open import open_store
from resight.collection.ann_index import ApproximateIndex, read_ann_status


@dataclass(frozen=True)
class Info:
    """What a collection is: counts, configuration, model, selection, failures, bytes on disk.

    Attributes:
        about: what else an engine says of it, by a short title.
        bytes_on_disk: None where an engine does not say.
    """

    photos: int
    failed: list[tuple[Path, str]]
    config: dict[str, Any]
    model: dict[str, Any] | None
    fingerprint: str | None
    selection: dict[str, Any] | None
    learned: dict[str, Any] | None
    approximate: ApproximateIndex | None
    about: dict[str, str]
    created: str
    bytes_on_disk: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        failed = [{"path": str(path), "reason": reason} for path, reason in self.failed]
        approximate = self.approximate and vars(self.approximate)
        return {**vars(self), "failed": failed, "approximate": approximate}


def info(collection: Path | str) -> Info:
    """What a collection is, in a folder or on an engine, and what is in it."""
    with open_store(collection) as store:
        provenance = store.provenance
        local = store.collection if isinstance(store, LocalStore) else None
        return Info(
            photos=store.count("ok"),
            failed=[(photo.path, str(photo.reason)) for photo in store.photos("failed")],
            config=provenance.config.to_dict(),
            model=provenance.meta("model"),
            fingerprint=provenance.meta("fingerprint"),
            selection=provenance.fit_info("selection"),
            learned=provenance.fit_info("learned"),
            approximate=None if local is None else read_ann_status(local),
            about=store.about(),
            created=str(provenance.meta("created")),
            bytes_on_disk=store.bytes_on_disk(),
        )
