"""Trials: an operation in a forked process that is killed or fails, and what must hold after it."""

import errno
import os
import random
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faults
from operation import Operation, State, read_state, start_from
from operations import results

from resight.collection.integrity import check
from resight.errors import ResightError

DERIVED = ("search arrays:", "approximate index:")
"""Problems that `check` heals by itself, without a loss."""
OWN = ("resight.sqlite", "writer.lock", "arrays", "arrays.lock", "thumbnails", "moves.jsonl")
"""Names that a collection's folder may hold between two runs."""
HANGS_S = 60
DONE, REFUSED, CRASHED, KILLED = "done", "refused", "crashed", "killed"


@dataclass(frozen=True)
class Ended:
    """The end of a forked operation: its last words, and the counts it acknowledged by stage."""

    how: str
    text: str = ""
    acknowledged: dict[str, int] = field(default_factory=dict)
    changes: int = 0
    seconds: float = 0.0


@dataclass
class Tally:
    """Trials of one kind of fault on one operation."""

    trials: int = 0
    hit: int = 0
    violations: list[str] = field(default_factory=list)


def fork(operation: Operation, place: Path, kill_after: float | None = None, **armed: Any) -> Ended:
    """Run an operation in a child; kill it after some seconds, unless the library does."""
    reading, writing = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run_child(operation, place, writing, armed)
    os.close(writing)
    if kill_after is not None:
        time.sleep(max(0.0, kill_after - (time.perf_counter() - started)))
        os.kill(child, signal.SIGKILL)
    with open(reading, "rb") as pipe:
        lines = pipe.read().decode(errors="replace").splitlines()
    _, status = os.waitpid(child, 0)
    return _ended(lines, status, time.perf_counter() - started)


def _ended(lines: list[str], status: int, seconds: float) -> Ended:
    acknowledged: dict[str, int] = {}
    how, text, count = KILLED, "", 0
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "ack":
            number, _, stage = rest.partition(" ")
            acknowledged[stage] = int(number)
        elif word == "changes":
            count = int(rest)
        elif word in (DONE, REFUSED, CRASHED):
            how, text = word, rest
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        how, text = CRASHED, f"hangs for more than {HANGS_S} s"
    elif how == KILLED and not os.WIFSIGNALED(status):
        how, text = CRASHED, f"status {status}"
    return Ended(how, text, acknowledged, count, seconds)


def _run_child(operation: Operation, place: Path, pipe: int, armed: dict[str, Any]) -> None:
    """Run the operation, and write down the pipe what happens; never returns."""
    signal.alarm(HANGS_S)
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)

        def say(text: str) -> None:
            faults.mark(text)
            os.write(pipe, text.encode() + b"\n")

        def progress(stage: str, done: int, total: int) -> None:
            say(f"ack {done} {stage}")

        if armed:
            faults.arm(**armed)
        try:
            operation.run(place, progress)
            say(DONE)
        except (ResightError, OSError) as error:  # which the command line prints on one line
            say(f"{REFUSED} {' '.join(str(error).split())}")
        except BaseException as error:  # noqa: BLE001 - reported as a crash
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
            say(f"{CRASHED} {' '.join(text.split())}")
        say(f"changes {faults.changes()}")
    finally:
        os._exit(0)


def verify(operation: Operation, place: Path, ended: Ended) -> str | None:
    """Return what does not hold after an operation ended in whatever way, None if all does."""
    if ended.how == CRASHED:
        return f"crash: {ended.text}"
    try:
        return _verify(operation, place, ended)
    except Exception as error:  # noqa: BLE001 - any error is a violation
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[-1:-5:-1])
        return f"{type(error).__name__}: {' '.join(str(error).split())} ({where})"


def verify_photos(  # noqa: PLR0911
    operation: Operation, place: Path, ended: Ended
) -> str | None:
    """Return what does not hold after photos could not be read for a while, None if all does.

    They are failures until the next run. What was fitted without them may stay another one.
    """
    if ended.how == CRASHED:
        return f"crash: {ended.text}"
    try:
        missing = operation.whole(place.parent)
        if missing:
            return missing
        (operation.again or operation.run)(place, lambda *_: None)
        state = read_state(place)
        if state["photos"] != operation.after["photos"]:
            return f"the next run ends elsewhere: {_difference(state, operation.after)}"
        if not check(place).intact:
            return "check after the next run: damaged"
        if len(results(place, state)) != len(operation.found):
            return "a search finds fewer photos"
    except Exception as error:  # noqa: BLE001 - any error is a violation
        return f"{type(error).__name__}: {error}"
    return None


