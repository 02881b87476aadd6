"""A collection of many photos without feature extraction, for other measurements.

    python benchmarks/synthetic.py PHOTOS COLLECTION --count 10000

Copies the JPEGs of PHOTOS into COLLECTION-photos repeatedly, each copy with different bytes, and
records random descriptors.
"""

import hashlib
import itertools
from pathlib import Path

import numpy as np

from harness import make_parser
from resight.collection.writer import writing
from resight.config import ExtractionConfig, SelectionConfig
from resight.photos.files import PhotoFile
from resight.photos.images import image_size

VALUES = 3072


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    sources = [(path.read_bytes(), image_size(path)) for path in options.photos.rglob("*.jpg")]
    folder = options.collection.with_name(f"{options.collection.name}-photos")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with writing(options.collection, (ExtractionConfig(), SelectionConfig())) as writer:
        for number, (data, size) in zip(range(options.count), itertools.cycle(sources)):
            path = folder.resolve() / f"{number:07}.jpg"
            path.write_bytes(data + b"%07d" % number)  # decoders stop at the end mark before it
            status = path.stat()
            file = PhotoFile(path, status.st_size, status.st_mtime_ns)
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            values = rng.gamma(2.0, 0.008, VALUES).astype(np.float32)
            writer.record_described(file, content, size, values, None)


if __name__ == "__main__":
    main()
