"""Find, in a collection of photos, those that show the very same object, building or scene.

>>> import resight
>>> resight.RECIPES["paper"].published["holidays"]
93.98
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resight.config import (
        EngineConfig,
        ExtractionConfig,
        SearchConfig,
        SelectionConfig,
        SiftVladConfig,
        WhiteningConfig,
    )
    from resight.errors import ResightError
    from resight.methods import ModelOptions
    from resight.pipeline import (
        describe,
        evaluate,
        fit,
        index,
        info,
        merge,
        pull,
        push,
        remove,
        search,
    )
    from resight.recipes import RECIPES
    from resight.searching.searcher import Searcher
    from resight.storage.collection import Collection
    from resight.storage.integrity import check
    from resight.stores.store import Filter

__version__ = "0.1.0"

_HOMES = {
    "Collection": "storage.collection",
    "EngineConfig": "config",
    "ExtractionConfig": "config",
    "Filter": "stores.store",
    "ModelOptions": "methods",
    "RECIPES": "recipes",
    "ResightError": "errors",
    "SearchConfig": "config",
    "Searcher": "searching.searcher",
    "SelectionConfig": "config",
    "SiftVladConfig": "config",
    "WhiteningConfig": "config",
    "check": "storage.integrity",
    "describe": "pipeline",
    "evaluate": "pipeline",
    "fit": "pipeline",
    "index": "pipeline",
    "info": "pipeline",
    "merge": "pipeline",
    "pull": "pipeline",
    "push": "pipeline",
    "remove": "pipeline",
    "search": "pipeline",
}
"""Public name to module: imported on first use, so that `import resight` costs nothing."""

__all__ = [
    "RECIPES",
    "Collection",
    "EngineConfig",
    "ExtractionConfig",
    "Filter",
    "ModelOptions",
    "ResightError",
    "SearchConfig",
    "Searcher",
    "SelectionConfig",
    "SiftVladConfig",
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
