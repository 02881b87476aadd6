"""Tiny textured pictures, a quick method, and what is in a collection: for tests of storage."""

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resight.collection.reader import Collection, Photo
from resight.config import LocalConfig
from resight.indexing import pipeline

QUICK = LocalConfig(method="sift-vlad", longest_side=128, max_keypoints=60, centers=4, sample=4000)
"""Some milliseconds a photo; descriptors of 512 values."""


def picture(seed: int) -> Image.Image:
    """Blots with corners, another for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((120, 90), Image.Resampling.BICUBIC)


def draw(path: Path, seed: int) -> Path:
    """A picture in a file, by the suffix of its name; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path)
    return path


def draw_many(folder: Path, count: int, first: int = 0) -> list[Path]:
    """Pictures of so many seeds, such as `000.png`, `001.png` from the first one on."""
    return [draw(folder / f"{seed:03}.png", seed) for seed in range(first, first + count)]


def index(folder: Path, collection: Path, **options: Any) -> pipeline.IndexRun:
    """Index a folder by the quick method."""
    return pipeline.index([folder], collection, config=options.pop("config", QUICK), **options)


def root_sift_like(count: int, seed: int, size: int = 128) -> np.ndarray:
    """Rows (count, size) like RootSIFT: not negative, of unit length."""
    rows = np.random.default_rng(seed).gamma(0.5, size=(count, size)) + 1e-9
    return np.sqrt(rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def write_config(path: Path, config: Any = QUICK, extra: str = "") -> Path:
    """A configuration as a TOML file."""
    lines = []
    for name, value in config.to_dict().items():
        quoted = str(value).lower() if isinstance(value, bool) else f"{value!r}".replace("(", "[")
        lines.append(f"{name} = {quoted.replace(')', ']')}")
    path.write_text("\n".join(lines) + "\n" + extra)
    return path


def photos_by_name(collection: Path) -> dict[str, Photo]:
    """The rows of a collection, by the name of the file."""
    with Collection.open(collection) as opened:
        return {photo.path.name: photo for photo in opened.photos()}


def contents(collection: Path) -> dict[str, Any]:
    """Everything in a collection but times and the stamp: equal if and only if equal to a user."""
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database:
        return {
            "photos": database.execute(
                "SELECT id, path, size, mtime_ns, content, width, height, state, reason "
                "FROM photos ORDER BY id"
            ).fetchall(),
            "descriptors": database.execute(
                "SELECT content, global, local, crc32 FROM descriptors ORDER BY content"
            ).fetchall(),
            "fitted": database.execute("SELECT name, data FROM fitted ORDER BY name").fetchall(),
            "meta": database.execute(
                "SELECT key, value FROM meta WHERE key NOT IN ('stamp', 'created') ORDER BY key"
            ).fetchall(),
        }


def assert_whole(collection: Path) -> None:
    """The database is sound, every searchable photo has its descriptor, and no other is kept."""
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        lost = "SELECT path FROM photos WHERE state = 'ok' AND content NOT IN "
        assert database.execute(lost + "(SELECT content FROM descriptors)").fetchall() == []
        orphans = "SELECT content FROM descriptors WHERE content NOT IN "
        assert database.execute(orphans + "(SELECT content FROM photos)").fetchall() == []


def stamp(collection: Path) -> str:
    """The token of a collection's state."""
    with Collection.open(collection) as opened:
        return opened.stamp


def as_ordinary_user() -> list[str]:
    """What to put before a command so that file permissions hold, for root too; or skip."""
    import os

    if os.geteuid() != 0:
        return []
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("file permissions do not hold for root, and setpriv cannot change that")
    return prefix


def on_small_disk(folder: Path, kibibytes: int) -> list[str]:
    """What to put before a command so that `folder` is a disk of that size to it, or skip.

    The disk is gone when the command ends.
    """
    mount = f'mount -t tmpfs -o size={kibibytes}k none "{folder}" && exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("this machine does not let a test mount a small disk")
    return prefix
