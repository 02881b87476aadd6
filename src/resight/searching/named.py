"""Views of a thing that a person named, to search with."""

from resight.backends.names import no_such_name
from resight.backends.store import Store
from resight.collection import Photo
from resight.searching.query import QueryPhoto

MAX_VIEWS = 20
"""Views that one search uses; the first by content, which is a random sample."""


def photos_of_thing(store: Store, name: str) -> list[QueryPhoto]:
    """Return photos that carry a name, one of each content; their files are not read.

    Raises:
        UsageError: no photo of the collection carries the name.
    """
    views: dict[str, Photo] = {}
    for photo in store.photos_with(store.names().contents(name)):
        views.setdefault(str(photo.content), photo)
    if not views:
        raise no_such_name(name, store.name)
    chosen = [views[content] for content in sorted(views)[:MAX_VIEWS]]
    return [QueryPhoto(photo.path, photo.path, None, photo.content) for photo in chosen]
