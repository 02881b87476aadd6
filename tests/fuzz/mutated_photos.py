"""Index thousands of mutated photos of all formats: each is indexed, or listed with its reason."""

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import intact_inputs
from mutations import mutate

CHUNK = 500
"""Photos of one index run."""
LIMIT_S = 60
"""Time in which an index run must complete a photo."""
MAX_MEBIBYTES = 2048
"""Memory of an index run."""
CONFIG = 'method = "sift-vlad"\nlongest_side = 64\ncenters = 4\nmax_keypoints = 50\n'
SUFFIXES = {"JPEG": ".jpg", "HEIF": ".heic", "JPEG2000": ".jp2", "TIFF": ".tif"}


@dataclass
class Outcome:
    """Counts of photos by state, peak memory of an index run, and what went wrong."""

    states: Counter[str] = field(default_factory=Counter)
    mebibytes: int = 0
    violations: list[str] = field(default_factory=list)


def index_mutated(count: int, seed: int) -> Outcome:
    """Index `count` mutated photos."""
    outcome, chance = Outcome(), random.Random(seed)
    drawn = _drawn()
    with tempfile.TemporaryDirectory(prefix="resight-mutated-") as name:
        folder = Path(name)
        (folder / "small.toml").write_text(CONFIG)
        for start in range(0, count, CHUNK):
            photos = folder / "photos"
            photos.mkdir()
            for number in range(start, min(start + CHUNK, count)):
                suffix, data = chance.choice(drawn)
                others = [other for _, other in drawn]
                (photos / f"{number}{suffix}").write_bytes(mutate(data, chance, others))
            _index(folder, outcome)
            shutil.rmtree(photos)
    return outcome


def _drawn() -> list[tuple[str, bytes]]:
    """Return equally many photos of each format, with their suffixes."""
    drawn = []
    for format in intact_inputs.PHOTO_FORMATS:
        files = intact_inputs.photos(format)
        repeated = [files[number % len(files)] for number in range(60)] if files else []
        drawn += [(SUFFIXES.get(format, f".{format.lower()}"), data) for data in repeated]
    return drawn + [(".nef", data) for data in intact_inputs.raw_files()] * 10


def _index(folder: Path, outcome: Outcome) -> None:
    """Index the photos in a folder, and check that all of them are in the collection."""
    collection, photos = folder / "c", sorted((folder / "photos").iterdir())
    command = [sys.executable, "-m", "resight", "index", str(folder / "photos")]
    command += ["-c", str(collection), "--config", str(folder / "small.toml"), "--prune-most"]
    with (folder / "stderr").open("w+b") as errors:
        process = subprocess.Popen(command, stdout=errors, stderr=errors)
        status, mebibytes = _wait(process, collection)
        errors.seek(0)
        printed = errors.read().decode("utf-8", "replace")
    outcome.mebibytes = max(outcome.mebibytes, mebibytes)
    if status != 0 or "Traceback" in printed:
        outcome.violations.append(f"status {status}: {printed[-1000:]}")
    if mebibytes > MAX_MEBIBYTES:
        outcome.violations.append(f"{mebibytes} MiB of memory")
    recorded = {path: (state, reason) for path, state, reason in _rows(collection)}
    for path in photos:
        state, reason = recorded.get(str(path), ("lost", None))
        outcome.states[state] += 1
        if state != "ok" and (state != "failed" or not reason or "\n" in reason):
            outcome.violations.append(f"{path.name}: {state}, {reason}")


def _wait(process: subprocess.Popen[bytes], collection: Path) -> tuple[int, int]:
    """Wait for an index run; return its status and peak memory, and kill it if it hangs."""
    rows, since, mebibytes = -1, time.monotonic(), 0
    while process.poll() is None:
        mebibytes = max(mebibytes, _peak(process.pid))
        time.sleep(0.1)
        done = sum(1 for _ in _rows(collection))
        if done != rows:
            rows, since = done, time.monotonic()
        elif time.monotonic() - since > LIMIT_S:
            process.kill()
    return process.returncode, mebibytes


def _peak(pid: int) -> int:
    """Return the peak memory of a process in MiB; 0 where Linux does not tell, or it has ended.

    That of `os.wait4` begins with the peak of the process that started it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0
    return sum(int(kib) >> 10 for kib in re.findall(r"VmHWM:\s*(\d+)", status))


def _rows(collection: Path) -> Iterator[tuple[str, str, str]]:
    """Return path, state and reason of the photos in a collection."""
    path = collection / "resight.sqlite"
    if path.exists():
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            for name, state, reason in database.execute("SELECT path, state, reason FROM photos"):
                yield os.fsdecode(name), state, reason
