"""Counters of a server, in Prometheus' text format."""

import threading
from collections import Counter
from collections.abc import Mapping

PREFIX = "resight_"


class Metrics:
    """Requests by method, route and status; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: Counter[tuple[str, str]] = Counter()

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; status 0 where the client left before the answer.

        `route` is the pattern of the address, never the address itself: there are few of them.
        """
        if method not in ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"):
            method = "other"
        with self._lock:
            self._requests[method, route, status] += 1
            self._seconds[method, route] += seconds  # type: ignore[assignment]

    def text(self, gauges: Mapping[str, float]) -> str:
        """All counters, and further values of the moment."""
        with self._lock:
            requests, seconds = dict(self._requests), dict(self._seconds)
        lines = [f"# TYPE {PREFIX}requests_total counter"]
        lines += [
            f'{PREFIX}requests_total{{method="{m}",route="{r}",status="{s}"}} {n}'
            for (m, r, s), n in sorted(requests.items())
        ]
        lines.append(f"# TYPE {PREFIX}request_seconds_total counter")
        lines += [
            f'{PREFIX}request_seconds_total{{method="{m}",route="{r}"}} {total:.6f}'
            for (m, r), total in sorted(seconds.items())
        ]
        for name, value in gauges.items():
            lines += [f"# TYPE {PREFIX}{name} gauge", f"{PREFIX}{name} {value:g}"]
        return "\n".join(lines) + "\n"
