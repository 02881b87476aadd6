"""The methods by name; each family has a file, in which a new method is one entry.

`index --config NAME` and a row of a benchmark are the same method.
"""

from collections.abc import Mapping

from resight.config import MethodConfig
from resight.errors import UsageError
from resight.methods import fine_tuned, local, pooled, seddati, whitened
from resight.methods.spec import MethodSpec

METHODS: Mapping[str, MethodSpec] = {
    **seddati.METHODS,
    **whitened.METHODS,
    **pooled.METHODS,
    **fine_tuned.METHODS,
    **local.METHODS,
}


def find_method(name: str) -> MethodSpec | None:
    """Return a method by its name, or by `NAME@BACKBONE` on another network; None if unknown.

    Raises:
        UsageError: there is no such network, or the method cannot be computed on it.
    """
    plain, at, backbone = name.partition("@")
    spec = METHODS.get(plain)
    if spec is None or not at:
        return spec
    try:
        return spec.on_backbone(backbone)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None


def method_name(config: MethodConfig) -> str:
    """Return the name of the first method with a configuration, else of its family."""
    names = (name for name, spec in METHODS.items() if spec.config == config)
    return next(names, config.method)
