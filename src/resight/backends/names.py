"""Name the things that photos of a collection show, on any backend."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resight.backends import Location, open_store
from resight.backends.editing import content_at, editing, read_json
from resight.backends.remote import Remote
from resight.backends.store import Store
from resight.collection import Collection
from resight.collection.hints import next_moment
from resight.collection.names import Names, Naming, check_name
from resight.errors import UsageError
from resight.photos import PathLike, absolute, as_paths, path_text


@dataclass(frozen=True)
class NamedThing:
    """A thing that a person named.

    Attributes:
        name: its name.
        namings: the contents that carry it, and since when.
        photos: the files of these contents in the collection, copies included, sorted.
    """

    name: str
    namings: tuple[Naming, ...]
    photos: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, which `import_names` reads."""
        contents = [{"content": n.content, "decided": n.decided} for n in self.namings]
        photos = [path_text(photo) for photo in self.photos]
        return {"name": self.name, "contents": contents, "photos": photos}


def name(
    name: str,
    photos: PathLike | Sequence[PathLike],
    collection: Location | Collection | Remote,
    *,
    remove: bool = False,
) -> NamedThing:
    """Name the thing that some photos show, or remove the name.

    A name belongs to the content of photos, so it survives a move of the file and later index runs.

    Args:
        name: such as "our boat"; upper and lower case make no difference.
        photos: files that the collection holds, or other files of the same content.
        collection: the collection's folder, its address on a backend, or an open collection.
        remove: remove the name from these photos, by default from all.

    Returns:
        The thing with all the photos that carry the name now.

    Raises:
        UsageError: a photo is not in the collection, the name cannot be used, or there is none to
            remove.
    """
    paths, checked = as_paths(photos), check_name(name)
    with editing(collection) as (store, target):
        present = store.names()
        if remove:
            contents = [_carrier(store, present, checked, path) for path in paths] or None
            if not present.contents(checked):
                raise no_such_name(checked, store.name)
            updated = present.without(checked, contents)
        else:
            if not paths:
                raise UsageError("a name needs a photo of the thing")
            now = next_moment((naming.decided for naming in present), datetime.now(UTC))
            updated = present.named(checked, [content_at(store, path) for path in paths], now)
        if list(updated) != list(present):
            target.store_names(updated)
        return named_thing(store, updated, checked)


def names(collection: Location | Collection) -> list[NamedThing]:
    """Return the named things of a collection with the paths of their photos, by name."""
    with open_store(collection) as store:
        present = store.names()
        return [named_thing(store, present, each) for each in present.things]


def import_names(file: PathLike, collection: Location | Collection) -> list[NamedThing]:
    """Add the names of a JSON file (idempotent); return the names that are new on some photo.

    Names of photos that the collection does not hold are added, too.

    Args:
        file: `{"names": [...]}` with the values of `NamedThing.to_dict`.
        collection: the collection's folder, or its address on a backend.

    Raises:
        UsageError: the file cannot be read, or has something else in it; nothing is imported.
    """
    new = _read(Path(file))
    with editing(collection) as (store, target):
        before = store.names()
        after = add_names(before, new, target.store_names)
        known = {(each.name.casefold(), each.content) for each in before}
        added = [each for each in after if (each.name.casefold(), each.content) not in known]
        return [named_thing(store, after, each) for each in Names(added).things]


def add_names(present: Names, new: Sequence[Naming], save: Callable[[Names], None]) -> Names:
    """Save the present names with new ones, if that changes them; the newest spelling wins."""
    updated = Names([*present, *new])
    if list(updated) != list(present):
        save(updated)
    return updated


def named_thing(store: Store, names: Names, name: str) -> NamedThing:
    """Return a thing with its photos in the collection; without any for an unknown name."""
    namings = tuple(each for each in names if each.name.casefold() == name.casefold())
    photos = store.photos_with([each.content for each in namings])
    shown = namings[0].name if namings else name
    return NamedThing(shown, namings, tuple(sorted(photo.path for photo in photos)))


def no_such_name(name: str, collection: str) -> UsageError:
    """Return the error for a name that nothing in a collection carries."""
    return UsageError(f'{collection}: nothing is named "{name}"; resight names lists the names')


def names_to_dict(things: Sequence[NamedThing]) -> dict[str, Any]:
    """Return named things as JSON values, which `import_names` reads."""
    return {"names": [thing.to_dict() for thing in things]}


def _carrier(store: Store, names: Names, name: str, path: Path) -> str:
    """Return the content of a photo that carries a name."""
    content = content_at(store, path)
    if content not in names.contents(name):
        raise UsageError(f'{absolute(path)}: is not named "{name}"')
    return content


def _read(file: Path) -> list[Naming]:
    """Return the namings in a file."""
    namings = []
    for number, entry in enumerate(read_json(file, "names"), 1):
        contents = entry.get("contents") if isinstance(entry, dict) else None
        try:
            if not isinstance(contents, list):
                raise UsageError("expected a name and its contents")
            for each in contents:
                values = each if isinstance(each, dict) else {}
                namings.append(Naming.from_dict({**values, "name": entry.get("name")}))
        except UsageError as error:
            raise UsageError(f"{file}: name {number}: {error}") from None
    return namings
