"""Read files and requests of strangers until something fails.

python -m tests.fuzz --seconds 300
"""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
os.environ["OMP_NUM_THREADS"] = "1"

from hostile_report import update_page  # noqa: E402

MEMORY = Path("/dev/shm")
PAGE = HERE.parents[1] / "docs" / "durability.md"
EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
PEAK = re.compile(r"stat::peak_rss_mb:\s*(\d+)")
LOST = ("crash-", "timeout-", "oom-", "leak-")
"""Beginnings of the names of inputs that ended a process."""
START_S = 300
"""Time in which a process starts and ends, in addition to the time that it fuzzes."""
MAX_LOST = 5
"""Processes that one target may lose before its turn ends."""


@dataclass
class Row:
    """A target: inputs, peak memory in MiB, and names of the inputs that failed."""

    target: str
    inputs: int = 0
    peak_mebibytes: int = 0
    failures: list[str] = field(default_factory=list)


def main() -> int:
    """Fuzz the targets in turns; return 1 if any input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=int, default=300, help="of all targets together (default 300)")
    add("--only", default="", help="only targets whose name contains this")
    add("--photos", type=int, default=1000, help="mutated photos to index (default 1000)")
    add("--seed", type=int, default=1)
    add("--folder", type=Path, default=HERE / "found", help="for the corpus and failing inputs")
    add("--json", type=Path, help="file for the figures")
    add("--write", action="store_true", help="write docs/hostile.json and the table of it")
    add("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        parser.error("needs Atheris (pip install atheris), which there is for Linux and macOS")
    if options.worker:
        from engine import fuzz

        fuzz(options.worker, options.folder, options.seconds, options.seed)
        return 0
    import targets

    chosen = [target for target in targets.TARGETS if options.only in target.name]
    rows = []
    for target in chosen:
        rows.append(_fuzz(target, options.seconds / len(chosen), options))
        print(_line(rows[-1]), flush=True)
    if options.photos:
        rows.append(_index(options.photos, options.seed))
        print(_line(rows[-1]), flush=True)
    figures = {"seconds": options.seconds, "rows": [asdict(row) for row in rows]}
    for target in [options.json, PAGE.with_name("hostile.json") if options.write else None]:
        if target is not None:
            target.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    if options.write:
        update_page(PAGE, figures)
    failures = sum(len(row.failures) for row in rows)
    print(f"{sum(row.inputs for row in rows):,} inputs, {failures} failures ({options.folder})")
    return 1 if failures else 0


def _fuzz(target: "targets.Target", seconds: float, options: argparse.Namespace) -> Row:  # noqa: F821
    """Fuzz a target for some time, in a new process after each that is lost."""
    row = Row(target.name)
    folder = options.folder / "failures" / target.slug
    before = set(folder.glob("*"))
    end, lost = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 1 and lost < MAX_LOST:
        command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--worker", target.name]
        command += ["--seconds", str(max(1, round(left))), "--seed", str(options.seed + lost)]
        command += ["--folder", str(options.folder)]
        try:
            done = _run(command, left + target.seconds + START_S)
        except subprocess.TimeoutExpired as hung:
            text = (hung.stderr or b"").decode("utf-8", "replace")
            row.failures.append(f"the process hung: {text[-300:]}")
            break
        text = done.stderr.decode("utf-8", "replace")
        row.inputs += sum(map(int, EXECUTED.findall(text)))
        row.peak_mebibytes = max([row.peak_mebibytes, *map(int, PEAK.findall(text))])
        lost += 1
        if done.returncode == 0:
            break
        if not any(path.name.startswith(LOST) for path in set(folder.glob("*")) - before):
            row.failures.append(f"status {done.returncode}: {text[-300:]}")
            break
    new = sorted(path.name for path in set(folder.glob("*")) - before)
    # Inputs that are only slow for the fuzzer do not count: it makes all code slower.
    row.failures += [name for name in new if not name.endswith(".txt") and "slow-unit" not in name]
    return row


def _run(command: list[str], seconds: float) -> subprocess.CompletedProcess[bytes]:
    """Run a process with a folder of its own for temporary files, in memory where there is room."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="resight-fuzz-", dir=place) as folder:
        return subprocess.run(
            command,
            cwd=HERE.parents[1],
            env={**os.environ, "TMPDIR": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=seconds,
            check=False,
        )


def _index(photos: int, seed: int) -> Row:
    """Index mutated photos."""
    from mutated_photos import index_mutated

    done = index_mutated(photos, seed)
    states = " and ".join(f"{count:,} {state}" for state, count in sorted(done.states.items()))
    return Row(f"index ({states})", photos, done.mebibytes, done.violations)


def _line(row: Row) -> str:
    numbers = f"{row.inputs:12,}{row.peak_mebibytes:8} MiB{len(row.failures):5}"
    return "\n    ".join([f"{row.target:22}{numbers}", *row.failures[:10]])


if __name__ == "__main__":
    sys.exit(main())
