"""Search a collection by one photo."""

from pathlib import Path

from resight.backends.open import open_store
from resight.backends.store import Filter
from resight.config import SearchConfig
from resight.methods.model import ModelOptions
from resight.photos.transforms import Box
from resight.searching.searcher import Searcher, SearchResults


def search(
    query: Path,
    collection: Path | str,
    config: SearchConfig | None = None,
    *,
    box: Box | None = None,
    where: Filter | None = None,
    model: ModelOptions | None = None,
) -> SearchResults:
    """The photos of a collection nearest to a photo or a region of it; see `Searcher.search`.

    Args:
        query: the photo.
        collection: the collection's folder, or its address on a backend.
        config: how to answer.
        box: the region that is meant.
        where: which photos to search among.
        model: weights and device.
    """
    with open_store(collection) as store:
        return Searcher(store, model).search(query, config or SearchConfig(), box, where)
