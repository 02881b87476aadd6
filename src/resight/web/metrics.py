"""Metrics of a server in Prometheus' text format."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Requests by method, route and status, and gauges read when the metrics are; thread-safe."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "resight_requests",
            "Requests; status 0: the client left before the response.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Counter(
            "resight_request_seconds",
            "Seconds spent on requests.",
            ("method", "route"),
            registry=self._registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request.

        Args:
            method: of the request.
            route: the address's pattern, never the address itself: there are few patterns.
            status: of the response; 0 where the client left before it.
            seconds: from the request to the end of the response.
        """
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).inc(seconds)

    def add_gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read whenever the metrics are."""
        gauge = Gauge(f"resight_{name}", documentation, registry=self._registry)
        gauge.set_function(read)

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self._registry)
