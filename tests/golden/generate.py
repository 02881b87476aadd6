"""Regenerate the golden values: `python tests/golden/generate.py`.

The JSON files in this folder pin the numbers of the method. Regenerate them only

- if a number is meant to change: then raise `ALGORITHM_VERSION`, because existing collections no
  longer fit, and add a line to the changelog;
- if a case is added: then no other value may change (see `git diff`).

Never regenerate them to make a failing test pass. Inputs come from integer formulas, because the
stream of a random generator may change. Values that the oracle also computes are compared with it
before anything is written. Values are rounded to 9 decimals; tests allow 1e-6.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from resight.config import ExtractionConfig, LocalConfig, SelectionConfig
from resight.descriptors.aggregation.vlad import vlad
from resight.descriptors.fusion import early_fusion, late_fusion
from resight.descriptors.pipeline import cam_mask, class_activation_map
from resight.descriptors.pooling.modified_rmac import modified_rmac
from resight.evaluation.measures import average_precision
from resight.methods import METHODS
from resight.networks.parameters import Classifier
from resight.reductions.pfa import fit_selection

FOLDER = Path(__file__).parent
MODEL = "0123456789abcdef" * 4

Values = dict[str, dict[str, Any]]
"""Name of a file to its cases: name of a case to its value, in plain JSON."""


def feature_map(channels: int, height: int, width: int, shift: int = 0) -> np.ndarray:
    """Return multiples of 1 / 128 from 0 to 1, about half of them 0."""
    c, i, j = np.ogrid[:channels, :height, :width]
    values = ((c + 2) * (37 * i + 61 * j) + 11 * i * j * (c + 1) + 5 * i * i + 91 * c + shift) % 257
    return (values - 128).clip(min=0).astype(np.float32) / 128


def classifier(classes: int, channels: int) -> Classifier:
    """Return weights from -5 to 5 and biases from -1 to 1."""
    k, c = np.ogrid[:classes, :channels]
    weight = ((5 * k + 3 * c + k * c * c) % 11 - 5).astype(np.float32)
    bias = (np.arange(classes) * 2 % 3 - 1).astype(np.float32)
    return Classifier(weight, bias)


def six_kinds(images: int) -> np.ndarray:
    """Return columns 3k to 3k + 2 that are 10, 11 and 12 times one signal, float32 (N, 18).

    The rows of a kind lie on a line, and the lines are orthogonal, so that k-means has a unique
    solution on any machine: the column of each kind that is 11 times the signal.
    """
    i, k = np.ogrid[:images, :6]
    signals = (i * i * (k + 1) + 3 * i * k + k) % 7 - 3
    factors = np.array([np.roll([10, 11, 12], kind) for kind in range(6)])
    columns = signals[:, :, None] * factors
    return columns.reshape(images, 18).astype(np.float32)


def local_descriptors(count: int, size: int, shift: int = 0) -> np.ndarray:
    """Return rows of integers from 0 to 8."""
    i, j = np.ogrid[:count, :size]
    return ((i * i * (j + 1) + 3 * i * j + 5 * j + shift) % 9).astype(np.float32)


def golden_values() -> Values:
    """Compute all golden values by the library."""
    return {
        "pooling": _pooling(),
        "fusion": _fusion(),
        "localization": _localization(),
        "selection": _selection(),
        "vlad": _vlad(),
        "evaluation": _evaluation(),
        "fingerprints": _fingerprints(),
    }


MAPS = {
    "7x9": (5, 7, 9),
    "12x5": (4, 12, 5),
    "1x1": (3, 1, 1),
    "1x6": (3, 1, 6),
    "16x16": (3, 16, 16),
}


def _pooling() -> dict[str, Any]:
    plain = {name: modified_rmac(feature_map(*shape)) for name, shape in MAPS.items()}
    other = {
        "7x9, 1 level": modified_rmac(feature_map(5, 7, 9), levels=1),
        "7x9, 5 levels": modified_rmac(feature_map(5, 7, 9), levels=5),
        "7x9, stride 0.75": modified_rmac(feature_map(5, 7, 9), stride=0.75),
    }
    return {name: _plain(value) for name, value in (plain | other).items()}


def three_maps() -> list[np.ndarray]:
    """Return maps of a photo at three resolutions."""
    return [feature_map(2, 4, 6), feature_map(2, 3, 5, shift=70), feature_map(2, 2, 3, shift=140)]


def _fusion() -> dict[str, Any]:
    maps = three_maps()
    return {
        "early": _plain(early_fusion(maps)),
        "early, nearest": _plain(early_fusion(maps, interpolation="nearest")),
        "early, bicubic": _plain(early_fusion(maps, interpolation="bicubic")),
        "early, aligned corners": _plain(early_fusion(maps, align_corners=True)),
        "early, reversed": _plain(early_fusion(maps[::-1])),
        "late": _plain(late_fusion([modified_rmac(one) for one in maps])),
    }


def _localization() -> dict[str, Any]:
    heat = class_activation_map(feature_map(6, 5, 7), classifier(4, 6))
    return {
        "heat": _plain(heat),
        "mask": _plain(cam_mask(heat)),
        "mask, threshold 1.5": _plain(cam_mask(heat, 1.5)),
    }


def _selection() -> dict[str, Any]:
    config = SelectionConfig(features=6, variance=1.0)
    return {
        f"{images} images": fit_selection([six_kinds(images)], config).indices.tolist()
        for images in (10, 50)
    }


def _vlad() -> dict[str, Any]:
    descriptors, vocabulary = local_descriptors(20, 6), local_descriptors(4, 6, shift=4)
    return {
        f"power {power}": _plain(vlad(descriptors, vocabulary, power)) for power in (1.0, 0.5, 0.2)
    }


RANKS = {"0 2 of 2": ([0, 2], 2), "1 3 8 of 4": ([1, 3, 8], 4), "0 1 2 of 3": ([0, 1, 2], 3)}


def _evaluation() -> dict[str, Any]:
    return {name: round(average_precision(*case), 9) for name, case in RANKS.items()}


def _fingerprints() -> dict[str, Any]:
    configs = {name: METHODS[name].config for name in ("paper", "fast", "sift-vlad")} | {
        "cam": ExtractionConfig(cam=True, dtype="float16"),
        "late, one layer": ExtractionConfig(fusion="late", layers=("layer4",), stride=0.5),
        "sift-vlad, manhattan": LocalConfig(method="sift-vlad", distance="manhattan", centers=64),
    }
    return {name: config.fingerprint(MODEL) for name, config in configs.items()}


def _plain(values: np.ndarray) -> list[Any]:
    # Adding zero turns -0.0 into 0.0.
    return (np.round(np.asarray(values, np.float64), 9) + 0.0).tolist()


def check_with_oracle(values: Values) -> None:
    """Compare values with the oracle, where it computes them too.

    Raises:
        AssertionError: a value differs.
    """
    import torch

    import oracle

    def check(value: Any, expected: Any) -> None:
        np.testing.assert_allclose(value, np.asarray(expected), atol=1e-6)

    for name, shape in MAPS.items():
        check(values["pooling"][name], oracle.modified_rmac(torch.from_numpy(feature_map(*shape))))
    maps, head = [torch.from_numpy(one) for one in three_maps()], classifier(4, 6)
    fm = torch.from_numpy(feature_map(6, 5, 7))
    check(values["fusion"]["early"], oracle.early_fusion(maps))
    check(values["fusion"]["early, reversed"], oracle.early_fusion(maps[::-1]))
    check(values["fusion"]["late"], oracle.late_fusion(maps))
    state = {"fc.weight": torch.from_numpy(head.weight), "fc.bias": torch.from_numpy(head.bias)}
    check(values["localization"]["mask"], oracle.cam_mask(fm, state))
    check(values["localization"]["mask, threshold 1.5"], oracle.cam_mask(fm, state, 1.5))
    for images in (10, 50):
        expected = oracle.pfa(six_kinds(images), 6, variance=1 - 1e-9)
        check(values["selection"][f"{images} images"], expected)
    for name, (ranks, positives) in RANKS.items():
        relevance = [rank in ranks for rank in range(10)]
        check(values["evaluation"][name], oracle.average_precision(relevance, positives))


def main() -> None:
    """Write every file."""
    values = golden_values()
    check_with_oracle(values)
    for name, cases in values.items():
        lines = ",\n".join(f"  {json.dumps(case)}: {json.dumps(v)}" for case, v in cases.items())
        (FOLDER / f"{name}.json").write_text(f"{{\n{lines}\n}}\n", "utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER.parent))  # for the oracle
    main()
