"""Descriptors made shorter before they are compared: a selection of values, whitening, or both."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from resight.config import ReductionConfig, SelectionConfig, WhiteningConfig, stored_reduction
from resight.reductions.combined import SelectionPlusWhitening, fit_selection_plus_whitening
from resight.reductions.pfa import Selection, fit_selection
from resight.reductions.whitening import Blocks, Whitening, fit_whitening

Reduction = Selection | Whitening | SelectionPlusWhitening


def fit_reduction(blocks: Blocks, sizes: Sequence[int], config: ReductionConfig) -> Reduction:
    """Fit what a configuration asks for.

    Args:
        blocks: gives the descriptors, float blocks (n, D), as often as it is called.
        sizes: values of each layer of a descriptor, in its order.
        config: a selection's or a whitening's.

    Raises:
        FitError: too few photos for it.
    """
    if isinstance(config, SelectionConfig):
        return fit_selection(blocks(), config)
    if not isinstance(config, WhiteningConfig):
        raise ValueError(f"{config.method}: there is nothing to fit")
    with threadpool_limits(limits=1):  # the same numbers whatever the number of threads
        fit = fit_whitening if config.combine_with == "none" else fit_selection_plus_whitening
        return fit(blocks, sizes, config)


def to_bytes(reduction: Reduction) -> bytes:
    """The fitted numbers as they are stored: int32 indices, or an `.npz` of float32 arrays."""
    if isinstance(reduction, Selection):
        return reduction.indices.astype("<i4").tobytes()
    whitening = reduction.whitening if isinstance(reduction, SelectionPlusWhitening) else reduction
    arrays = {"means": whitening.means}
    arrays |= {f"part{i}": part for i, part in enumerate(whitening.parts)}
    if isinstance(reduction, SelectionPlusWhitening):
        arrays["indices"] = reduction.selection.indices.astype("<i4")
        arrays["scales"] = np.array(reduction.scales)
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def from_bytes(data: bytes, fields: dict[str, Any]) -> Reduction:
    """What `to_bytes` made, with the fields of the configuration it was fitted with.

    Raises:
        ValueError, KeyError, OSError: the bytes are damaged.
    """
    config = stored_reduction(fields)
    if isinstance(config, SelectionConfig):
        return Selection(np.frombuffer(data, "<i4").astype(np.int64), config.renormalize)
    if not isinstance(config, WhiteningConfig):
        raise ValueError("no fitted numbers belong to this configuration")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        count = sum(name.startswith("part") for name in arrays.files)
        parts = tuple(arrays[f"part{i}"] for i in range(count))
        whitening = Whitening(arrays["means"], parts, config.power)
        if config.combine_with == "none":
            return whitening
        first, second = arrays["scales"].tolist()
        selection = Selection(arrays["indices"].astype(np.int64))
        return SelectionPlusWhitening(selection, whitening, (first, second))
