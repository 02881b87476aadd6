"""Limits on what requests may use: bytes, time, threads, places in a queue."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resight.web.problems import ProblemError

T = TypeVar("T")

SMALL_BODY = 1 << 20
"""Largest body, in bytes, of a request without a photo, and of the fields next to a photo."""

DRAIN_S = 2.0
"""Seconds for which the rest of a refused upload is read and discarded: its sender, who writes
before reading, then sees the refusal rather than a broken connection."""

UPLOAD_PAUSES = 20
"""An upload may take this many times its longest pause in all."""

POLL_S = 0.25
"""Seconds between two checks whether the client of a waiting request is still connected."""


class ClientGoneError(ProblemError):
    """The client has disconnected; nobody will see the response."""

    def __init__(self) -> None:
        super().__init__(400, "The client closed the connection.")


def too_large(max_bytes: int) -> ProblemError:
    """Return the refusal of a body with more bytes than allowed."""
    return ProblemError(413, f"That is larger than the limit of {max_bytes / (1 << 20):g} MiB.")


def limit_body(app: ASGIApp, max_bytes: int, pause_s: float, *, fields: int = 0) -> ASGIApp:
    """Return an application that limits the bodies of requests to another one.

    A body that declares a larger size is refused before any of it is read, one that turns out
    larger as soon as it does, one that pauses for more than `pause_s` seconds when it does. The
    fields of a form next to its file may add up to `fields` bytes.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes + fields:
            await too_large(max_bytes).response()(scope, receive, send)
            return
        received, complete = 0, False
        deadline = time.monotonic() + UPLOAD_PAUSES * pause_s

        async def receive_limited() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout(min(pause_s, max(0, deadline - time.monotonic()))):
                    message = await receive()
            except TimeoutError:
                raise ProblemError(408, "The upload took too long; try again.") from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > max_bytes + fields:
                raise too_large(max_bytes)
            return message

        await app(scope, receive_limited, send)

    return serve


def drain_body(app: ASGIApp) -> ASGIApp:
    """Return an application that lets clients see the response to a body not read to its end."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

        async def receive_watched() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message["type"] == "http.request" and message["more_body"]
            return message

        async def send_drained(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body")
            if unread and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
            if not (unread and last):
                await send(message)
                return
            await send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    while unread:
                        await receive_watched()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await app(scope, receive_watched, send_drained)

    return serve


class RequestQueue:
    """A few threads, and a first-come, first-served queue of bounded length in front of them.

    Args:
        name: the threads' name.
        threads: how many functions run at the same time.
        max_waiting: how many requests may wait; further ones get 429 with `Retry-After`.
    """

    def __init__(self, name: str, threads: int, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"resight-{name}")
        self._free = asyncio.Semaphore(threads)
        self._threads = threads
        self._max_waiting = max_waiting
        self._mean_s = 1.0
        self._stopping = False
        self.waiting = 0

    async def run(self, request: Request, function: Callable[[], T]) -> T:
        """Run a function in a thread when its turn comes, while its client waits.

        Raises:
            ProblemError: the queue is full, the client left while it waited, or the server stops.
        """
        if self._stopping:
            raise _server_stopping()
        if self._free.locked() and self.waiting >= self._max_waiting:
            raise self._queue_full()
        await self._wait(request)
        started = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function)
        finally:
            self._mean_s += 0.1 * (time.monotonic() - started - self._mean_s)
            self._free.release()

    def stop(self) -> None:
        """Refuse waiting and new requests; running ones are finished."""
        self._stopping = True

    def close(self) -> None:
        """Wait for running functions, and end the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def _wait(self, request: Request) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        turn = asyncio.ensure_future(self._free.acquire())
        self.waiting += 1
        try:
            while not turn.done():
                await asyncio.wait({turn}, timeout=POLL_S)
                if self._stopping:
                    raise _server_stopping()
                if not turn.done() and await request.is_disconnected():
                    raise ClientGoneError
        except BaseException:
            if not turn.cancel():  # the turn came at the same moment
                self._free.release()
            raise
        finally:
            self.waiting -= 1

    def _queue_full(self) -> ProblemError:
        seconds = math.ceil(self._mean_s * (self.waiting + 1) / self._threads)
        headers = {"Retry-After": str(min(30, max(1, seconds)))}
        detail = "Too many requests are waiting; try again in a moment."
        return ProblemError(429, detail, headers=headers)


class ConcurrencyLimit:
    """A limit on how many blocks of code run at the same time; further ones get 429."""

    def __init__(self, limit: int, noun: str) -> None:
        self._limit = limit
        self._noun = noun
        self.running = 0

    @contextlib.contextmanager
    def acquire(self) -> Iterator[None]:
        """Hold one of the places while the block runs."""
        if self.running >= self._limit:
            detail = f"Too many {self._noun} at the same time; try again in a moment."
            raise ProblemError(429, detail, headers={"Retry-After": "2"})
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


def _server_stopping() -> ProblemError:
    return ProblemError(503, "The server is stopping.", headers={"Retry-After": "30"})
