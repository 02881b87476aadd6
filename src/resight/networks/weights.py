"""Network weights: where they come from, whose they are, and how a file of them is read."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import WeightsError, WeightsMissingError
from resight.networks.backbone import WeightsSpec
from resight.networks.specs import BACKBONES

ENVIRONMENT_VARIABLE = "RESIGHT_WEIGHTS"

SKLEARN = (
    "holds an object of scikit-learn, which is a program and not read. Write its numbers instead, "
    'where you trust the file: python -c "import sys, torch; a, b = sys.argv[1:]; '
    "c = torch.load(a, map_location='cpu', weights_only=False); c['pca'] = {n: {'mean': p.mean_, "
    "'components': p.components_, 'variance': p.explained_variance_} for n, p in "
    "c['pca'].items()}; torch.save(c, b)\" FILE NEW"
)
"""What is said of a file with a scikit-learn PCA in it: how to convert it."""

Progress = Callable[[int, int], None]
"""Called with the bytes received so far and the bytes in all (0 when the server does not say)."""


@dataclass(frozen=True)
class WeightsFile:
    """A weights file on this machine and the SHA-256 (hex) of its content."""

    path: Path
    sha256: str


def find_weights(
    backbone: str,
    explicit: Path | None = None,
    remembered: Path | None = None,
    *,
    environment: bool = True,
    trained: str | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> WeightsFile:
    """The weights for a backbone, from the first place that has them.

    The places, in order: `explicit` (`--weights`), the environment variable `RESIGHT_WEIGHTS`,
    `remembered` (the file a collection was made with, if it is still there), the torch hub
    cache, and a download into that cache.

    Args:
        backbone: the network.
        explicit: a named file.
        remembered: a collection's.
        environment: whether the variable is looked at.
        trained: what it has to be, where weights of ImageNet, in the cache or by a download, would
            not do.
        download: whether they may be fetched.
        progress: called while they are.

    Raises:
        WeightsMissingError: no place has any.
        WeightsError: a named file is missing, or a cached file is damaged.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE) if environment else None
    for path, source in ((explicit, "--weights"), (named, ENVIRONMENT_VARIABLE)):
        if path:
            return named_file(Path(path).expanduser(), source)
    if remembered is not None and remembered.is_file():
        return named_file(remembered, "the collection")
    if trained is not None:
        raise WeightsMissingError(
            f"no weights: the method needs those of a {backbone} {trained}, as its authors publish "
            f"them: pass --weights FILE or set {ENVIRONMENT_VARIABLE}=FILE"
        )
    spec = BACKBONES[backbone].weights
    cached = hub_cache() / spec.file_name
    if cached.is_file():
        return _checked(cached, spec)
    if not download:
        raise _unreachable(backbone, spec, "no download was asked for")
    _download(backbone, spec, cached, progress)
    return _checked(cached, spec)


def hub_cache() -> Path:
    """Torch hub's folder of checkpoints (as `torch.hub` finds it, without importing torch)."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def user_cache() -> Path:
    """The folder for what can be made again: folded networks, descriptors of benchmarks."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "resight"


def read_content(path: Path) -> Any:
    """What a `.pth` or `.safetensors` file holds: plain values, dictionaries, lists and arrays.

    Tensors become arrays, floating-point ones float32. Nothing in the file is run: classes are
    refused, but for NumPy's arrays.

    Raises:
        WeightsError: the file cannot be read so.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            import safetensors.torch

            content: Any = safetensors.torch.load_file(path)
        else:
            with torch.serialization.safe_globals(_numpy_globals()):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file can make the readers raise anything
        if "GLOBAL sklearn" in str(error):
            raise WeightsError(f"{path}: {SKLEARN}") from None
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path}: cannot be read as weights: {first_line[:200]}") from None
    return _as_arrays(content)


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file that holds nothing else, by their names.

    Raises:
        WeightsError: the file cannot be read as a flat dictionary of tensors.
    """
    return flat(read_content(path), path)


def flat(content: Any, path: Path) -> dict[str, np.ndarray]:
    """A dictionary of names with arrays, or a `WeightsError`."""
    if not isinstance(content, dict) or not all(
        isinstance(n, str) and isinstance(v, np.ndarray) for n, v in content.items()
    ):
        raise WeightsError(f"{path}: is not a flat state dict (names with tensors)")
    return content


def _numpy_globals() -> list[Any]:
    """What a pickle of NumPy's arrays names, in files of old versions of it and new ones."""
    functions = [np.ndarray(0).__reduce__()[0], np.float64(0).__reduce__()[0]]
    names = [
        (function, f"{module}.{name}")
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for function, name in zip(functions, ("_reconstruct", "scalar"), strict=True)
    ]
    kinds = {type(np.dtype(name)) for name in ("<f2", "<f4", "<f8", "<i4", "<i8", "|b1")}
    return [*names, np.ndarray, np.dtype, *kinds]


def _as_arrays(content: Any) -> Any:
    import torch

    if isinstance(content, dict):
        return {name: _as_arrays(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_as_arrays(value) for value in content]
    if torch.is_tensor(content):
        return (content.float() if content.is_floating_point() else content).detach().numpy()
    return content


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def named_file(path: Path, source: str) -> WeightsFile:
    """A file that somebody named, with its hash, or a `WeightsError` that says where it was."""
    try:
        return WeightsFile(path.resolve(), file_sha256(path))
    except OSError as error:
        reason = error.strerror or error
        raise WeightsError(f"{source}: {path}: cannot be read: {reason}") from None


def _checked(path: Path, spec: WeightsSpec) -> WeightsFile:
    sha256 = file_sha256(path)
    if sha256 != spec.sha256:
        raise WeightsError(
            f"{path}: damaged (SHA-256 {sha256[:12]}..., expected {spec.sha256[:12]}...); "
            "delete it and run again"
        )
    return WeightsFile(path, sha256)


def _download(backbone: str, spec: WeightsSpec, target: Path, progress: Progress | None) -> None:
    """Fetch to a temporary name beside the target; the target appears whole and checked."""
    import http.client  # these take long to import, and weights are fetched but once
    import urllib.error
    import urllib.request

    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, received = hashlib.sha256(), 0
        with urllib.request.urlopen(spec.url, timeout=30) as response, partial.open("wb") as file:
            total = int(response.headers.get("Content-Length") or 0)
            while block := response.read(1 << 18):
                file.write(block)
                digest.update(block)
                received += len(block)
                if progress:
                    progress(received, total)
        if digest.hexdigest() != spec.sha256:
            raise _unreachable(backbone, spec, "the download arrived damaged")
        partial.replace(target)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        reason = " ".join(str(getattr(error, "reason", None) or error).split())
        raise _unreachable(backbone, spec, f"the download failed: {reason}") from None
    finally:
        if os.path.exists(partial):
            partial.unlink()


def _unreachable(backbone: str, spec: WeightsSpec, reason: str) -> WeightsMissingError:
    return WeightsMissingError(
        f"no weights for {backbone} ({reason}). Three ways out: "
        f"(1) get {spec.url} by other means and pass --weights FILE or set "
        f"{ENVIRONMENT_VARIABLE}=FILE; (2) put that file into {hub_cache()}; "
        "(3) use the method that needs none: --method sift-vlad"
    )
