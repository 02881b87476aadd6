"""Any reduction of descriptors: fit it, store it, read it."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from resight.config import (
    ReductionConfig,
    SelectionConfig,
    WccnConfig,
    WhiteningConfig,
    stored_reduction,
)
from resight.reductions.combined import SelectionPlusWhitening, fit_selection_plus_whitening
from resight.reductions.pfa import Selection, fit_selection
from resight.reductions.wccn import Correction, Variations, Wccn, fit_wccn
from resight.reductions.whitening import Blocks, Whitening, fit_whitening

Reduction = Selection | Whitening | SelectionPlusWhitening | Wccn


def no_variations() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield no photos with varied copies, for reductions that need none."""
    return iter(())


def fit_reduction(
    blocks: Blocks,
    sizes: Sequence[int],
    config: ReductionConfig,
    variations: Variations = no_variations,
) -> Reduction:
    """Fit the reduction of a configuration.

    Args:
        blocks: yields the descriptors, float blocks (n, D), on every call.
        sizes: number of values of each layer, in the order of the descriptor.
        config: a selection, a whitening or an adaptation.
        variations: yields sampled photos with their copies on every call, for an adaptation.

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
            case WccnConfig():
                return fit_wccn(blocks, variations, sizes, config)
    raise ValueError(f"{config.method}: there is nothing to fit")


def to_query(reduction: Reduction | None, reduced: np.ndarray) -> np.ndarray:
    """Return a photo's reduced descriptor (d,) as that of a query."""
    return reduction.to_query(reduced) if isinstance(reduction, Wccn) else reduced


def to_bytes(reduction: Reduction) -> bytes:
    """Return the fitted numbers as they are stored: int32 indices, or an `.npz` file."""
    arrays: dict[str, Any] = {}
    match reduction:
        case Selection():
            return reduction.indices.astype("<i4").tobytes()
        case Whitening():
            whitening = reduction
        case SelectionPlusWhitening():
            whitening = reduction.whitening
            arrays["indices"] = reduction.selection.indices.astype("<i4")
            arrays["scales"] = np.array(reduction.scales)
        case Wccn():
            whitening = reduction.projection
            if reduction.correction is not None:
                arrays["references"] = reduction.correction.references.astype("<f2")
                arrays["largest"] = np.array(reduction.correction.largest)
    arrays["means"] = whitening.means
    arrays |= {f"part{i}": part for i, part in enumerate(whitening.parts)}
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def from_bytes(data: bytes, fields: dict[str, Any]) -> Reduction:
    """Read the result of `to_bytes`, with the fields of the configuration it was fitted with.

    Raises:
        ValueError, KeyError, OSError, EOFError: the bytes are damaged.
    """
    config = stored_reduction(fields)
    if isinstance(config, SelectionConfig):
        return Selection(np.frombuffer(data, "<i4").astype(np.int64), config.renormalize)
    with _open_npz(data) as arrays:
        count = sum(name.startswith("part") for name in arrays.files)
        parts = tuple(arrays[f"part{i}"] for i in range(count))
        match config:
            case WhiteningConfig(combine_with="none"):
                return Whitening(arrays["means"], parts, config.power)
            case WhiteningConfig():
                selection = Selection(arrays["indices"].astype(np.int64))
                first, second = arrays["scales"].tolist()
                whitening = Whitening(arrays["means"], parts, config.power)
                return SelectionPlusWhitening(selection, whitening, (first, second))
            case WccnConfig():
                correction = None
                if "references" in arrays.files:
                    correction = Correction(
                        arrays["references"].astype(np.float32),
                        config.neighbors,
                        config.correction,
                        float(arrays["largest"]),
                    )
                return Wccn(Whitening(arrays["means"], parts), correction)
    raise ValueError("no fitted numbers belong to this configuration")


def _open_npz(data: bytes) -> Any:
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from None
