"""Whether disk and memory have room for an index run, asked before the work."""

import shutil

import numpy as np

from resight.collection.database import DISK_FULL
from resight.collection.reader import Collection
from resight.errors import CollectionError
from resight.indexing.plan import Plan
from resight.memory import available_bytes


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
    sides = 2 if config.cam else 1
    photos = max(0, len(plan.todo) - len(plan.vanished))
    needed = photos * sides * dimensions * np.dtype(config.dtype).itemsize
    free = shutil.disk_usage(collection.folder).free
    if needed > free:
        raise CollectionError(
            f"{collection.folder}: {DISK_FULL} ({photos} photos need {needed / 2**20:,.1f} MiB "
            f"there, {free / 2**20:,.1f} are free)"
        )
    memory, needed = available_bytes(), config.memory_bytes()
    if here and plan.todo and memory is not None and needed > memory:
        raise CollectionError(
            f"{collection.folder}: too little memory (describing photos needs "
            f"{needed >> 20:,} MiB, {memory >> 20:,} are available); end other programs, or take "
            "smaller resolutions, such as --config fast"
        )
