"""From what a user names, a method or a TOML file, to a configuration."""

import tomllib
from pathlib import Path

from resight.config import ConfigPair, MethodConfig, method_from_dict, reduction_from_dict
from resight.descriptors.names import check_names
from resight.errors import UsageError
from resight.methods.catalogue import METHODS, find_method
from resight.methods.spec import MethodSpec


def load_config(name_or_path: str) -> ConfigPair:
    """Return the configuration of a method, or of a TOML file of fields and a table `[selection]`.

    Raises:
        UsageError: no such method or file, a method whose re-ranking belongs to the search, a file
            that is not TOML, an unknown field or an invalid value.
    """
    spec = find_method(name_or_path)
    if spec is None:
        return _read_config(Path(name_or_path))
    if spec.search_settings:
        raise UsageError(
            f"{name_or_path} re-ranks results: index with {_without_reranking(spec)}, and search "
            f"with {spec.search_settings}",
            parameter="config",
        )
    return spec.config, spec.reduction


def _without_reranking(spec: MethodSpec) -> str:
    """Return the name of the method with the same descriptors that does not re-rank."""
    return next(
        name
        for name, other in METHODS.items()
        if (other.config, other.reduction) == (spec.config, spec.reduction)
        and not other.search_settings
    )


def _read_config(path: Path) -> ConfigPair:
    try:
        fields = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"no method or file {str(path)!r} (resight methods lists the methods)",
            parameter="config",
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as TOML: {error}") from None
    try:
        reduction = fields.pop("selection", None)
        config = method_from_dict(fields)
        check_names(config)
        if reduction is None:
            return config, config.default_reduction()
        return config, reduction_from_dict(reduction)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def resolve_config(
    config: str | MethodConfig | ConfigPair | None, cam: bool | None, precision: str | None = None
) -> ConfigPair:
    """Return the requested configuration and reduction.

    Args:
        config: a method's name, a TOML file, or a configuration, with its reduction or with the
            default one; None is `paper`.
        cam: class activation maps on or off; None leaves them as configured.
        precision: arithmetic of the network; None leaves it as configured.

    Raises:
        UsageError: see `load_config`, `MethodConfig.with_cam` and `MethodConfig.with_precision`.
    """
    if config is None or isinstance(config, str):
        method, reduction = load_config(config or "paper")
    elif isinstance(config, tuple):
        method, reduction = config
    else:
        method, reduction = config, config.default_reduction()
    if cam is not None:
        method = method.with_cam(cam)
    if precision is not None:
        method = method.with_precision(precision)
    check_names(method)
    return method, reduction
