"""Bounds on what requests may take: bytes, time, threads, places in the queue."""

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

from resight.web.problems import Problem

T = TypeVar("T")

SMALL_BODY = 1 << 20
"""Bytes that a request may have which uploads no photo, or beside the photo."""

LINGER_S = 2.0
"""How long the rest of a refused upload is read and thrown away, so that its sender, who writes
before reading, gets to see the refusal instead of a broken connection."""

SLOWEST_UPLOAD = 20
"""A body may take so many times as long in all as it may pause."""

LOOK_EVERY_S = 0.25
"""How often a waiting request looks whether its client is still there."""


class ClientGone(Problem):
    """The client has left: nobody will see the answer."""

    def __init__(self) -> None:
        super().__init__(400, "The client closed the connection.")


def bounded(app: ASGIApp, max_bytes: int, pause_s: float, *, beside: int = 0) -> ASGIApp:
    """Bound the body of requests to an application.

    A body that says it is larger is refused before any of it is read, one that turns out larger
    as soon as it does, one that pauses for longer than `pause_s` when it does. What stands in a
    form beside its file may add up to `beside` bytes.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes + beside:
            await too_large(max_bytes).response()(scope, receive, send)
            return
        received, ended = 0, False
        deadline = time.monotonic() + SLOWEST_UPLOAD * pause_s

        async def receive_bounded() -> Message:
            nonlocal received, ended
            if ended:
                return await receive()
            try:
                async with asyncio.timeout(min(pause_s, max(0, deadline - time.monotonic()))):
                    message = await receive()
            except TimeoutError:
                raise Problem(408, "The upload took too long; try again.") from None
            received += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if received > max_bytes + beside:
                raise too_large(max_bytes)
            return message

        await app(scope, receive_bounded, send)

    return serve


def lingering(app: ASGIApp) -> ASGIApp:
    """Let clients whose body is not read to its end see the answer all the same."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        unread = _has_body(Headers(scope=scope))

        async def receive_watched() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message["type"] == "http.request" and message["more_body"]
            return message

        async def send_lingering(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body")
            if unread and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
            if not (unread and last):
                await send(message)
                return
            await send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    while unread:
                        await receive_watched()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await app(scope, receive_watched, send_lingering)

    return serve


class RequestQueue:
    """Some threads, and a queue of bounded length before them.

    Args:
        name: of the threads.
        threads: how many functions run at the same time.
        max_waiting: how many requests may wait; further ones get 429 with a time to come back.
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
        """Run a function in a thread when its turn comes; its client waits that long.

        Raises:
            Problem: too many wait already, the client left while it waited, or the server stops.
        """
        if self._stopping:
            raise _stopping()
        if self._free.locked() and self.waiting >= self._max_waiting:
            raise self._refusal()
        await self._wait(request)
        started = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function)
        finally:
            self._mean_s += 0.1 * (time.monotonic() - started - self._mean_s)
            self._free.release()

    def stop(self) -> None:
        """Refuse what waits and what comes; what runs is finished."""
        self._stopping = True

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def _wait(self, request: Request) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        turn = asyncio.ensure_future(self._free.acquire())
        self.waiting += 1
        try:
            while not turn.done():
                await asyncio.wait({turn}, timeout=LOOK_EVERY_S)
                if self._stopping:
                    raise _stopping()
                if not turn.done() and await request.is_disconnected():
                    raise ClientGone
        except BaseException:
            if not turn.cancel():  # it came at the same moment
                self._free.release()
            raise
        finally:
            self.waiting -= 1

    def _refusal(self) -> Problem:
        seconds = math.ceil(self._mean_s * (self.waiting + 1) / self._threads)
        return Problem(
            429,
            "Too many requests are waiting; try again in a moment.",
            headers={"Retry-After": str(min(30, max(1, seconds)))},
        )


class Counter:
    """At most so many at the same time; further ones get 429."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self.running = 0

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Take one of the places for as long as the block runs."""
        if self.running >= self._most:
            detail = f"Too many {self._what} at the same time; try again in a moment."
            raise Problem(429, detail, headers={"Retry-After": "2"})
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


def _stopping() -> Problem:
    return Problem(503, "The server is stopping.", headers={"Retry-After": "30"})


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def too_large(max_bytes: int) -> Problem:
    """The refusal of what has more bytes than allowed."""
    return Problem(413, f"That is larger than the limit of {max_bytes / (1 << 20):g} MiB.")
