"""Index, serve, search, group and remove at the same time, and see whether anything grows.

python -m tests.durability.soak --minutes 60

Serves a small drawn collection from a process of its own, which clients search while its photos
are added, changed, removed and indexed again, by jobs of the server and by other processes.
Prints what the server takes, and at the end the growth by hour after a warm-up, the requests by
status, and all violations: answers that are wrong, responses that nobody should get, a server
that does not stop, a collection that is not intact. Ends with status 1 if there are any, or if
memory grows by more than 1 MB an hour.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from soak_clients import Clients  # noqa: E402

from resight.collection.integrity import check  # noqa: E402
from resight.demo import draw_collection  # noqa: E402
from resight.indexing.pipeline import index  # noqa: E402

MAX_GROWTH_MB = 1.0
"""Growth of memory an hour that is not a leak: noise of the slope."""
SAMPLE_S = 5.0
STOP_S = 10.0
REST_EVERY_S = 60.0
REST_S = 2.0
"""Seconds without requests before memory is measured, as what runs takes much for a while."""
PAUSE_S = 4.0
"""Seconds between two rounds of changes."""
STORED_S = 120
"""Seconds that uploads are stored, less than a warm-up."""

SERVE = """
import sys
from resight.web import WebSettings, serve
settings = WebSettings(port=0, stored_s=float(sys.argv[2]))
serve(sys.argv[1], settings=settings, started=lambda url: print(url, flush=True), end_process=True)
"""


@dataclass
class Samples:
    """Time series of resource usage: times in seconds, and a list of equal length per metric."""

    seconds: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, seconds: float, values: dict[str, float]) -> None:
        """Add the values of one moment."""
        self.seconds.append(seconds)
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def slope(self, name: str, after: float) -> float:
        """Return the growth an hour after some seconds: the median of all slopes (Theil, Sen)."""
        late = np.array(self.seconds) >= after
        x, y = np.array(self.seconds)[late], np.array(self.values[name])[late]
        first, second = np.triu_indices(len(x), 1)
        if not len(first):
            return float("nan")
        return 3600 * float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def anonymous_mb(pid: int) -> float:
    """Return the memory of a process in MB, without files mapped into it (Linux).

    Mapped weights count as a process's own only while no other process maps them, so they come
    and go with every index run.
    """
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    kib = [int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "VmSwap:"))]
    return sum(kib) * 1024 / 1e6


def measure(process: psutil.Process, collection: Path) -> dict[str, float]:
    """Return memory in MB, open files, threads, and sizes of files in MB."""

    def size(pattern: str) -> float:
        total = 0
        for path in collection.glob(pattern):
            try:
                total += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:  # replaced or evicted in this moment
                continue
        return total / 1e6

    return {
        "memory": anonymous_mb(process.pid),
        "open files": process.num_fds(),
        "threads": process.num_threads(),
        "database": size("resight.sqlite"),
        "WAL": size("resight.sqlite-wal"),
        "arrays": size("arrays/**/*"),
        "thumbnails": size("thumbnails/**/*"),
    }


class Changes:
    """Adds, changes and removes photos of a folder, and indexes them in turns."""

    def __init__(self, photos: Path, collection: Path, clients: Clients, seed: int) -> None:
        self._pool = sorted(photos.rglob("*.jpg"))
        self._photos, self._collection = photos, collection
        self._clients, self._chance = clients, random.Random(seed)
        self.rounds = 0

    def run(self) -> None:
        """Make one round of changes."""
        self.rounds += 1
        incoming = self._photos / "incoming"
        incoming.mkdir(exist_ok=True)
        for number in range(4):  # contents that were never there before
            data = self._chance.choice(self._pool).read_bytes()
            target = incoming / f"{self.rounds % 8}-{number}.jpg"
            target.write_bytes(data + f"{self.rounds} {number}".encode())
        if self.rounds % 2:
            self._clients.run_job({"action": "index"})
        else:
            self._index()
        if self.rounds % 3 == 0:
            added = [entry for entry in self._clients.photos() if entry["path"].startswith(
                str(incoming))]  # fmt: skip
            ids = [entry["id"] for entry in self._chance.sample(added, min(5, len(added)))]
            if ids:
                self._clients.run_job({"action": "remove", "photos": ids})
        if self.rounds % 8 == 0:
            shutil.rmtree(incoming)
            self._clients.run_job({"action": "index", "prune": True, "prune_most": True})

    def _index(self) -> None:
        command = [sys.executable, "-m", "resight", "index", self._photos, "-c", self._collection]
        done = subprocess.run(map(str, command), capture_output=True, text=True, check=False)
        if done.returncode and "another process is writing" not in done.stderr:
            self._clients.violate(f"index: status {done.returncode}: {done.stderr[-300:]}")


@contextmanager
def serving(collection: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve a collection in a process of its own; yield it and its address with the token."""
    command = [sys.executable, "-W", "ignore", "-c", SERVE, str(collection), str(STORED_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            if process.poll() is None:
                process.kill()


def repeat(function: Callable[[], None], stop: threading.Event, clients: Clients) -> None:
    """Call a function until the soak ends; an error is a violation."""
    while not stop.wait(PAUSE_S):
        try:
            with clients.work():
                function()
        except Exception as error:  # noqa: BLE001 - reported
            clients.violate(f"{type(error).__name__}: {error}")


def soak(photos: Path, collection: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Put the load on a server, and return the figures."""
    samples, stop = Samples(), threading.Event()
    with serving(collection) as (process, address):
        clients = Clients(address, sorted(photos.rglob("*.jpg")), options.seed)
        changes = Changes(photos, collection, clients, options.seed)
        clients.fill_caches(options.regions)
        started = time.monotonic()
        threads = [
            threading.Thread(target=clients.run, args=(n, stop)) for n in range(options.clients)
        ]
        threads.append(threading.Thread(target=repeat, args=(changes.run, stop, clients)))
        for thread in threads:
            thread.start()
        watched, reported, at_rest = psutil.Process(process.pid), 0.0, Samples()
        while (elapsed := time.monotonic() - started) < 60 * options.minutes:
            if process.poll() is not None:
                clients.violate(f"the server ended with status {process.returncode}")
                break
            samples.add(elapsed, measure(watched, collection))
            if elapsed >= reported:
                reported += 60
                values = {name: round(of[-1], 1) for name, of in samples.values.items()}
                print(f"{elapsed / 60:.0f} min {values} {clients.total} requests, "
                      f"{changes.rounds} rounds", flush=True)  # fmt: skip
            if elapsed >= REST_EVERY_S * (1 + len(at_rest.seconds)):
                with clients.rest():
                    clients.run_job({"action": "index"})  # at its end the server cleans up
                    time.sleep(REST_S)
                    at_rest.add(time.monotonic() - started, measure(watched, collection))
                print(f"at rest: {at_rest.values['memory'][-1]:.1f} MB", flush=True)
            time.sleep(SAMPLE_S)
        stopping = time.monotonic()
        clients.stopping = True
        process.terminate()  # under load
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            clients.violate("the server did not stop")
        stopped_s = time.monotonic() - stopping
        if stopped_s > STOP_S:
            clients.violate(f"the server took {stopped_s:.1f} s to stop")
        stop.set()
        for thread in threads:
            thread.join()
    if not check(collection).intact:
        clients.violate("the collection is damaged")
    return summary(samples, at_rest, clients, changes.rounds, stopped_s, options)


def summary(
    samples: Samples,
    at_rest: Samples,
    clients: Clients,
    rounds: int,
    stopped_s: float,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Return growth at rest, requests and violations; memory that grows is one."""
    after = 60 * options.warm_up
    growth = {name: round(at_rest.slope(name, after), 3) for name in at_rest.values}
    if growth.get("memory", 0.0) > MAX_GROWTH_MB:
        clients.violate(f"memory grows by {growth['memory']} MB an hour")
    return {
        "minutes": options.minutes,
        "warm_up": options.warm_up,
        "last": {name: round(values[-1], 2) for name, values in samples.values.items()},
        "largest": {name: round(max(values), 2) for name, values in samples.values.items()},
        "growth_an_hour": growth,
        "requests": dict(sorted(clients.statuses.items())),
        "rounds": rounds,
        "stopped_s": round(stopped_s, 2),
        "violations": clients.violations,
        "at_rest": {"seconds": at_rest.seconds, **at_rest.values},
        "samples": {"seconds": samples.seconds, **samples.values},
    }


def main() -> int:
    """Run the soak; return 1 if there were violations."""
    parser = argparse.ArgumentParser(prog="python -m tests.durability.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=10, help="minutes that are not measured")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--objects", type=int, default=12, help="drawn objects, of 3 photos each")
    parser.add_argument("--regions", type=int, default=600, help="searches before the start")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the figures and all samples")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="resight-soak-") as folder:
        photos = draw_collection(Path(folder) / "photos", objects=options.objects, views=3).parent
        collection = Path(folder) / "collection"
        index([photos], collection)
        figures = soak(photos, collection, options)
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n", "utf-8")
    print(json.dumps({k: v for k, v in figures.items() if k != "samples"}, indent=1), flush=True)
    return 1 if figures["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
