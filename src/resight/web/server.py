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
from resight.methods.factory import ModelOptions
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

    Requests that run when the server is stopped are finished; a job stops after the photo it is
    at, and the next index run goes on from there.

    Args:
        collection: the collection's folder, or its address on an engine.
        settings: address, token and limits.
        model: weights, device and engine.
        open_browser: show the page in the person's browser.
        say: told in plain words what happens.
        started: told the address once the server answers there.

    Raises:
        MissingExtraError: the packages for serving are not installed.
        UsageError: the address cannot be listened on.
        CollectionError: there is no collection, or it cannot be read.
    """
    keep_heap_small()
    # Requests are served side by side; products that each take all processors wait on one another.
    threadpoolctl.threadpool_limits(1, "blas")
    settings, model = settings or WebSettings(), model or ModelOptions()
    app = _create_app(collection, settings, model)
    with contextlib.closing(_listen(settings)) as listener:
        try:
            app.state.context.engine.warm_up()
        except WeightsError as error:
            say(f"photos of the collection can be searched with, others not: {error}")
        address = _address(settings, listener)
        say(f"serving {app.state.context.place} at {address} (stop with Ctrl-C)")

        def tell() -> None:
            started(address)
            if open_browser:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how one stops it
            _server(app, settings, tell).run([listener])
    say("stopped")


def _create_app(collection: Path | str, settings: WebSettings, model: ModelOptions) -> "FastAPI":
    try:
        import python_multipart  # noqa: F401 - Starlette reads forms with it
        import uvicorn  # noqa: F401

        from resight.web.app import create_app
    except ImportError as error:
        if (error.name or "").startswith("resight"):
            raise
        raise MissingExtraError("serve", "web") from None
    return create_app(collection, settings, model)


def _server(app: "FastAPI", settings: WebSettings, started: Callable[[], None]) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        """Tells when it is up, and tells the application when it is to go down."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.context.stop()  # else all that wait in a queue would be waited for
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
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, _, _, _, place = found[0]
        listener = socket.create_server(place[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {settings.host}, port {settings.port}: "
            f"{error.strerror or error}; choose another --port (0: any that is free)"
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
