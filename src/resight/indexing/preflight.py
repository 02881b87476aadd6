"""Whether disk and memory have room for an index run, asked before the work."""

import shutil

import numpy as np

from resight.collection.database import DISK_FULL
from resight.collection.reader import Collection
from resight.config import ExtractionConfig, MethodConfig
from resight.errors import CollectionError
from resight.indexing.plan import Plan
from resight.memory import available_bytes
from resight.networks.specs import BACKBONES

BESIDE_BYTES = 200 << 20
"""For photos of an ordinary size that are prepared and pooled meanwhile."""


def check_resources(
    collection: Collection, plan: Plan, dimensions: int, *, here: bool = True
) -> None:
    """Refuse a run that the disk or the memory has no room for, before the work.

    Photos that may only have moved are not counted.

    Args:
        collection: which will hold the descriptors.
        plan: what is to be described.
        dimensions: values of a descriptor.
        here: whether it is this machine that describes them, which takes memory.

    Raises:
        CollectionError: it says how much is needed, and how much there is.
    """
    config = collection.config
    sides = 2 if isinstance(config, ExtractionConfig) and config.cam else 1
    photos = max(0, len(plan.todo) - len(plan.vanished))
    needed = photos * sides * dimensions * np.dtype(config.dtype).itemsize
    free = shutil.disk_usage(collection.folder).free
    if needed > free:
        raise CollectionError(
            f"{collection.folder}: {DISK_FULL} ({photos} photos need {needed / 2**20:,.1f} MiB "
            f"there, {free / 2**20:,.1f} are free)"
        )
    memory, needed = available_bytes(), memory_needed(config)
    if here and plan.todo and memory is not None and needed > memory:
        raise CollectionError(
            f"{collection.folder}: too little memory (describing photos needs "
            f"{needed >> 20:,} MiB, {memory >> 20:,} are available); end other programs, or take "
            "smaller resolutions, such as --config fast"
        )


def memory_needed(config: MethodConfig) -> int:
    """Bytes that describing photos takes beside the network's weights; 0 without a network.

    Very large photos take more for the moment in which they are decoded.
    """
    if not isinstance(config, ExtractionConfig):
        return 0
    return BACKBONES[config.backbone].bytes_per_pixel * max(config.resolutions) ** 2 + BESIDE_BYTES
