"""A server without a collection: which folders its first photos may come from."""

from pathlib import Path

from resight.collection import Collection
from resight.collection.writer import check_creatable
from resight.web import WebSettings


def may_start_new(place: Path, settings: WebSettings) -> bool:
    """Return whether a server may start without a collection, to index its first photos.

    Only clients on the same machine can name folders, and there must be some that they may name.

    Raises:
        CollectionError: the folder has other things in it, or cannot be written.
    """
    startable = settings.local_only and bool(settings.index_folders or home_folders(settings))
    if Collection.exists(place) or not startable or not place.absolute().parent.is_dir():
        return False
    check_creatable(place)
    return True


def home_folders(settings: WebSettings) -> list[Path]:
    """Return the folder below which the first photos of a new collection may be.

    It is the home folder of the person who started the server, and nobody else can have the token.
    There is none without a token, or where the server was told which folders are allowed.
    """
    if settings.token is None or settings.index_folders:
        return []
    try:
        home = Path.home().resolve()
    except (OSError, RuntimeError):  # none is known
        return []
    return [home] if home.is_dir() and home != Path(home.anchor) else []


def offered_folders(settings: WebSettings) -> list[Path]:
    """Return folders to begin with: the allowed ones, or where people keep their photos."""
    if settings.index_folders:
        return list(settings.index_folders)
    return [
        next(folder for folder in (home / "Pictures", home) if folder.is_dir())
        for home in home_folders(settings)
    ]
