"""Shared parts of the benchmarks: options, timing, the machine's description, tables, fake data."""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resight.reductions.wccn import SPREAD

ROOT = Path(__file__).parent.parent
VALUES = 768
"""Length of the synthetic descriptors."""
FACTORS = 40
ADAPTED_LAYER = 128
"""Values of each of the two layers of the synthetic adapted descriptors."""
PACKAGES = (
    *("resight", "numpy", "torch", "openvino", "onnxruntime"),
    *("faiss-cpu", "scipy", "numba"),
)
VECTOR_EXTENSIONS = ("avx2", "avx512bw", "avx_vnni", "avx512_vnni", "amx_bf16", "amx_int8")


def make_parser(description: str | None, output: str | None = None) -> argparse.ArgumentParser:
    """Create an option parser from a module's docstring, with `-o` if there is an output file."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    if output is not None:
        parser.add_argument("-o", "--output", type=Path, default=Path(output))
    return parser


def save(result: dict[str, Any], path: Path) -> None:
    """Write a result as JSON."""
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def machine(*packages: str) -> dict[str, Any]:
    """Describe what the figures depend on: processor, versions (also of `packages`), commit."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    versions = {}
    for package in (*PACKAGES, *packages):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit.stdout.strip(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def processor() -> str:
    """Return the processor's name and its vector extensions, as Linux reports them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in lines)
    info = {name.strip(): value.strip() for name, _, value in pairs}
    flags = info.get("flags", "").split()
    extensions = [name for name in VECTOR_EXTENSIONS if name in flags]
    return f"{info.get('model name', platform.machine())} ({', '.join(extensions)})"


def conditions(machine: dict[str, Any], packages: Sequence[str] | None = None) -> str:
    """Describe a machine in one line of a page; `packages` defaults to all."""
    versions = machine["versions"]
    listed = ", ".join(f"{name} {versions[name]}" for name in packages or versions)
    return (
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, {listed}; "
        f"commit {machine['commit']}, {machine['date']}."
    )


def seconds(run: Callable[[], Any]) -> float:
    """Return the wall time of a call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], align: str = "---") -> str:
    """Lay out cells as a Markdown table; `align` is the rule of all columns but the first."""
    rule = ["---", *[align] * (len(head) - 1)]
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(rule)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return `count` items at equal intervals (fewer if there are fewer)."""
    return [items[i * len(items) // count] for i in range(min(count, len(items)))]


def draw_descriptors(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw descriptors that resemble real ones, about five views per object: float32 (count, 768).

    Logarithms of the values are distributed like those of real photos and depend on some dozens of
    factors; the first ones matter most. The distances to the nearest, the hundredth and a
    random photo then have the same proportions as among real photos.
    """
    world = np.random.default_rng(0)  # the same for every draw
    level = world.normal(-3.9, 0.4, VALUES)
    loadings = world.normal(size=(FACTORS, VALUES)) * (np.arange(1, FACTORS + 1) ** -0.5)[:, None]
    loadings *= 0.5 / np.linalg.norm(loadings, axis=0)
    rows = np.empty((count, VALUES), np.float32)
    for start in range(0, count, 10_000):
        block = rows[start : start + 10_000]
        objects = rng.normal(size=(len(block) // 5 + 1, FACTORS))
        views = objects[rng.integers(0, len(objects), len(block))]
        views = 0.9 * views + 0.43 * rng.normal(size=views.shape)
        noise = 0.2 * rng.standard_normal(block.shape, np.float32)
        np.exp(views @ loadings + level + noise, out=block, casting="same_kind")
    return rows


def draw_adapted(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw adapted descriptors that resemble real ones, five views each: float32 (count, 272).

    Two layers of components whose deviations fall like those of real photos, each of the same
    length, and 16 equal values of the correction (`reductions.wccn`).
    """
    deviations = np.tile(np.arange(1, ADAPTED_LAYER + 1) ** -0.3, 2).astype(np.float32)
    rows = np.empty((count, 2 * ADAPTED_LAYER + SPREAD), np.float32)
    for start in range(0, count, 10_000):
        block = rows[start : start + 10_000]
        objects = rng.standard_normal((len(block) // 5 + 1, len(deviations)), np.float32)
        views = objects[rng.integers(0, len(objects), len(block))]
        views += 0.5 * rng.standard_normal(views.shape, np.float32)
        layers = (views * deviations).reshape(len(block), 2, ADAPTED_LAYER)
        layers /= np.sqrt(2) * np.linalg.norm(layers, axis=2, keepdims=True)
        block[:, :-SPREAD] = layers.reshape(len(block), -1)
        block[:, -SPREAD:] = rng.uniform(0.09, 0.17, (len(block), 1))
    return rows
