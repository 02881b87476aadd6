"""Running the server: `resight serve`."""

import contextlib
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import threadpoolctl

from resight.errors import MissingExtraError, UsageError, WeightsError
from resight.memory import keep_heap_small
from resight.methods.model import ModelOptions
from resight.web.settings import WebSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

BACKLOG = 256


def serve(
    collection: Path | str,
    *,
    settings: WebSettings | None = None,
    model: ModelOptions | None = None,
    open_browser: bool = False,
    say: Callable[[str], None] = lambda message: None,
    started: Callable[[str], None] = lambda address: None,
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

        with contextlib.suppress(KeyboardInterrupt):  # the usual way to stop the server
            _server(app, settings, on_startup).run([listener])
    say("stopped")


def _server(app: "FastAPI", settings: WebSettings, on_startup: Callable[[], None]) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        """A server that reports its start, and its stop to the application."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_startup()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
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
