"""The configuration that is asked for: a method by name or a file, and what overrides it."""

import tomllib
from pathlib import Path

from resight.config import (
    ConfigPair,
    MethodConfig,
    method_from_dict,
    reduction_from_dict,
)
from resight.descriptors.names import check_names
from resight.errors import UsageError
from resight.methods.catalogue import METHODS, MethodSpec, find_method


def load_config(name_or_path: str) -> ConfigPair:
    """A recipe's configuration by name, or a TOML file of fields with a table `[selection]`.

    Raises:
        UsageError: no such recipe or file, one whose re-ranking belongs to the search, not TOML, an
            unknown field, or a value that cannot be.
    """
    recipe = find_method(name_or_path)
    if recipe is not None:
        search = _of_the_search(recipe)
        if search:
            base = next(
                name
                for name, r in METHODS.items()
                if (r.extraction, r.selection) == (recipe.extraction, recipe.selection)
                and not _of_the_search(r)
            )
            raise UsageError(
                f"--config {name_or_path}: re-ranking belongs to the search: index with --config "
                f"{base}, and search with {search}"
            )
        return recipe.extraction, recipe.selection
    path = Path(name_or_path)
    try:
        fields = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"--config: no method or file {name_or_path!r} (resight methods lists the methods)"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as TOML: {error}") from None
    try:
        selection = fields.pop("selection", None)
        method = method_from_dict(fields)
        check_names(method)
        if selection is None:
            return method, method.default_reduction()
        return method, reduction_from_dict(selection)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _of_the_search(recipe: MethodSpec) -> str:
    """The options of a search that a recipe has; those of `index` do not hold them."""
    verify = f"--verify {recipe.verify} --verify-by {recipe.verify_by}" * bool(recipe.verify)
    rerank = f"--rerank {recipe.rerank.method}" * (recipe.rerank.method != "none")
    return " ".join(filter(None, [rerank, verify]))


def resolve_config(
    config: str | MethodConfig | ConfigPair | None, cam: bool | None, precision: str | None = None
) -> ConfigPair:
    """The configuration that is asked for: a recipe, a TOML file or a configuration.

    Args:
        config: None is `paper`; a configuration comes with its selection or takes the
            default.
        cam: class activation maps on or off; None as the configuration says.
        precision: what the network computes in; None as the configuration says.

    Raises:
        UsageError: see `load_config`, or class activation maps of a method without a network.
    """
    if config is None or isinstance(config, str):
        method, selection = load_config(config or "paper")
    elif isinstance(config, tuple):
        method, selection = config
    else:
        method, selection = config, config.default_reduction()
    if cam is not None:
        method = method.with_cam(cam)
    if precision is not None:
        method = method.with_precision(precision)
    check_names(method)
    return method, selection
