"""Inject faults into operations on a tiny collection, and count what does not survive.

python -m tests.durability --trials 1000 --write
"""

import argparse
import errno
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
os.environ["OMP_NUM_THREADS"] = "1"  # trials are forked, and threads of OpenMP would be missing

import faults  # noqa: E402
from report import KINDS, update_page  # noqa: E402

if TYPE_CHECKING:
    from operation import Operation
    from trials import Tally

PAGE = HERE.parents[1] / "docs" / "durability.md"
FLIPPED = "index: approximate"
"""The operation whose collection bits are flipped in: it has every kind of file."""
SHOWN = 5


def main() -> int:
    """Run the trials; return 1 if anything did not survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.durability", description=__doc__)
    add = parser.add_argument
    add(
        "--trials",
        type=int,
        default=1000,
        help="kills, and flipped bits; half as many of other faults (default 1000); if there are "
        "fewer than operations, each kind meets some operations only",
    )
    add("--kind", choices=KINDS, action="append", help="only this kind")
    add("--only", default="", help="only operations whose name contains this")
    add("--seed", type=int, default=0)
    add("--json", type=Path, help="file for the figures")
    add("--write", action="store_true", help="write docs/durability.json and the table beside it")
    options = parser.parse_args()
    if "RESIGHT_SHIM" not in os.environ:
        faults.run_preloaded(faults.build(Path(tempfile.mkdtemp(prefix="resight-shim-"))))
    import cv2

    cv2.setNumThreads(1)  # no thread may run at a fork
    started, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="resight-durability-") as folder:
        faults.arm(Path(folder), faults.Mode.OFF)  # nothing waits for the disk
        for row in _rows(options, Path(folder)):
            rows.append(row)
            print(_line(row), flush=True)
            for text in row["violations"][:SHOWN]:
                print(f"    {text}", flush=True)
    figures = {"command": _command(options), "seed": options.seed, "rows": rows}
    trials, violations = _sums(rows)
    print(f"{trials} trials, {violations} violations, {time.monotonic() - started:.0f} s")
    for target in [options.json, PAGE.with_suffix(".json") if options.write else None]:
        if target is not None:
            target.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    if options.write:
        update_page(PAGE, figures)
    return 1 if violations else 0


def _rows(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row of the table for each operation and kind of fault."""
    import flips
    import operations

    prepared = operations.prepare(folder)
    chosen = [each for each in prepared if options.only in each.name]
    kinds, chance = options.kind or KINDS, random.Random(options.seed)
    each = max(1, -(-options.trials // max(1, len(chosen))))
    for number, kind in enumerate(KINDS[:-1]):
        first = number * options.trials
        turn = [
            chosen[(first + at) % len(chosen)] for at in range(min(options.trials, len(chosen)))
        ]
        for operation in turn if kind in kinds else ():
            trial = _trials(operation, folder, each, chance)[kind]
            yield _row(operation.name, kind, trial())
    if "bit rot" in kinds and not options.only:
        (rotting,) = (each for each in prepared if each.name == FLIPPED)
        part = max(1, options.trials // (len(flips.FILES) + 1))
        for name, pattern in flips.FILES.items():
            yield _row(name, "bit rot", flips.flip(rotting, folder, pattern, part, chance))
        yield _row("segments", "bit rot", flips.flip_segments(folder, part, chance))


def _trials(
    operation: "Operation", folder: Path, count: int, chance: random.Random
) -> dict[str, Callable[[], "Tally"]]:
    import power
    import trials

    half = -(-count // 2)
    photos = [folder / operation.photos] if operation.photos else []
    return {
        "kill": lambda: trials.kill(operation, folder, count, chance),
        "full disk": lambda: trials.fail(operation, folder, errno.ENOSPC, half),
        "I/O error": lambda: trials.fail(operation, folder, errno.EIO, half),
        "power loss": lambda: power.lose_power(operation, folder, half, chance),
        "unmounted disk": lambda: trials.vanish(operation, folder, photos, half, chance),
        "clock jump": lambda: trials.jump(operation, folder, half, chance),
    }


def _row(name: str, kind: str, tally: "Tally") -> dict[str, Any]:
    return {
        "operation": name,
        "fault": kind,
        "trials": tally.trials,
        "hit": tally.hit,
        "violations": tally.violations,
    }


def _line(row: dict[str, Any]) -> str:
    numbers = f"{row['trials']:6}{row['hit']:6}{len(row['violations']):6}"
    return f"{row['operation']:30} {row['fault']:11}{numbers}"


def _sums(rows: list[dict[str, Any]]) -> tuple[int, int]:
    return sum(row["trials"] for row in rows), sum(len(row["violations"]) for row in rows)


def _command(options: argparse.Namespace) -> str:
    return f"python -m tests.durability --trials {options.trials}"


if __name__ == "__main__":
    try:
        status = main()
    finally:
        if "RESIGHT_SHIM" in os.environ:
            shutil.rmtree(Path(os.environ["RESIGHT_SHIM"]).parent)
    sys.exit(status)
