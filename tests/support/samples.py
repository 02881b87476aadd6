"""Tiny textured pictures, a fast method, and the contents of collections."""

import dataclasses
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from resight.collection import Collection, Photo
from resight.config import LocalConfig
from resight.indexing import pipeline

QUICK = LocalConfig(method="sift-vlad", longest_side=128, max_keypoints=60, centers=4, sample=4000)
"""A few milliseconds a photo; descriptors of 512 values."""


def picture(seed: int) -> Image.Image:
    """Return blots with corners, different for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((120, 90), Image.Resampling.BICUBIC)


def textured_picture(seed: int, width: int = 480, height: int = 360) -> Image.Image:
    """Return a picture with details of all sizes, in which SIFT finds hundreds of features."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells, weight in ((4, 0.4), (12, 0.3), (36, 0.3)):
        coarse = rng.integers(0, 256, (cells * 3, cells * 4, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += weight * np.asarray(smooth)
    return Image.fromarray(np.clip(total * 1.5 - 64, 0, 255).astype(np.uint8))


def text_page(seed: int, width: int = 450, height: int = 600) -> Image.Image:
    """Return a page of lines of random letters, different for every seed."""
    rng = np.random.default_rng(seed)
    page = Image.new("RGB", (width, height), "white")
    font = ImageFont.load_default(16)
    for y in range(30, height - 40, 24):
        words = (
            "".join(rng.choice(list("abcdefghiklmnopqrstu"), rng.integers(2, 9))) for _ in range(9)
        )
        ImageDraw.Draw(page).text((30, y), " ".join(words)[:44], "black", font)
    return page


def draw(path: Path, seed: int) -> Path:
    """Save a picture in the format of its suffix, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path)
    return path


def draw_many(folder: Path, count: int, first: int = 0) -> list[Path]:
    """Save pictures of `count` seeds, such as `000.png`, `001.png`, starting with `first`."""
    return [draw(folder / f"{seed:03}.png", seed) for seed in range(first, first + count)]


def index(folder: Path, collection: Path, **options: Any) -> pipeline.IndexRun:
    """Index a folder with the fast method."""
    return pipeline.index([folder], collection, config=options.pop("config", QUICK), **options)


def root_sift_like(count: int, seed: int, size: int = 128) -> np.ndarray:
    """Return rows (count, size) like RootSIFT: non-negative, of unit length."""
    rows = np.random.default_rng(seed).gamma(0.5, size=(count, size)) + 1e-9
    return np.sqrt(rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def write_config(path: Path, config: Any = QUICK, extra: str = "") -> Path:
    """Write a configuration as a TOML file."""
    lines = []
    for name, value in config.to_dict().items():
        quoted = str(value).lower() if isinstance(value, bool) else f"{value!r}".replace("(", "[")
        lines.append(f"{name} = {quoted.replace(')', ']')}")
    path.write_text("\n".join(lines) + "\n" + extra)
    return path


def photos_by_name(collection: Path) -> dict[str, Photo]:
    """Return the photos of a collection by file name."""
    with Collection.open(collection) as opened:
        return {photo.path.name: photo for photo in opened.photos()}


def contents(collection: Path) -> dict[str, Any]:
    """Return everything in a collection except times and the stamp."""
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
    """Check the database: every searchable photo has its descriptor, and there are no others."""
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        lost = "SELECT path FROM photos WHERE state = 'ok' AND content NOT IN "
        assert database.execute(lost + "(SELECT content FROM descriptors)").fetchall() == []
        orphans = "SELECT content FROM descriptors WHERE content NOT IN "
        assert database.execute(orphans + "(SELECT content FROM photos)").fetchall() == []


def stamp(collection: Path) -> str:
    """Return the stamp of a collection."""
    with Collection.open(collection) as opened:
        return opened.stamp


def as_ordinary_user() -> list[str]:
    """Return a command prefix under which file permissions apply, for root too; or skip."""
    import os

    if os.geteuid() != 0:
        return []
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("file permissions do not apply to root, and setpriv is missing")
    return prefix


def on_small_disk(folder: Path, kibibytes: int) -> list[str]:
    """Return a command prefix under which `folder` is a disk of that size, or skip.

    The disk is unmounted when the command ends.
    """
    mount = f'mount -t tmpfs -o size={kibibytes}k none "{folder}" && exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("tests may not mount a small disk on this machine")
    return prefix


def index_textured(folder: Path) -> Path:
    """Index twelve textured pictures in `folder/photos`, with evidence; return the collection."""
    (folder / "photos").mkdir(parents=True)
    for seed in range(12):
        textured_picture(seed).save(folder / "photos" / f"{seed}.png")
    config = dataclasses.replace(QUICK, longest_side=480, max_keypoints=300)
    index(folder / "photos", folder / "c", config=config)
    return folder / "c"
