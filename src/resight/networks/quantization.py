"""Post-training quantization to 8-bit integers, about twice as fast on suitable processors.

Weights and activations are rounded to 256 levels, calibrated by running the network on images.
The first convolution stays in float32: it costs little, and its rounding would be most of the
error. NNCF quantizes, OpenVINO computes.

Source: Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", CVPR 2018.
"""

import contextlib
import importlib.util
import io
import logging
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from resight.errors import UsageError
from resight.networks import find_backbone
from resight.networks.parameters import Parameters
from resight.networks.runtimes import pad_to_min_side


def ensure_available(runtime: str) -> None:
    """Check that int8 is available before long work.

    Raises:
        UsageError: the runtime is another one, or a package is not installed.
    """
    if runtime not in ("auto", "openvino"):
        raise UsageError(f"int8 needs the runtime openvino, not {runtime}", parameter="precision")
    for package in ("openvino", "nncf"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                "int8 is not installed; run pip install 'resight[int8]'", parameter="precision"
            )


def quantize(
    backbone: str, parameters: Parameters, layers: Sequence[str], images: Iterator[np.ndarray]
) -> bytes:
    """Quantize a network to 8-bit integers, as OpenVINO's two files in one archive.

    Arguments as in `load_network`, and `images`, uint8 (H, W, 3), to calibrate on, each once.
    """
    os.environ.setdefault("NNCF_CI", "1")  # otherwise NNCF reports its use over the network
    import nncf
    import openvino

    from resight.networks.openvino_runtime import build_model

    nncf.set_log_level(logging.ERROR)
    spec = find_backbone(backbone)
    first = spec.convolutions[0].name
    batches = [pad_to_min_side(image, spec, layers)[None] for image in images]
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        quantized = nncf.quantize(
            build_model(backbone, parameters, layers),
            nncf.Dataset(batches),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(batches),
            ignored_scope=nncf.IgnoredScope(names=[first]),
        )
    archive = io.BytesIO()
    with (
        tempfile.TemporaryDirectory(prefix="resight-") as folder,
        zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as files,
    ):
        graph = Path(folder) / "network.xml"
        openvino.save_model(quantized, graph, compress_to_fp16=False)
        files.write(graph, graph.name)
        files.write(graph.with_suffix(".bin"), "network.bin")
    return archive.getvalue()
