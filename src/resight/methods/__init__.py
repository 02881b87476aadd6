"""Methods by name, and the configuration that a name or a TOML file stands for.

Each family of methods has a file, in which a new method is one entry; `index --config NAME` and a
row of a benchmark are the same method.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from resight.config import (
    DEFAULT_METHOD,
    ConfigPair,
    MethodConfig,
    method_from_dict,
    reduction_from_dict,
)
from resight.descriptors.extractor import check_names
from resight.errors import UsageError
from resight.methods import adapted, fine_tuned, local, pooled, seddati, whitened
from resight.methods.spec import MethodSpec

METHODS: Mapping[str, MethodSpec] = {
    **seddati.METHODS,
    **adapted.METHODS,
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
    except RecursionError:  # lists in lists, thousands deep
        raise UsageError(f"{path}: cannot be read as TOML: nested too deeply") from None
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
            default one; None is `DEFAULT_METHOD`.
        cam: class activation maps on or off; None leaves them as configured.
        precision: arithmetic of the network; None leaves it as configured.

    Raises:
        UsageError: see `load_config`, `MethodConfig.with_cam` and `MethodConfig.with_precision`.
    """
    if config is None or isinstance(config, str):
        method, reduction = load_config(config or DEFAULT_METHOD)
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
