"""Fitted parameters of a method as named arrays, stored as safetensors.

A vocabulary of visual words, the whitening of regions and the like are fitted before any photo is
described. Like the weights of a network they are part of the fingerprint and never change.
"""

import hashlib

import numpy as np

from resight.descriptors.extractor import FittedParams


def to_bytes(params: FittedParams) -> bytes:
    """Return the arrays as they are stored, float32."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(values, "<f4") for name, values in params.items()})


def from_bytes(data: bytes) -> dict[str, np.ndarray]:
    """Read the result of `to_bytes`.

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
