"""The layer in front of every request: access control, security headers, limits of bodies.

The checks are plain functions of the request's headers; `SecurityMiddleware` is the ASGI layer
that applies them, so that refusals and even failures carry the security headers.
"""

import asyncio
import contextlib
import hashlib
import re
import secrets
import socket
import time
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resight.web import WebSettings, is_ip_address
from resight.web.app_state import Metrics
from resight.web.problems import ProblemError, logger, too_large

API = "/api/v1"

SMALL_BODY = 1 << 20
"""Largest body, in bytes, of a request without a photo, and of the fields next to a photo."""

DRAIN_S = 2.0
"""Seconds for which the rest of a refused upload is read and discarded: its sender, who writes
before reading, then sees the refusal rather than a broken connection."""

MIN_BYTES_S = 16 << 10
"""Bytes of a body that extend its time by a second."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

NO_TOKEN_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Resight</title>
<h1>This collection is protected</h1>
<p>Open the address that <code>resight serve</code> printed: it ends in <code>?token=…</code></p>
</html>"""


class SecurityMiddleware:
    """Refuses requests that must not reach the application, counts all, adds security headers."""

    def __init__(self, app: ASGIApp, settings: WebSettings, metrics: Metrics) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def send_secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith(API):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        self.running += 1
        try:
            await drain_body(self._serve)(scope, receive, send_secured)
        except Exception:
            if status:  # the response has begun: the server can only close the connection
                raise
            logger.exception("%s %s failed", scope["method"], scope["path"])
            problem = ProblemError(500, "Something went wrong on the server; see its log.")
            await problem.response()(scope, receive, send_secured)
        finally:
            self.running -= 1
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.count(scope["method"], route, status, time.monotonic() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = (
            check_load(self.running, self.settings)
            or check_host(headers, self.settings)
            or check_origin(scope["method"], scope["path"], headers)
            or check_token(scope, headers, self.settings)
        )
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        pause_s = self.settings.body_timeout_s
        if scope["path"] == f"{API}/search":
            max_bytes = self.settings.max_upload_bytes
            app = limit_body(self.app, max_bytes, pause_s, fields=SMALL_BODY)
        else:
            app = limit_body(self.app, SMALL_BODY, pause_s)
        await app(scope, receive, send)


def limit_body(app: ASGIApp, max_bytes: int, pause_s: float, *, fields: int = 0) -> ASGIApp:
    """Return an application that limits the bodies of requests to another one.

    A body is refused before it is read if its declared size is larger, otherwise as soon as it
    exceeds the limit, pauses for more than `pause_s` seconds, or is slower than `MIN_BYTES_S` after
    that time. The fields of a form next to its file may add up to `fields` bytes.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes + fields:
            await too_large(max_bytes).response()(scope, receive, send)
            return
        received, complete = 0, False
        started = time.monotonic()

        async def receive_limited() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()
            left_s = started + pause_s + received / MIN_BYTES_S - time.monotonic()
            try:
                async with asyncio.timeout(min(pause_s, max(0, left_s))):
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
            unread = (
                unread and message["type"] == "http.request" and message.get("more_body", False)
            )
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


def check_load(running: int, settings: WebSettings) -> Response | None:
    """Refuse a request if too many others run."""
    if running <= settings.max_requests:
        return None
    detail = "Too many requests at the same time; try again in a moment."
    return ProblemError(503, detail, headers={"Retry-After": "2"}).response()


def check_host(headers: Headers, settings: WebSettings) -> Response | None:
    """Refuse a request that names another host than this server."""
    if is_allowed_host(headers.get("host", ""), settings):
        return None
    detail = "This server does not have that name; open it by the address it printed."
    return ProblemError(421, detail).response()


def is_allowed_host(header: str, settings: WebSettings) -> bool:
    """Return whether a request's `Host` header names this server.

    An attacker's page can point its own host name at this machine (DNS rebinding) and would then
    share its origin, but the name differs. Addresses, unlike names, cannot be rebound.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:/@\s]+))(?::\d+)?", header)
    name = (match[1] or match[2]).lower().rstrip(".") if match else ""
    if name in ("localhost", "127.0.0.1", "::1", settings.host.lower()):
        return True
    if name in (host.lower() for host in settings.allowed_hosts):
        return True
    if settings.local_only:
        return False
    hostname = socket.gethostname().lower()
    return name in (hostname, f"{hostname}.local") or is_ip_address(name)


def check_origin(method: str, path: str, headers: Headers) -> Response | None:
    """Refuse requests sent or embedded by pages of other sites; programs send no such headers."""
    cross_site = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if method not in ("GET", "HEAD"):
        origin = headers.get("origin")
        cross_site |= origin is not None and urlsplit(origin).netloc != headers.get("host")
    elif not path.startswith((API, "/metrics")):
        cross_site = False  # a link on another site may lead to the page
    if not cross_site:
        return None
    return ProblemError(403, "Requests from the pages of other sites are refused.").response()


def check_token(scope: Scope, headers: Headers, settings: WebSettings) -> Response | None:
    """Refuse a request without the token; `/?token=` exchanges it for a cookie."""
    token, path = settings.token, scope["path"]
    if token is None or path == f"{API}/health":
        return None
    query = parse_qs(scope["query_string"].decode("latin-1"))
    if path == "/" and "token" in query:
        return _exchange_token(query, token)
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and _is_equal(credentials.strip(), token):
        return None
    cookies = cookie_parser(headers.get("cookie", ""))
    if _is_equal(cookies.get(cookie_name(token), ""), token):
        return None
    if path == "/":
        return HTMLResponse(NO_TOKEN_PAGE, 401)
    detail = "This collection is protected: send its token, or open the page with ?token= once."
    return ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"}).response()


def cookie_name(token: str) -> str:
    """Return the cookie's name, different for each token: cookies ignore the port of a server."""
    return f"resight-{hashlib.sha256(token.encode()).hexdigest()[:8]}"


def _exchange_token(query: dict[str, list[str]], token: str) -> Response:
    if not _is_equal(query.pop("token")[-1], token):
        return HTMLResponse(NO_TOKEN_PAGE, 401)
    # The token must not stay in the address bar, the history and the log of a proxy.
    target = f"/?{urlencode(query, doseq=True)}" if query else "/"
    response = RedirectResponse(target, 303)
    # Not "strict": the first request to the page may come from the file that `serve` opens.
    response.set_cookie(cookie_name(token), token, httponly=True, samesite="lax")
    return response


def _is_equal(credentials: str, token: str) -> bool:
    return secrets.compare_digest(credentials.encode(), token.encode())
