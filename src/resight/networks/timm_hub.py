"""Weights that timm publishes: from its cache, or downloaded into it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from resight.errors import WeightsMissingError
from resight.networks.backbone import TIMM
from resight.networks.meta_trace import first_line
from resight.networks.timm_models import import_timm, pretrained_config
from resight.networks.weights import hub_cache

TAGLESS_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of weights files in a repository of the Hugging Face hub, in timm's order."""


def find_pretrained(name: str) -> Path:
    """Return the file of the weights that timm publishes, from its cache or a download into it.

    Raises:
        WeightsMissingError: there are none, or they cannot be downloaded.
    """
    timm = import_timm(name)
    config = pretrained_config(timm, name.removeprefix(TIMM))
    if config.hf_hub_id:
        repository, _, revision = config.hf_hub_id.partition("@")
        files = (config.hf_hub_filename,) if config.hf_hub_filename else TAGLESS_FILES
        try:
            return _from_hub(repository, files, revision or None)
        except Exception as error:  # noqa: BLE001 - the hub's client and those below it
            raise _missing(name, f"the download failed: {first_line(error)}") from None
    if config.url and not config.url.endswith(".npz"):
        path = hub_cache() / config.url.rsplit("/", 1)[-1]
        try:
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(config.url, str(path), progress=False)
            return path
        except OSError as error:
            raise _missing(name, f"the download failed: {first_line(error)}") from None
    raise _missing(name, "timm publishes none that it can load from a state dict")


def _from_hub(repository: str, files: Sequence[str], revision: str | None) -> Path:
    """Return the first of some files that a repository has, cached or downloaded."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for file in files:
        cached = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    error: Exception | None = None
    for file in files:
        try:
            _check_connection(huggingface_hub.hf_hub_url(repository, file, revision=revision))
            return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))
        except EntryNotFoundError as exception:
            error = exception
            if isinstance(exception, LocalEntryNotFoundError):  # offline
                break
    assert error is not None
    raise error


def _check_connection(url: str) -> None:
    """Raise an `OSError` if a server cannot be reached: the hub's client would try for long."""
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=30).close()
    except urllib.error.HTTPError as error:  # it answers
        error.close()


def _missing(name: str, reason: str) -> WeightsMissingError:
    return WeightsMissingError(
        f"no weights for {name} ({reason}): pass --weights FILE with a state dict of the model, "
        "or set RESIGHT_WEIGHTS=FILE"
    )
