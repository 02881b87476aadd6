"""Any reduction of descriptors: fit it, store it, read it."""

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
    """Fit the reduction of a configuration.

    Args:
        blocks: yields the descriptors, float blocks (n, D), on every call.
        sizes: number of values of each layer, in the order of the descriptor.
        config: a selection or a whitening.

    Raises:
        FitError: too few photos.
    """
    with threadpool_limits(limits=1):  # the same numbers for any number of threads
        match config:
            case SelectionConfig():
                return fit_selection(blocks(), config)
            case WhiteningConfig(combine_with="none"):
                return fit_whitening(blocks, sizes, config)
            case WhiteningConfig():
                return fit_selection_plus_whitening(blocks, sizes, config)
    raise ValueError(f"{config.method}: there is nothing to fit")


def to_bytes(reduction: Reduction) -> bytes:
    """Return the fitted numbers as they are stored: int32 indices, or an `.npz` file."""
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
    """Read the result of `to_bytes`, with the fields of the configuration it was fitted with.

    Raises:
        ValueError, KeyError, OSError: the bytes are damaged.
    """
    match stored_reduction(fields):
        case SelectionConfig() as config:
            return Selection(np.frombuffer(data, "<i4").astype(np.int64), config.renormalize)
        case WhiteningConfig() as config:
            return _read_whitening(data, config)
    raise ValueError("no fitted numbers belong to this configuration")


def _read_whitening(data: bytes, config: WhiteningConfig) -> Whitening | SelectionPlusWhitening:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        count = sum(name.startswith("part") for name in arrays.files)
        parts = tuple(arrays[f"part{i}"] for i in range(count))
        whitening = Whitening(arrays["means"], parts, config.power)
        if config.combine_with == "none":
            return whitening
        selection = Selection(arrays["indices"].astype(np.int64))
        scales = arrays["scales"].tolist()
        return SelectionPlusWhitening(selection, whitening, (scales[0], scales[1]))
