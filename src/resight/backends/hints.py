"""Give hints to a collection on any backend, list them, undo them, and import them."""

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from resight.backends import Location, open_remote, open_store
from resight.backends.local import LocalStore
from resight.backends.remote import Remote
from resight.backends.store import Store
from resight.collection import Collection
from resight.collection.hints import Hint, Hints, combine, next_moment
from resight.collection.writer import writing
from resight.config import HintVerdict
from resight.errors import UsageError
from resight.files import file_sha256
from resight.photos import PathLike, absolute, as_paths, path_text


@dataclass(frozen=True)
class HintChange:
    """Result of changing the hints of a collection.

    Attributes:
        added: hints that the collection has now and had not before.
        removed: hints that were replaced or undone.
        ignored: hints to import that newer ones overrule.
    """

    added: tuple[Hint, ...] = ()
    removed: tuple[Hint, ...] = ()
    ignored: tuple[Hint, ...] = ()


def decide(
    verdict: HintVerdict,
    photos: PathLike | Sequence[PathLike],
    collection: Location | Collection | Remote,
) -> HintChange:
    """Decide that photos show the same thing or different things, or which one to keep.

    Hints belong to the content of photos, so they survive a move of the file. Searches and groups
    obey them.

    Args:
        verdict: `same` (as the first photo), `different` (from each other), or `keep` (as the best
            of its group).
        photos: files that the collection holds, or other files of the same content.
        collection: the collection's folder, its address on a backend, or an open collection.

    Raises:
        UsageError: a photo is not in the collection, there are too few photos, or the decision
            contradicts earlier ones.
    """
    paths = as_paths(photos)
    if verdict not in get_args(HintVerdict):
        raise UsageError(f"expected same, different or keep, not {verdict!r}", parameter="verdict")
    if len(paths) < (1 if verdict == "keep" else 2):
        raise UsageError(f"{verdict} needs {'a photo' if verdict == 'keep' else 'two photos'}")
    with _editing(collection) as (store, save):
        contents = [_content_at(store, path) for path in paths]
        groups = _about(verdict, list(zip(paths, contents, strict=True)))
        now = next_moment(store.hints(), datetime.now(UTC))
        new = [Hint(verdict, tuple(sorted(group)), now) for group in groups]
        present = {hint.contents: hint for hint in store.hints()}
        updated = Hints((present | {hint.contents: hint for hint in new}).values())
        conflict = updated.contradiction()
        if conflict:
            steps = ", ".join(describe_hint(hint) for hint in named(conflict, store))
            raise UsageError(f"decisions contradict each other: {steps}; undo one of them first")
        save(updated)
        removed = [present[hint.contents] for hint in new if hint.contents in present]
        return HintChange(named(new, store), named(removed, store))


def hints(collection: Location | Collection) -> list[Hint]:
    """Return the hints of a collection with the photos' paths, oldest first."""
    with open_store(collection) as store:
        return list(named(list(store.hints()), store))


def undo_hints(
    collection: Location | Collection | Remote, which: int | Hint | Literal["last"]
) -> HintChange:
    """Remove a hint, also by its number from 1 in the list, or all hints of the last decision.

    Raises:
        UsageError: there is none.
    """
    with _editing(collection) as (store, save):
        present = list(store.hints())
        if which == "last":
            removed = [hint for hint in present if hint.decided == present[-1].decided]
        elif isinstance(which, int):
            removed = present[which - 1 : which] if which > 0 else []
        else:
            removed = [hint for hint in present if hint == which]
        if not removed:
            name = which.id if isinstance(which, Hint) else which
            count = len(present)
            raise UsageError(f"no hint {name}; the collection has {count}", parameter="undo")
        save(Hints(hint for hint in present if hint not in removed))
        return HintChange(removed=named(removed, store))


