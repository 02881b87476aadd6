"""What a method learned from photos before it described any: named arrays, kept as safetensors.

A vocabulary of visual words, the whitening of regions and the like belong to the method as the
weights of a network do: they are part of its fingerprint and stay as they are.
"""

import hashlib

import numpy as np

from resight.descriptors.extractor import FittedParams


def to_bytes(learned: FittedParams) -> bytes:
    """Arrays as they are stored, float32."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(values, "<f4") for name, values in learned.items()})


def from_bytes(data: bytes) -> dict[str, np.ndarray]:
    """What `to_bytes` made.

    Raises:
        ValueError: the bytes are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except SafetensorError as error:
        raise ValueError(f"what the method learned: {error}") from None


def sha256(learned: FittedParams) -> str:
    """The hash (hex) of the arrays' values in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(learned):
        found.update(np.ascontiguousarray(learned[name], "<f4").tobytes())
    return found.hexdigest()
