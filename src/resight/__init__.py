"""Find, in a collection of photos, those that show the very same object, building or scene.

>>> import resight
>>> resight.METHODS["paper"].published.scores["holidays"]
93.98
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resight.backends.manage import info, remove
    from resight.backends.store import Filter
    from resight.backends.transfer import pull, push
    from resight.collection.integrity import check
    from resight.collection.reader import Collection
    from resight.config import (
        BackendConfig,
        ExtractionConfig,
        LocalConfig,
        SearchConfig,
        SelectionConfig,
        WhiteningConfig,
    )
    from resight.errors import ResightError
    from resight.evaluation.evaluate_collection import evaluate
    from resight.indexing.cluster.merge import merge
    from resight.indexing.describe import describe
    from resight.indexing.fitting import fit
    from resight.indexing.pipeline import index
    from resight.methods.catalogue import METHODS
    from resight.methods.model import ModelOptions
    from resight.searching.search import search
    from resight.searching.searcher import Searcher

__version__ = "0.1.0"

_HOMES = {
    "Collection": "collection.reader",
    "BackendConfig": "config",
    "ExtractionConfig": "config",
    "Filter": "backends.store",
    "ModelOptions": "methods.model",
    "METHODS": "methods.catalogue",
    "ResightError": "errors",
    "SearchConfig": "config",
    "Searcher": "searching.searcher",
    "SelectionConfig": "config",
    "LocalConfig": "config",
    "WhiteningConfig": "config",
    "check": "collection.integrity",
    "describe": "indexing.describe",
    "evaluate": "evaluation.evaluate_collection",
    "fit": "indexing.fitting",
    "index": "indexing.pipeline",
    "info": "backends.manage",
    "merge": "indexing.cluster.merge",
    "pull": "backends.transfer",
    "push": "backends.transfer",
    "remove": "backends.manage",
    "search": "searching.search",
}
"""Public name to module: imported on first use, so that `import resight` costs nothing."""

__all__ = [
    "METHODS",
    "BackendConfig",
    "Collection",
    "ExtractionConfig",
    "Filter",
    "LocalConfig",
    "ModelOptions",
    "ResightError",
    "SearchConfig",
    "Searcher",
    "SelectionConfig",
    "WhiteningConfig",
    "check",
    "describe",
    "evaluate",
    "fit",
    "index",
    "info",
    "merge",
    "pull",
    "push",
    "remove",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
