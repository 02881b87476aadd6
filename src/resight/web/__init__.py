"""The web page and the HTTP interface of a collection: `serve`, and the settings of a server.

Everything else in this package needs the extra `web`; `app` makes the application.
`/api/v1/openapi.json` of a running server describes the interface.
"""

import contextlib
import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import threadpoolctl

from resight.errors import MissingExtraError, UsageError, WeightsError
from resight.memory import keep_heap_small
from resight.methods.model import ModelOptions
from resight.web.tokens import check_token, new_token

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """The settings of a server.

    Attributes:
        host, port: where it listens.
        token: secret that every request must send, by default a new one. None lets every user of
            this machine read the photos, and is refused on any address but loopback.
        allow_urls: whether a query may be fetched from a web address.
        index_folders: folders that clients may index, besides those of the collection.
        allow_move: whether clients on the same machine may move the files of photos.
        watch: whether to watch the collection's folders for new photos from the start.
        watch_every_s: seconds between two looks at them, at least 0.1.
        allowed_hosts: further names under which the server may be reached (`Host` header).
        max_upload_bytes: larger uploads are refused.
        max_pixels: uploads that would decode to more are refused.
        max_waiting: searches that may wait for their turn; further ones get 429.
        max_uploads: uploads that may arrive at the same time; further ones get 429.
        max_requests: requests at the same time; further ones get 503. Twice as many connections
            are accepted.
        header_timeout_s: a connection is closed if the headers of a request take longer.
        body_timeout_s: the same for a body, whose time grows by a second for each 16 KiB received.
        read_timeout_s: a connection is closed if its client reads nothing for this long.
        stored_bytes, stored_s: limits of the stored query photos, which further pages and
            explanations need: bytes on disk in all, seconds since one was last used.
        thumbnail_bytes: bytes on disk of all thumbnails together.
        shutdown_s: how long running requests may take when the server stops.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = field(default_factory=new_token, repr=False)
    allow_urls: bool = False
    index_folders: tuple[Path, ...] = ()
    allow_move: bool = False
    watch: bool = False
    watch_every_s: float = 10.0
    allowed_hosts: tuple[str, ...] = ()
    max_upload_bytes: int = 64 * MIB
    max_pixels: int = 64_000_000
    max_waiting: int = 32
    max_uploads: int = 32
    max_requests: int = 512
    header_timeout_s: float = 10.0
    body_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    stored_bytes: int = 512 * MIB
    stored_s: float = 1800.0
    thumbnail_bytes: int = 512 * MIB
    shutdown_s: float = 8.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"{self.port} is not from 0 to 65535", parameter="port")
        if not self.watch_every_s >= 0.1:
            raise UsageError(
                f"{self.watch_every_s:g} is less than 0.1 seconds", parameter="watch_every"
            )
        if self.token is not None:
            check_token(self.token, parameter="token")
        elif not is_loopback(self.host):
            raise UsageError(
                f"other machines could reach the photos on {self.host} without a token",
                parameter="host",
            )

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

    A collection that does not exist yet is created on the page, from a folder of photos.

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

        from resight.web import server
        from resight.web.app import create_app
    except ImportError as error:
        if (error.name or "").startswith("resight"):
            raise
        raise MissingExtraError("serve", "web") from None
    keep_heap_small()
    server.allow_open_files()
    # Requests run in parallel; matrix products that each use all cores would slow each other down.
    threadpoolctl.threadpool_limits(1, "blas")
    settings = settings or WebSettings()
    with contextlib.closing(server.listen(settings)) as listener:
        app = create_app(collection, settings, model or ModelOptions())
        try:
            app.state.shared.service.warm_up()
        except WeightsError as error:
            say(f"only photos of the collection can be searched with: {error}")
        address = server.address_of(settings, listener)
        say(f"serving {app.state.shared.location} at {address} (stop with Ctrl-C)")
        if app.state.shared.service.is_new:
            say("there is no collection yet: choose a folder with photos on the page")

        def on_startup() -> None:
            started(address)
            if open_browser:
                server.open_page(address, app.state.shared.uploads.folder)

        def abandon() -> None:
            app.state.shared.uploads.close()
            say("stopped, although a request did not end")
            os._exit(1)

        with contextlib.suppress(KeyboardInterrupt):  # the usual way to stop the server
            stop = abandon if end_process else None
            server.create_server(app, settings, on_startup, stop).run([listener])
    say("stopped")


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
