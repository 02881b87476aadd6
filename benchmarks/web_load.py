"""Load test of the web server: errors by status, latencies, and memory of the server.

    python benchmarks/web_load.py COLLECTION PHOTOS --seconds 120 --clients 16 [--weights FILE]

Starts a server on a collection in its own process. Each client sends requests sequentially: uploads
of photos (half of them with modified bytes, so that nothing is cached), regions, photos of the
collection, verified searches, explanations, thumbnails and pages of photos. A warm-up with the same
load fills the caches. Memory is the server's resident set: the median of the first ten seconds
after the warm-up against the median of the last ten. Exits with status 1 after any error but 429,
or if memory grew by more than 10 percent.
"""

import argparse
import collections
import json
import random
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from harness import make_parser

V1 = "/api/v1"
MAX_GROWTH_PERCENT = 10.0

SHARES = {
    "upload": 35, "region": 15, "explain": 5, "verify": 5, "photo": 15, "thumbnail": 20, "page": 5,
}  # fmt: skip
"""Kinds of requests and their shares, in percent."""

SERVE = """
import sys
from pathlib import Path
from resight.methods.model import ModelOptions
from resight.web import WebSettings, serve
weights = Path(sys.argv[2]) if sys.argv[2] else None
serve(Path(sys.argv[1]), settings=WebSettings(port=0, token=None, max_waiting=int(sys.argv[4])),
      model=ModelOptions(weights, sys.argv[3]), started=lambda url: print(url, flush=True))
"""


class Load:
    """Statistics of the clients: latencies in seconds by kind of request, responses by status."""

    def __init__(self, url: str, photos: list[bytes], ids: list[int], until: float) -> None:
        self.url = url
        self.photos = photos
        self.ids = ids
        self.until = until
        self.lock = threading.Lock()
        self.statuses: collections.Counter[str] = collections.Counter()
        self.latencies: dict[str, list[float]] = collections.defaultdict(list)
        self.details: collections.Counter[str] = collections.Counter()

    def client(self, number: int) -> None:
        """Send queries as one client until the time is over; wait as long as a 429 asks for."""
        rng = random.Random(number)
        upload = ""
        with httpx.Client(base_url=self.url, timeout=600, trust_env=False) as client:
            while time.monotonic() < self.until:
                kind, path, request = self.choose(rng, upload)
                started = time.monotonic()
                try:
                    answer = client.request(request.pop("method"), path, **request)
                except httpx.HTTPError as error:
                    self.record(kind, type(error).__name__, started)
                    continue
                self.record(kind, str(answer.status_code), started, answer)
                if answer.status_code == 429:
                    time.sleep(min(float(answer.headers["retry-after"]), 5.0))
                elif answer.status_code == 200 and kind == "upload":
                    upload = answer.json()["query"]["upload"]

    def choose(self, rng: random.Random, upload: str) -> tuple[str, str, dict[str, Any]]:
        """Choose a request: its kind, address, and the arguments of httpx."""
        kind, photo = rng.choices(list(SHARES), list(SHARES.values()))[0], rng.choice(self.ids)
        if kind in ("region", "explain") and not upload:
            kind = "upload"
        x, y = rng.randrange(40), rng.randrange(40)  # inside a photo of 240 x 320 or 320 x 240
        bodies: dict[str, dict[str, Any]] = {
            "region": {"upload": upload, "box": f"{x},{y},200,200"},
            "explain": {"query": {"upload": upload}, "result": photo},
            "verify": {"photo": photo, "verify": 5},
            "photo": {"photo": photo, "k": 60},
        }
        if kind in bodies:
            path = "explain" if kind == "explain" else "search"
            return kind, f"{V1}/{path}", {"method": "POST", "json": bodies[kind]}
        if kind == "upload":
            data = rng.choice(self.photos)
            if rng.random() < 0.5:
                data += rng.randbytes(8)  # after the end of a JPEG: the same picture, new content
            return kind, f"{V1}/search", {"method": "POST", "files": {"file": data}}
        places = {"thumbnail": f"photos/{photo}/thumbnail", "page": f"photos?after={photo - 1}"}
        return kind, f"{V1}/{places[kind]}", {"method": "GET"}

    def record(
        self, kind: str, status: str, started: float, answer: httpx.Response | None = None
    ) -> None:
        """Count a response."""
        with self.lock:
            self.statuses[status] += 1
            if status == "200":
                self.latencies[kind].append(time.monotonic() - started)
            elif answer is not None and status != "429":
                self.details[answer.text[:200]] += 1


