"""Connections of a server: clients that are too slow are cut off, and their number is limited."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from resight.web import WebSettings

IDLE_FACTOR = 2
"""Connections a server accepts, as a multiple of the requests that it answers at the same time."""


def protocol_of(settings: WebSettings) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with the time limits and the number of connections of a server."""

    class LimitedProtocol(H11Protocol):
        """A connection that is closed if headers arrive, or responses are read, too slowly.

        The middleware limits the time of bodies.
        """

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._timers: dict[str, asyncio.TimerHandle] = {}

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Begin to wait for the first request; close one connection too many."""
            assert isinstance(transport, asyncio.Transport)
            super().connection_made(transport)
            if len(self.connections) > IDLE_FACTOR * settings.max_requests:
                transport.abort()  # before files run out, which searches need, too
            else:
                self._start("headers", settings.header_timeout_s)

        def data_received(self, data: bytes) -> None:
            """Take bytes; the headers of a further request have a time limit of their own."""
            if self.transport.is_closing():
                return
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._cancel("headers")
            elif "headers" not in self._timers:
                self._start("headers", settings.header_timeout_s)

        def on_response_complete(self) -> None:
            """Go on with a request that was sent ahead; its headers may be incomplete."""
            super().on_response_complete()
            unread, _ = self.conn.trailing_data
            if unread and self.conn.their_state is h11.IDLE and "headers" not in self._timers:
                self._start("headers", settings.header_timeout_s)

        def pause_writing(self) -> None:
            """Wait for a client that does not read."""
            super().pause_writing()
            self._start("reading", settings.read_timeout_s)

        def resume_writing(self) -> None:
            """Go on writing to a client that reads."""
            super().resume_writing()
            self._cancel("reading")

        def connection_lost(self, exc: Exception | None) -> None:
            """Stop all timers."""
            for name in list(self._timers):
                self._cancel(name)
            super().connection_lost(exc)

        def _start(self, name: str, seconds: float) -> None:
            self._cancel(name)
            self._timers[name] = self.loop.call_later(seconds, self.transport.abort)

        def _cancel(self, name: str) -> None:
            timer = self._timers.pop(name, None)
            if timer is not None:
                timer.cancel()

    return LimitedProtocol
