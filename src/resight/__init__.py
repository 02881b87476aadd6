"""Find, in a collection of photos, those that show the very same object, building or scene.

>>> import resight
>>> resight.METHODS["paper"].published.scores["holidays"]
93.98

The public names are listed in `__init__.pyi`; each is imported on first use, so that
`import resight` costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
