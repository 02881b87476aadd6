"""Search a collection by one photo."""

from pathlib import Path

from resight.backends.open import open_store
from resight.backends.store import Filter
from resight.config import SearchConfig
from resight.methods.model import ModelOptions
from resight.photos.transforms import Box
from resight.searching.query import QuerySource
from resight.searching.results import SearchResults
from resight.searching.searcher import Searcher


def search(
    query: QuerySource,
    collection: Path | str,
    config: SearchConfig | None = None,
    *,
    box: Box | None = None,
    where: Filter | None = None,
    model: ModelOptions | None = None,
) -> SearchResults:
    """Open a collection and search it once; see `Searcher.search`.

    Args:
        query: a file, or an upright image: PIL, or uint8 (H, W, 3).
        collection: the collection's folder, or its address on a backend.
        config: number of results, re-ranking and verification.
        box: the region of the query, x, y, width and height in pixels.
        where: restricts the search to some photos.
        model: weights and device.
    """
    with open_store(collection) as store:
        return Searcher(store, model).search(query, config, box, where)