def import_hints(file: PathLike, collection: Location | Collection) -> HintChange:
    """Add the hints of a JSON file (idempotent); of contradictory hints the newest win.

    Hints on photos that the collection does not hold are added, too.

    Args:
        file: `{"hints": [{"verdict", "contents", "decided"}, ...]}`, as `hints_to_dict` writes it.
        collection: the collection's folder, or its address on a backend.

    Raises:
        UsageError: the file cannot be read, or has something else in it; nothing is imported.
    """
    new = _read(Path(file))
    with _editing(collection) as (store, save):
        change = add_hints(store.hints(), new, save)
        return HintChange(
            named(change.added, store),
            named(change.removed, store),
            named(change.ignored, store),
        )


def add_hints(present: Hints, new: Sequence[Hint], save: Callable[[Hints], None]) -> HintChange:
    """Save the present hints with new ones, if that changes them; the newest win."""
    before = set(present)
    updated, left_out = combine([*present, *new])
    after = set(updated)
    if after != before:
        save(updated)
    ignored = tuple(hint for hint in left_out if hint not in before)
    return HintChange(
        tuple(hint for hint in updated if hint not in before),
        tuple(hint for hint in present if hint not in after),
        ignored,
    )


def hints_to_dict(hints: Sequence[Hint]) -> dict[str, Any]:
    """Return hints as JSON values, which `import_hints` reads."""
    return {"hints": [hint.to_dict() for hint in hints]}


def named(hints: Sequence[Hint], store: Store) -> tuple[Hint, ...]:
    """Return hints with the paths of their photos, of copies the first."""
    wanted = {content for hint in hints for content in hint.contents}
    paths: dict[str, Path] = {}
    for photo in store.photos_with(wanted):
        paths.setdefault(str(photo.content), photo.path)
    return tuple(replace(hint, photos=tuple(map(paths.get, hint.contents))) for hint in hints)


def describe_hint(hint: Hint) -> str:
    """Return a hint as words, such as `same a.jpg b.jpg`."""
    photos = [
        f"{content[:8]}... (not in the collection)" if path is None else path_text(path)
        for path, content in zip(hint.photos, hint.contents, strict=True)
    ]
    return " ".join([hint.verdict, *photos])


@contextlib.contextmanager
def _editing(
    collection: Location | Collection | Remote,
) -> Iterator[tuple[Store, Callable[[Hints], None]]]:
    """Open a collection to change its hints; a folder is locked for other writers."""
    if isinstance(collection, str | os.PathLike):
        remote = open_remote(collection)
        if remote is not None:
            with contextlib.closing(remote):
                yield remote, remote.store_hints
            return
    elif not isinstance(collection, Collection):
        yield collection, collection.store_hints
        return
    with writing(collection) as writer:
        yield LocalStore(writer.collection), writer.store_hints


def _content_at(store: Store, path: Path) -> str:
    """Return the content of a photo of the collection, or of a copy of it elsewhere."""
    place = absolute(path)
    for photo in store.photos_under(place):
        if photo.path == place and photo.state == "ok":
            return str(photo.content)
    if path.is_file():
        content = file_sha256(path)
        if store.photos_with([content]):
            return content
    raise UsageError(f"{path}: no photo of {store.name}; index it first")


def _about(verdict: HintVerdict, photos: Sequence[tuple[Path, str]]) -> list[tuple[str, ...]]:
    """Return the contents that each hint is about.

    Raises:
        UsageError: two photos have the same content.
    """
    if verdict == "keep":
        return [(content,) for _, content in photos]
    pairs = list(itertools.combinations(photos, 2))
    for (first, ours), (second, theirs) in pairs:
        if ours == theirs:
            raise UsageError(
                f"{first} and {second} have the same content, so they always show the same thing"
            )
    if verdict == "same":
        pairs = pairs[: len(photos) - 1]  # each of the others with the first
    return [(ours, theirs) for (_, ours), (_, theirs) in pairs]


def _read(file: Path) -> list[Hint]:
    """Return the hints in a file."""
    try:
        value = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):  # recursion: lists in lists, thousands deep
        raise UsageError(f"{file}: is no JSON") from None
    entries = value.get("hints") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise UsageError(f'{file}: expected {{"hints": [...]}}')
    hints = []
    for number, entry in enumerate(entries, 1):
        try:
            hints.append(Hint.from_dict(entry))
        except UsageError as error:
            raise UsageError(f"{file}: hint {number}: {error}") from None
    return hints
