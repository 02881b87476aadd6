"""Every error that Resight raises deliberately, with a message for the user.

The command line prints the message on one line and exits with status 2.
"""


class ResightError(Exception):
    """Base class of all deliberate errors.

    Attributes:
        parameter: the parameter at fault, by its Python name. The message starts with it; the
            command line shows the option of the same name instead, such as `--verify-by`.
    """

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter

    def __str__(self) -> str:
        message = super().__str__()
        return f"{self.parameter}: {message}" if self.parameter else message


class UsageError(ResightError):
    """An invalid parameter, or an invalid combination of parameters."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str, *, parameter: str | None = None) -> None:
        message = f"{feature} needs an extra: pip install 'resight[{extra}]'"
        super().__init__(message, parameter=parameter)


class QueryError(UsageError):
    """The query photo cannot be read."""


class ImageError(ResightError):
    """A photo cannot be read; the message gives the reason without the path."""


class WeightsError(ResightError):
    """Network weights are damaged or do not fit the network."""


class WeightsMissingError(WeightsError):
    """No weights were given, and none were found."""


class FitError(ResightError):
    """There is too little data to fit a selection, a whitening or a vocabulary."""


class DatasetError(ResightError):
    """Ground truth cannot be read or does not match the collection."""


class ClusterError(ResightError):
    """A Ray cluster cannot be reached or cannot run the extraction."""


class SegmentError(ResightError):
    """A segment is damaged, or cannot be read or written."""


class CollectionError(ResightError):
    """A collection is missing, damaged, of a newer format, or not writable."""


class CollectionEmptyError(CollectionError):
    """A collection holds no photos, so there is nothing to search."""


class CollectionMismatchError(CollectionError):
    """A collection has another configuration or other weights."""


class CollectionLockedError(CollectionError):
    """Another process is writing to the collection."""
