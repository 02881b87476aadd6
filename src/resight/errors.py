"""The errors Resight raises on purpose, each with a text meant for the person at the keyboard.

::

    ResightError
    ├── UsageError            a value or option that cannot be
    │   └── MissingExtraError      an optional dependency that is not installed
    ├── ImageError            a photo that cannot be read
    ├── WeightsError          network weights that cannot be used
    │   └── WeightsMissingError        there are none, and none were named
    ├── FitError              too little data to fit a selection or a vocabulary
    ├── DatasetError          ground truth that cannot be read
    ├── ClusterError          a cluster that cannot be reached or used
    ├── SegmentError          a segment that is damaged or cannot be written
    └── CollectionError       a collection that cannot be used
        ├── CollectionEmptyError       there are no photos in it to search for
        ├── CollectionMismatchError    made with another configuration or other weights
        └── CollectionLockedError      another process is writing to it

The command line prints the text on one line and exits with status 2.
"""


class ResightError(Exception):
    """Base of every error that Resight raises on purpose."""


class UsageError(ResightError):
    """A value or an option that cannot be."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'resight[{extra}]'")


class ImageError(ResightError):
    """A photo that cannot be read; the text is the reason alone, without the path."""


class WeightsError(ResightError):
    """Network weights that are damaged or do not fit the network."""


class WeightsMissingError(WeightsError):
    """No place has weights, and none were named."""


class FitError(ResightError):
    """Too little data to fit a selection or a vocabulary."""


class DatasetError(ResightError):
    """Ground truth that cannot be read or does not match the collection."""


class ClusterError(ResightError):
    """A cluster that cannot be reached, or cannot do the work."""


class SegmentError(ResightError):
    """A segment that is damaged or cannot be read or written."""


class CollectionError(ResightError):
    """A collection that is missing, damaged, of a newer format, or cannot be written."""


class CollectionEmptyError(CollectionError):
    """A collection without photos, in which nothing can be searched."""


class CollectionMismatchError(CollectionError):
    """The collection was made with another configuration or other weights."""


class CollectionLockedError(CollectionError):
    """Another process is writing to the collection."""
