"""HTTP around the endpoints: HEAD, the methods of an address, compressed responses."""

import re
from typing import Any

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_COMPRESSED = 1000
"""Smaller responses, in bytes, are sent as they are."""

COMPRESSION_LEVEL = 5

PICTURES = re.compile(r"/(thumbnail|original|uploads/[^/]+)$")
STREAMS = re.compile(r"/jobs/[^/]+/events$")


class Compression:
    """Compresses JSON and the page's files; never pictures, and never streams of events."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._compressed = GZipMiddleware(app, MIN_COMPRESSED, COMPRESSION_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope.get("path", "")
        plain = scope["type"] != "http" or PICTURES.search(path) or STREAMS.search(path)
        await (self._plain if plain else self._compressed)(scope, receive, send)


class HeadRequests:
    """Answers HEAD with the headers of GET, except for streams of events, which do not end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope.get("method") != "HEAD" or STREAMS.search(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send_headers)
        finally:
            scope["route"] = inner.get("route")  # for the metrics


def allowed_methods(description: dict[str, Any], path: str) -> str:
    """Return the methods of an address, as in the header `Allow`.

    Args:
        description: of the interface (OpenAPI); the page's own files, outside it, are only read.
        path: the path of the address.
    """
    methods = set()
    for template, operations in description["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            methods = {name.upper() for name in operations}
    if not methods or ("GET" in methods and not STREAMS.search(path)):
        methods |= {"GET", "HEAD"}
    return ", ".join(sorted(methods))
