"""Parameters that a method fits on photos before it describes any: named arrays as safetensors.

A visual vocabulary, a whitening of regions and the like belong to the method as the weights of a
network do: they are part of its fingerprint and never change.
"""

import hashlib

import numpy as np

from resight.descriptors.extractor import FittedParams


def to_bytes(params: FittedParams) -> bytes:
    """Return arrays as they are stored, float32."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(values, "<f4") for name, values in params.items()})


def from_bytes(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays that `to_bytes` encoded.

    Raises:
        ValueError: the bytes are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except SafetensorError as error:
        raise ValueError(f"fitted parameters: {error}") from None


def sha256(params: FittedParams) -> str:
    """Return the hash (hex) of the arrays' values in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(params):
        digest.update(np.ascontiguousarray(params[name], "<f4").tobytes())
    return digest.hexdigest()
