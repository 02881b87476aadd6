"""The files of a collection's 8-bit codes (`ranking.quantized`), beside the arrays they encode."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from resight.collection import appendable_npy
from resight.ranking.quantized import (
    MAX_EUCLIDEAN_VALUES,
    Norm,
    QuantizedDescriptors,
    Quantizer,
    encode_blocks,
    fit_quantizer,
)

MAX_OUTLIERS = 0.02
"""Largest fraction of rows outside the range of the codes; beyond it, they are computed again."""


def norm_of_codes(distance: str, values: int) -> Norm | None:
    """Return the norm of codes for rows of this many values; None for rows without codes."""
    if distance == "manhattan":
        return "manhattan"
    if distance == "euclidean" and values <= MAX_EUCLIDEAN_VALUES:
        return "euclidean"
    return None


def append_codes(
    folder: Path, name: str, header: dict[str, Any], before: int, distance: str
) -> None:
    """Write the codes of the rows after the first `before`; of all rows if there are none yet.

    Args:
        folder: of the arrays.
        name: of the descriptor.
        header: of the arrays (`search_arrays`), which is updated.
        before: rows that were there already.
        distance: of the collection.

    Raises:
        ValueError: the codes do not fit the new rows, or a file is damaged.
    """
    rows = appendable_npy.load(folder / f"{name}.npy", header["rows"])
    path, slack_path = folder / f"{name}-codes.npy", folder / f"{name}-units.npy"
    codes = header["codes"].get(name)
    norm = norm_of_codes(distance, rows.shape[1])
    if norm is None:
        return
    if codes is None:
        before = 0
        quantizer = fit_quantizer(rows, norm)
        appendable_npy.create(path, rows.shape[1:], "|u1")
        if quantizer.slack_bytes:
            appendable_npy.create(slack_path, (quantizer.slack_bytes,), "|u1")
        low, step, lost = quantizer.low, quantizer.step, quantizer.max_error
        codes = {"low": low, "step": step, "lost": lost, "norm": norm, "outliers": []}
    quantizer = _quantizer(codes)
    done = before
    for encoded, slack, outliers in encode_blocks(rows[before:], quantizer):
        appendable_npy.append(path, done, encoded)
        if quantizer.slack_bytes:
            appendable_npy.append(slack_path, done, slack)
        done += len(encoded)
        codes["outliers"] += (before + outliers).tolist()
    if len(codes["outliers"]) > MAX_OUTLIERS * header["rows"]:
        raise ValueError("the codes do not fit the new rows")
    header["codes"][name] = codes


def read_codes(
    files: Mapping[str, np.ndarray], codes: Mapping[str, Any], count: int
) -> tuple[QuantizedDescriptors, ...]:
    """Return the quantized descriptors in loaded files of `count` rows, by the header's `codes`."""
    return tuple(
        QuantizedDescriptors(
            _quantizer(each),
            files[f"{name}-codes.npy"],
            files.get(f"{name}-units.npy", np.empty((count, 0), np.uint8)),
            np.array(each["outliers"], np.int64),
        )
        for name, each in codes.items()
    )


def _quantizer(codes: Mapping[str, Any]) -> Quantizer:
    norm: Norm = codes.get("norm", "manhattan")
    return Quantizer(codes["low"], codes["step"], codes["lost"], norm)