def _verify(operation: Operation, place: Path, ended: Ended) -> str | None:  # noqa: PLR0911
    missing = operation.whole(place.parent)
    if missing:
        return missing
    if (place / "resight.sqlite").exists():
        report = check(place)
        left = [line for line in report.problems if not line.startswith(DERIVED)]
        if left:
            return f"check: {left[0]}"
        if not check(place).intact:
            return "check: not healed"
    state = read_state(place)
    lost = operation.lost(state, ended.acknowledged.get(operation.stage, 0))
    if lost:
        return lost
    for path, (content, kind, *_) in state["photos"].items():
        if kind == "ok" and content not in state["descriptors"]:
            return f"half: {path!r}"
    if ended.how == DONE and state != operation.after:
        return f"acknowledged, but not there: {_difference(state, operation.after)}"
    missing = operation.confirm(place) if ended.how == DONE else None
    if missing:
        return f"acknowledged, but {missing}"
    (operation.again or operation.run)(place, lambda *_: None)
    state = read_state(place)
    if state != operation.after:
        return f"the next run ends elsewhere: {_difference(state, operation.after)}"
    if not check(place).intact:
        return "check after the next run: damaged"
    found = results(place, state)
    if found != operation.found:
        return f"a search finds {found}, not {operation.found}"
    litter = [p.name for p in place.iterdir() if p.name not in OWN]
    return f"litter: {litter[0]}" if litter else None


def _difference(state: State, expected: State) -> str:
    for table, rows in expected.items():
        for key in rows.keys() | state[table].keys():
            found, wanted = state[table].get(key), rows.get(key)
            if found != wanted:
                return f"{table} {key!r}: {str(found)[:80]} is not {str(wanted)[:80]}"
    raise AssertionError("the states are equal")


def new_world(operation: Operation, folder: Path) -> Path:
    """Return a folder with the collection before an operation, `c`, in place of the last one."""
    world = folder / "world"
    start_from(operation, world / "c")
    return world


def measure(operation: Operation, folder: Path) -> Ended:
    """Run an operation without faults, counting its changes."""
    world = new_world(operation, folder)
    ended = fork(operation, world / "c", root=world, mode=faults.Mode.OFF)
    if ended.how != DONE:
        raise RuntimeError(f"{operation.name}: {ended}")
    return ended


def kill(operation: Operation, folder: Path, trials: int, chance: random.Random) -> Tally:
    """Kill an operation at random times, and at random changes in the middle of their bytes."""
    usual, tally = measure(operation, folder), Tally()
    for number in range(trials):
        world = new_world(operation, folder)
        place = world / "c"
        if number % 2:
            ended = fork(operation, place, kill_after=chance.uniform(0, usual.seconds))
        else:
            nth = chance.randint(1, usual.changes)
            ended = fork(operation, place, root=world, mode=faults.Mode.KILL, nth=nth)
        note(tally, ended.how == KILLED, verify(operation, place, ended), number)
    return tally


def fail(operation: Operation, folder: Path, error: int, most: int) -> Tally:
    """Let the n-th change fail for n = 1, 2, ... (evenly, if these are too many).

    An I/O error happens once; a full disk stays full.
    """
    usual, tally = measure(operation, folder), Tally()
    step = max(1, -(-usual.changes // most))
    mode = faults.Mode.FAIL_ALWAYS if error == errno.ENOSPC else faults.Mode.FAIL_ONCE
    for nth in range((step + 1) // 2, usual.changes + 1, step):
        world = new_world(operation, folder)
        ended = fork(operation, world / "c", root=world, mode=mode, nth=nth, error=error)
        note(tally, ended.how == REFUSED, verify(operation, world / "c", ended), nth)
    return tally


def vanish(
    operation: Operation, folder: Path, photos: list[Path], most: int, chance: random.Random
) -> Tally:
    """Unmount the collection, or a folder of photos, in the middle of an operation.

    Afterwards it is mounted again, and nothing may be lost.
    """
    usual, tally = measure(operation, folder), Tally()
    away = folder / "away"
    for number in range(most):
        world = new_world(operation, folder)
        gone = (world / "c", *photos)[number % (1 + len(photos))]
        nth = chance.randint(1, usual.changes)
        ended = fork(
            operation, world / "c", root=world, mode=faults.Mode.VANISH, nth=nth,
            vanish=(gone, away),
        )  # fmt: skip
        hit = away.exists()
        if hit:
            shutil.rmtree(gone)
            away.rename(gone)
        holds = verify_photos if hit and gone in photos else verify
        note(tally, hit, holds(operation, world / "c", ended), nth)
    return tally


def jump(operation: Operation, folder: Path, most: int, chance: random.Random) -> Tally:
    """Let the clock jump by up to 50 years during an operation; it is set back for the next run."""
    usual, tally = measure(operation, folder), Tally()
    for _ in range(most):
        world = new_world(operation, folder)
        nth = chance.randint(1, usual.changes)
        seconds = chance.choice([-1, 1]) * round(10 ** chance.uniform(0, 9.2))
        mode = faults.Mode.JUMP
        ended = fork(operation, world / "c", root=world, mode=mode, nth=nth, jump=seconds)
        note(tally, ended.how == DONE, verify(operation, world / "c", ended), nth)
    return tally


def note(tally: Tally, hit: bool, violation: str | None, number: int) -> None:
    """Count a trial, and whether the fault took effect."""
    tally.trials += 1
    tally.hit += hit
    if violation:
        tally.violations.append(f"{number}: {violation}")
        if os.environ.get("RESIGHT_DURABILITY_VERBOSE"):
            print("   ", number, violation, file=sys.stderr, flush=True)