def sample_memory(process: psutil.Process, until: float) -> list[tuple[float, int]]:
    """Sample the resident bytes of the server twice a second, with timestamps."""
    samples = []
    while time.monotonic() < until:
        samples.append((time.monotonic(), process.memory_info().rss))
        time.sleep(0.5)
    return samples


def memory_report(samples: list[tuple[float, int]], start: float, seconds: float) -> dict[str, Any]:
    """Compute the growth in percent from the warm-up to the end, by medians of ten seconds."""
    span = min(10.0, 0.2 * seconds)
    early = statistics.median(rss for at, rss in samples if start <= at <= start + span)
    late = statistics.median(rss for at, rss in samples if at >= start + seconds - span)
    return {
        "after_warm_up_mb": round(early / 1e6, 1),
        "at_the_end_mb": round(late / 1e6, 1),
        "peak_mb": round(max(rss for _, rss in samples) / 1e6, 1),
        "growth_percent": round(100 * (late / early - 1), 2),
    }


def percentiles(latencies: list[float]) -> dict[str, float]:
    """Return percentiles of latencies, in milliseconds."""
    ordered = sorted(latencies)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    values = {n: ordered[min(len(ordered) - 1, int(q * len(ordered)))] for n, q in at.items()}
    return {"count": len(ordered), **{n: round(1000 * value, 1) for n, value in values.items()}}


def measure(url: str, process: psutil.Process, options: argparse.Namespace) -> dict[str, Any]:
    """Put the load on a server for the requested time."""
    paths = sorted(p for p in options.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    photos = [path.read_bytes() for path in paths[:: max(1, len(paths) // 40)]]
    page = httpx.get(f"{url}{V1}/photos", params={"limit": 1000}, trust_env=False).json()
    ids = [photo["id"] for photo in page["photos"]]
    start = time.monotonic() + options.warm_up
    load = Load(url, photos, ids, start + options.seconds)
    clients = [threading.Thread(target=load.client, args=(n,)) for n in range(options.clients)]
    for client in clients:
        client.start()
    samples = sample_memory(process, start + options.seconds)
    for client in clients:
        client.join()
    return {
        "clients": options.clients,
        "warm_up_seconds": options.warm_up,
        "seconds": options.seconds,
        "photos": len(ids),
        "answers_by_status": dict(sorted(load.statuses.items())),
        "errors": dict(load.details.most_common(10)),
        "milliseconds": {kind: percentiles(found) for kind, found in load.latencies.items()},
        "memory": memory_report(samples, start, options.seconds),
    }


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("collection", type=Path)
    parser.add_argument("photos", type=Path, help="a folder of JPEGs to upload")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--warm-up", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--waiting", type=int, default=32, help="length of the server's queue")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    weights = str(options.weights or "")
    command = [sys.executable, "-c", SERVE, str(options.collection), weights, options.device]
    with subprocess.Popen(
        [*command, str(options.waiting)], stdout=subprocess.PIPE, text=True
    ) as server:
        if server.stdout is None:
            raise RuntimeError("the server has no output to read")
        url = server.stdout.readline().strip().rstrip("/")
        if not url:
            return 1
        try:
            report = measure(url, psutil.Process(server.pid), options)
        finally:
            server.terminate()
    print(json.dumps(report, indent=2))
    failed = set(report["answers_by_status"]) - {"200", "429"}
    return int(bool(failed) or report["memory"]["growth_percent"] > MAX_GROWTH_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
