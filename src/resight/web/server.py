"""The process of a server: its socket and address, its browser page, its start and its end."""

import contextlib
import html
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from resight.errors import UsageError
from resight.web import WebSettings
from resight.web.connections import protocol_of

ABANDON_S = 1.5
"""Time after `shutdown_s` in which a server ends, before its process is ended."""
BACKLOG = 1024
KEEP_ALIVE_S = 15
MAX_OPEN_FILES = 4096

OPENING_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Resight</title>
<meta http-equiv="refresh" content="0; url={0}"><p><a href="{0}">Open the collection</a></p></html>
"""


class Server(uvicorn.Server):
    """A server that reports its start, and its stop to the application.

    `abandon` is called if it cannot be stopped in time.
    """

    def __init__(
        self,
        app: FastAPI,
        settings: WebSettings,
        on_startup: Callable[[], None],
        abandon: Callable[[], None] | None,
    ) -> None:
        super().__init__(_config(app, settings))
        self._state = app.state.shared
        self._on_startup = on_startup
        self._abandon = abandon
        self._limit_s = settings.shutdown_s + ABANDON_S

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and report it."""
        await super().startup(sockets)
        self._on_startup()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal; the time to stop runs from here, also if all threads are busy."""
        self._limit_stop()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse waiting requests, finish running ones, and stop."""
        self._limit_stop()
        self._state.stop()  # otherwise uvicorn would wait for all queued requests
        await super().shutdown(sockets)

    def _limit_stop(self) -> None:
        abandon, self._abandon = self._abandon, None
        if abandon is not None:
            timer = threading.Timer(self._limit_s, abandon)
            timer.daemon = True
            timer.start()


def create_server(
    app: FastAPI,
    settings: WebSettings,
    on_startup: Callable[[], None] = lambda: None,
    abandon: Callable[[], None] | None = None,
) -> Server:
    """Return a server of an application; `abandon` is called if it cannot be stopped in time."""
    return Server(app, settings, on_startup, abandon)


def _config(app: FastAPI, settings: WebSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol_of(settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.shutdown_s),
    )


def allow_open_files() -> None:
    """Let this process open as many files as it may: each connection is one."""
    if sys.platform != "win32":
        import resource

        least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MAX_OPEN_FILES if most == resource.RLIM_INFINITY else min(most, MAX_OPEN_FILES)
        if least != resource.RLIM_INFINITY and least < wanted:
            with contextlib.suppress(OSError, ValueError):  # the kernel allows fewer
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def listen(settings: WebSettings) -> socket.socket:
    """Return a socket that listens where a server should.

    Raises:
        UsageError: the address is unknown, or the port is in use.
    """
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


def address_of(settings: WebSettings, listener: socket.socket) -> str:
    """Return the address of the page, with the token."""
    host = settings.host
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    if ":" in host:
        host = f"[{host}]"
    query = f"?token={quote(settings.token)}" if settings.token else ""
    return f"http://{host}:{listener.getsockname()[1]}/{query}"


def open_page(address: str, folder: Callable[[], Path]) -> threading.Thread:
    """Open an address in the browser; return the thread that does.

    The command lines of browsers can be read by every user of the machine. So one with a token is
    opened by a file that leads there, in a folder that only its owner can read.
    """
    if "?token=" in address:
        page = folder() / "open.html"
        page.write_text(OPENING_PAGE.format(html.escape(address)), encoding="utf-8")
        address = page.as_uri()
    thread = threading.Thread(target=webbrowser.open, args=(address,), daemon=True)
    thread.start()
    return thread
