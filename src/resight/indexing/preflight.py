"""Check disk space and memory before an index run."""

import numpy as np

from resight.collection.database import check_disk_space
from resight.collection.reader import Collection
from resight.errors import CollectionError
from resight.indexing.plan import Plan
from resight.memory import available_bytes


def check_resources(
    collection: Collection, plan: Plan, dimensions: int, *, on_cluster: bool = False
) -> None:
    """Refuse a run for which the disk or the memory does not suffice.

    Photos that may only have moved are not counted.

    Args:
        collection: will hold the descriptors.
        plan: the photos to extract.
        dimensions: number of values of a descriptor.
        on_cluster: other machines extract, so this one's memory does not matter.

    Raises:
        CollectionError: gives the needed and the available bytes.
    """
    config = collection.config
    descriptors = 2 if config.cam else 1
    photos = max(0, len(plan.todo) - len(plan.vanished))
    needed = photos * descriptors * dimensions * np.dtype(config.dtype).itemsize
    check_disk_space(collection.folder, needed, f"{photos} photos need")
    if on_cluster or not plan.todo:
        return
    memory = available_bytes()
    needed = config.memory_bytes()
    if memory is not None and needed > memory:
        raise CollectionError(
            f"{collection.folder}: too little memory (describing photos needs "
            f"{needed >> 20:,} MiB, {memory >> 20:,} are available); close other programs, or use "
            "smaller resolutions, such as those of the method `fast`"
        )
