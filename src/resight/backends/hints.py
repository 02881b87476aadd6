"""Give hints to a collection on any backend, list them, undo them, and import them."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from resight.backends import Location, open_store
from resight.backends.editing import content_at, editing, read_json
from resight.backends.remote import Remote
from resight.backends.store import Store
from resight.collection import Collection
from resight.collection.hints import Hint, Hints, combine, next_moment
from resight.config import HintVerdict
from resight.errors import UsageError
from resight.photos import PathLike, as_paths, path_text


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
    *,
    apart_from: PathLike | Sequence[PathLike] = (),
) -> HintChange:
    """Decide that photos show the same thing or different things, or which one to keep.

    Hints belong to the content of photos, so they survive a move of the file. Searches and groups
    obey them.

    Args:
        verdict: `same` (as the first photo), `different` (from each other), or `keep` (as the best
            of its group).
        photos: files that the collection holds, or other files of the same content.
        collection: the collection's folder, its address on a backend, or an open collection.
        apart_from: with `different`, photos from which each differs, rather than from each other.

    Raises:
        UsageError: a photo is not in the collection, there are too few photos, or the decision
            contradicts earlier ones.
    """
    paths, others = as_paths(photos), as_paths(apart_from)
    if verdict not in get_args(HintVerdict):
        raise UsageError(f"expected same, different or keep, not {verdict!r}", parameter="verdict")
    if others and verdict != "different":
        raise UsageError("is for the verdict different", parameter="apart_from")
    if len(paths) + len(others) < (1 if verdict == "keep" else 2):
        raise UsageError(f"{verdict} needs {'a photo' if verdict == 'keep' else 'two photos'}")
    with editing(collection) as (store, target):
        first, second = ([(path, content_at(store, path)) for path in x] for x in (paths, others))
        groups = _apart(first, second) if others else _about(verdict, first)
        now = next_moment((hint.decided for hint in store.hints()), datetime.now(UTC))
        new = [Hint(verdict, tuple(sorted(group)), now) for group in groups]
        present = {hint.contents: hint for hint in store.hints()}
        updated = Hints((present | {hint.contents: hint for hint in new}).values())
        conflict = updated.contradiction()
        if conflict:
            steps = ", ".join(describe_hint(hint) for hint in named(conflict, store))
            raise UsageError(f"decisions contradict each other: {steps}; undo one of them first")
        target.store_hints(updated)
        removed = [present[hint.contents] for hint in new if hint.contents in present]
        return HintChange(named(new, store), named(removed, store))


def hints(collection: Location | Collection) -> list[Hint]:
    """Return the hints of a collection with the photos' paths, oldest first."""
    with open_store(collection) as store:
        return list(named(list(store.hints()), store))


def undo_hints(
    collection: Location | Collection | Remote,
    which: int | Hint | Sequence[Hint] | Literal["last"],
) -> HintChange:
    """Remove hints, also by the number from 1 in the list, or all hints of the last decision.

    Raises:
        UsageError: there is none.
    """
    with editing(collection) as (store, target):
        present = list(store.hints())
        if which == "last":
            removed = [hint for hint in present if hint.decided == present[-1].decided]
        elif isinstance(which, int):
            removed = present[which - 1 : which] if which > 0 else []
        else:
            wanted = {which} if isinstance(which, Hint) else set(which)
            removed = [hint for hint in present if hint in wanted]
        if not removed:
            name = which if isinstance(which, str | int) else "of these"
            count = len(present)
            raise UsageError(f"no hint {name}; the collection has {count}", parameter="undo")
        gone = set(removed)
        target.store_hints(Hints(hint for hint in present if hint not in gone))
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
    with editing(collection) as (store, target):
        change = add_hints(store.hints(), new, target.store_hints)
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


def _apart(
    photos: Sequence[tuple[Path, str]], others: Sequence[tuple[Path, str]]
) -> list[tuple[str, ...]]:
    """Return the contents that each hint is about, for photos that differ from all others.

    Raises:
        UsageError: two photos have the same content.
    """
    pairs = list(itertools.product(photos, others))
    _check_contents(pairs)
    return list(dict.fromkeys((ours, theirs) for (_, ours), (_, theirs) in pairs))


def _check_contents(pairs: Sequence[tuple[tuple[Path, str], tuple[Path, str]]]) -> None:
    """Refuse pairs of photos of the same content."""
    for (first, ours), (second, theirs) in pairs:
        if ours == theirs:
            raise UsageError(
                f"{first} and {second} have the same content, so they always show the same thing"
            )


def _about(verdict: HintVerdict, photos: Sequence[tuple[Path, str]]) -> list[tuple[str, ...]]:
    """Return the contents that each hint is about.

    Raises:
        UsageError: two photos have the same content.
    """
    if verdict == "keep":
        return [(content,) for _, content in photos]
    pairs = list(itertools.combinations(photos, 2))
    _check_contents(pairs)
    if verdict == "same":
        pairs = pairs[: len(photos) - 1]  # each of the others with the first
    return [(ours, theirs) for (_, ours), (_, theirs) in pairs]


def _read(file: Path) -> list[Hint]:
    """Return the hints in a file."""
    hints = []
    for number, entry in enumerate(read_json(file, "hints"), 1):
        try:
            hints.append(Hint.from_dict(entry))
        except UsageError as error:
            raise UsageError(f"{file}: hint {number}: {error}") from None
    return hints
