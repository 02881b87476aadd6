"""The web page and the HTTP interface of a collection: `serve`, and the settings of a server.

Everything else in this package needs the extra `web`; `app` makes the application.
`/api/v1/openapi.json` of a running server describes the interface.
"""

import contextlib
import ipaddress
import os
import re
import socket
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import threadpoolctl

from resight.errors import MissingExtraError, UsageError, WeightsError
from resight.memory import keep_heap_small
from resight.methods.model import ModelOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

ABANDON_S = 1.5
"""Time after `shutdown_s` in which a server ends, before its process is ended."""
BACKLOG = 256
MIB = 1 << 20
MIN_TOKEN_LENGTH = 16
"""Shorter tokens can be guessed; they are refused on addresses that other machines can reach."""


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """The settings of a server.

    Attributes:
        host, port: where it listens.
        token: secret that every request must send; needed on any address but loopback.
        allow_urls: whether a query may be fetched from a web address.
        allowed_hosts: further names under which the server may be reached (`Host` header).
        max_upload_bytes: larger uploads are refused.
        max_pixels: uploads that would decode to more are refused.
        max_waiting: searches that may wait for their turn; further ones get 429.
        max_uploads: uploads that may arrive at the same time; further ones get 429.
        upload_timeout_s: an upload that sends nothing for this long is aborted.
        stored_bytes, stored_s: limits of the stored query photos, which further pages and
            explanations need: bytes on disk in all, seconds since one was last used.
        thumbnail_bytes: bytes on disk of all thumbnails together.
        shutdown_s: how long running requests may take when the server stops.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    allow_urls: bool = False
    allowed_hosts: tuple[str, ...] = ()
    max_upload_bytes: int = 64 * MIB
    max_pixels: int = 64_000_000
    max_waiting: int = 32
    max_uploads: int = 32
    upload_timeout_s: float = 30.0
    stored_bytes: int = 512 * MIB
    stored_s: float = 1800.0
    thumbnail_bytes: int = 512 * MIB
    shutdown_s: float = 8.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"{self.port} is not from 0 to 65535", parameter="port")
        if self.token is not None and not re.fullmatch(r"[A-Za-z0-9._~-]+", self.token):
            raise UsageError("letters, digits and . _ ~ - only", parameter="token")
        if is_loopback(self.host):
            return
        if self.token is None:
            raise UsageError(
                f"other machines could reach the photos on {self.host}; protect them with a token "
                f"of at least {MIN_TOKEN_LENGTH} characters",
                parameter="host",
            )
        if len(self.token) < MIN_TOKEN_LENGTH:
            message = f"at least {MIN_TOKEN_LENGTH} characters on {self.host}"
            raise UsageError(message, parameter="token")

    @property
    def local_only(self) -> bool:
        """Return whether the server listens on a loopback address only."""
        return is_loopback(self.host)


def serve(
    collection: Path | str,
    *,
    settings: WebSettings | None = None,
    model: ModelOptions | None = None,
    open_browser: bool = False,
    say: Callable[[str], None] = lambda message: None,
    started: Callable[[str], None] = lambda address: None,
    end_process: bool = False,
) -> None:
    """Serve a collection's page and interface until Ctrl-C or SIGTERM.

    Requests that run when the server is stopped are finished; a job stops after the current
    photo, and the next index run resumes there.

    Args:
        collection: the collection's folder, or its address on a backend.
        settings: address, token and limits.
        model: weights, device and runtime.
        open_browser: open the page in the browser.
        say: receives messages for the person who started the server.
        started: receives the address once the server answers there.
        end_process: end the whole process if a request hangs when the server is stopped, as when a
            disk does not answer; otherwise it is waited for.

    Raises:
        MissingExtraError: the packages for serving are not installed.
        UsageError: the server cannot listen on the address.
        CollectionError: there is no collection, or it cannot be read.
    """
    try:
        import python_multipart  # noqa: F401 - Starlette reads forms with it
        import uvicorn  # noqa: F401

        from resight.web.app import create_app
    except ImportError as error:
        if (error.name or "").startswith("resight"):
            raise
        raise MissingExtraError("serve", "web") from None
    keep_heap_small()
    # Requests run in parallel; matrix products that each use all cores would slow each other down.
    threadpoolctl.threadpool_limits(1, "blas")
    settings = settings or WebSettings()
    with contextlib.closing(_listen(settings)) as listener:
        app = create_app(collection, settings, model or ModelOptions())
        try:
            app.state.shared.service.warm_up()
        except WeightsError as error:
            say(f"only photos of the collection can be searched with: {error}")
        address = _address(settings, listener)
        say(f"serving {app.state.shared.location} at {address} (stop with Ctrl-C)")

        def on_startup() -> None:
            started(address)
            if open_browser:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        def abandon() -> None:
            app.state.shared.uploads.close()
            say("stopped, although a request did not end")
            os._exit(1)

        with contextlib.suppress(KeyboardInterrupt):  # the usual way to stop the server
            _server(app, settings, on_startup, abandon if end_process else None).run([listener])
    say("stopped")


def _server(
    app: "FastAPI",
    settings: WebSettings,
    on_startup: Callable[[], None],
    abandon: Callable[[], None] | None,
) -> Any:
    """Return a server; `abandon` is called if it cannot be stopped in time."""
    import uvicorn

    class Server(uvicorn.Server):
        """A server that reports its start, and its stop to the application."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_startup()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            if abandon is not None:
                timer = threading.Timer(settings.shutdown_s + ABANDON_S, abandon)
                timer.daemon = True
                timer.start()
            app.state.shared.stop()  # otherwise uvicorn would wait for all queued requests
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(settings.shutdown_s),
    )
    return Server(config)


def _listen(settings: WebSettings) -> socket.socket:
    try:
        addresses = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, _, _, _, address = addresses[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {settings.host}, port {settings.port}: "
            f"{error.strerror or error}; choose another one (0: any free port)",
            parameter="port",
        ) from None
    listener.set_inheritable(False)
    return listener


def _address(settings: WebSettings, listener: socket.socket) -> str:
    host = settings.host
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    if ":" in host:
        host = f"[{host}]"
    query = f"?token={quote(settings.token)}" if settings.token else ""
    return f"http://{host}:{listener.getsockname()[1]}/{query}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address to listen on."""
    return host == "localhost" or (is_ip_address(host) and ipaddress.ip_address(host).is_loopback)


def is_ip_address(name: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
