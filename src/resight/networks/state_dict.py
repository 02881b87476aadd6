"""Reading of weights files without running any code in them."""

from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import WeightsError

SKLEARN_ADVICE = (
    "contains a scikit-learn object, which is a program and is not read. If you trust the file, "
    'write its numbers instead: python -c "import sys, torch; a, b = sys.argv[1:]; '
    "c = torch.load(a, map_location='cpu', weights_only=False); c['pca'] = {n: {'mean': p.mean_, "
    "'components': p.components_, 'variance': p.explained_variance_} for n, p in "
    "c['pca'].items()}; torch.save(c, b)\" FILE NEW"
)


def read_content(path: Path) -> Any:
    """Read a `.pth` or `.safetensors` file: plain values, dictionaries, lists and arrays.

    Tensors become arrays, floating-point ones float32. Classes other than NumPy's arrays are
    refused.

    Raises:
        WeightsError: the file cannot be read.
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
            raise WeightsError(f"{path}: {SKLEARN_ADVICE}") from None
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path}: cannot be read as weights: {first_line[:200]}") from None
    return _as_arrays(content)


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
